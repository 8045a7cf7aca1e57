"""Every way in which a transaction can end: what is put out stands there once, whatever was known about it (guarantee G2, protocol E)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import integers, lists, sampled_from
from loop_bench import Bench, copier, tax_code

from integration_fabric.backends.memory.transactions import Fault
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.lanes import Lanes
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Delivery

TAX_CODES = TopicPartition("erp.tax-code-changed.v1", 0)
KEYS = ("a", "b", "c")


@pytest.mark.parametrize("fault", list(Fault))
async def test_one_bad_end_leaves_everything_put_out_once(codec: Codec, fault: Fault) -> None:
    async with Bench(codec) as bench:
        bench.publish_many(KEYS, 4)
        async with bench.running(copier()) as member:
            await bench.until_committed()
            member.transactions.fail_next(fault)
            bench.publish_many(KEYS, 4)
            await bench.until_committed()
    assert [bench.versions(key) for key in KEYS] == [[0, 1, 2, 3] * 2] * 3
    assert all(outcomes == ["applied"] for outcomes in bench.outcomes().values())


async def test_r19_what_was_aborted_is_committed_again_as_it_was(codec: Codec) -> None:
    """R19: the handler is not called a second time: its result is still there."""
    calls = 0

    async def count(delivery: Delivery) -> None:
        nonlocal calls
        calls += 1

    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        async with bench.running(copier(count)) as member:
            await bench.until_committed()
            member.transactions.fail_next(Fault.ABORTED, Fault.ABORTED, Fault.ABORTED)
            bench.publish(tax_code("a", 1))
            await bench.until_committed()
    assert calls == 2
    assert bench.versions("a") == [0, 1]


async def test_after_an_unknown_end_the_partition_is_taken_over_with_a_higher_epoch(codec: Codec) -> None:
    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        async with bench.running(copier()) as member:
            await bench.until_committed()
            before = bench.metadata(TAX_CODES)
            member.transactions.fail_next(Fault.UNKNOWN_NOT_COMMITTED)
            bench.publish(tax_code("a", 1))
            await bench.until_committed()
            after = bench.metadata(TAX_CODES)
    assert before is not None
    assert after is not None
    assert after.epoch > before.epoch
    assert bench.versions("a") == [0, 1]


@given(faults=lists(sampled_from(list(Fault)), max_size=8), seed=integers(0, 10**6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_run_of_bad_ends_loses_nothing_and_doubles_nothing(codec: Codec, faults: list[Fault], seed: int) -> None:
    dice = random.Random(seed)

    async def handle(delivery: Delivery) -> None:
        await bench.clock.sleep(dice.choice((0, 0.05, 0.3)))

    async with Bench(codec, partitions=2) as bench, bench.running(copier(handle), latency_s=0.02) as member:
        for version in range(6):
            bench.publish_many(("a", "b", "c", "d"), 1)
            if faults and version:
                member.transactions.fail_next(faults.pop())
            await bench.clock.sleep(dice.choice((0.01, 0.2)))
        await bench.until_committed()
    assert [bench.versions(key) for key in ("a", "b", "c", "d")] == [[0] * 6] * 4


async def test_commits_are_few_under_load_and_quick_when_idle(codec: Codec) -> None:
    """300 messages of 5 ms each on 4 lanes make some transactions, not 300; a lone one is committed at once."""

    async def handle(delivery: Delivery) -> None:
        await bench.clock.sleep(0.005)

    async with Bench(codec) as bench:
        bench.publish_many([f"k{number}" for number in range(30)], 10)
        async with bench.running(copier(handle, policy=Policy(in_flight=4))) as member:
            await bench.until_committed()
            assert len(member.transactions.commits) < 20
            await bench.clock.sleep(60)
            began_s = bench.clock.monotonic_s()
            bench.publish(tax_code("lone", 0))
            await bench.until(lambda: bench.versions("lone"))
            assert bench.clock.monotonic_s() - began_s < 0.05


async def most_in_lanes(bench: Bench, bounds: Bounds, held: Callable[[Lanes], int]) -> int:
    """What lanes hold at the most of a backlog of 2,000 before slow handlers; a turn brings 20."""
    most = 0

    async def handle(_: Delivery) -> None:
        nonlocal most
        most = max(most, held(member.loop._lanes))
        await bench.clock.sleep(0.01)

    async with bench.running(copier(handle), bounds=bounds, batch=20) as member:
        await bench.until_committed()
        assert (member.loop._lanes.queued, member.loop._lanes.queued_bytes) == (0, 0)
    assert len(bench.copies()) == 2000
    return most


async def test_r11_memory_is_bounded_by_settings_not_by_the_backlog(codec: Codec) -> None:
    """R11: no more is taken than the bound and one turn's batch."""
    async with Bench(codec) as bench:
        bench.publish_many([f"k{number}" for number in range(40)], 50)
        assert 50 < await most_in_lanes(bench, Bounds(high_messages=100, low_messages=50), lambda lanes: lanes.queued) <= 120


async def test_r11_memory_is_bounded_in_bytes_too(codec: Codec) -> None:
    """R11: a few large messages fill the memory that thousands of small ones would."""
    async with Bench(codec) as bench:
        bench.publish_many([f"k{number}" for number in range(40)], 50)
        one = bench.broker.take(TopicPartition(TaxCodeChanged.topic, 0), 0)[0][0].size_bytes
        assert 50 * one < await most_in_lanes(bench, Bounds(high_bytes=100 * one), lambda lanes: lanes.queued_bytes) <= 130 * one


async def test_r11_a_slow_key_does_not_let_results_pile_up_without_bound(codec: Codec) -> None:
    """R11: a map that has no room holds up what is done above a key that waits for its system; that must have an end (guarantee G6)."""
    gate_s = 500.0

    async def handle(delivery: Delivery) -> None:
        await bench.clock.sleep(gate_s if delivery.envelope.body.key == "slow" else 0.001)

    bounds = Bounds(kept_messages=150, map_chars=0)
    async with Bench(codec) as bench:
        bench.publish(tax_code("slow", 0))
        bench.publish_many([f"k{number}" for number in range(40)], 50)
        async with bench.running(copier(handle), bounds=bounds, batch=20) as member:
            await bench.clock.sleep(100)
            (owned,) = member.loop._owned.values()
            kept = owned.progress.kept_count
            await bench.until_committed()
    assert kept <= 170
    assert len(bench.copies()) == 2001
