"""A subscriber that has messages, of which none comes to an end, is noticed; one that waits for a reason is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from loop_bench import NAME, Bench, Member, copier, tax_code

from integration_fabric.messages.errors import DataProblem, Unavailable
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.stall import STALLED_AFTER_S, StallWatch
from integration_fabric.runtime.steering import Order, OrderKind, Steering
from integration_fabric.runtime.subscriber import Delivery

PARTITION = TopicPartition(TaxCodeChanged.topic, 0)
LOOK_S = 10.0


async def watched(bench: Bench, member: Member, *, for_s: float = 3 * STALLED_AFTER_S) -> StallWatch:
    """Look at it for a while, as a worker does."""
    watch = StallWatch()
    began_s = bench.clock.monotonic_s()
    while bench.clock.monotonic_s() - began_s < for_s:
        lag = await member.loop.lag({PARTITION: bench.broker.end(PARTITION)})
        watch.look(bench.clock.monotonic_s(), has_work=member.loop.has_work(lag), retired=member.loop.retired)
        if watch.is_stalled:
            break
        await bench.clock.sleep(LOOK_S)
    return watch


async def leak_of_the_gate(_: Bench, member: Member) -> None:
    member.loop._reins.full = True
    member.loop._reins.apply()


async def leak_of_a_hold(_: Bench, member: Member) -> None:
    member.consumer.hold()


async def leak_of_a_held_back_partition(_: Bench, member: Member) -> None:
    member.consumer.hold_back([PARTITION])


@pytest.mark.parametrize("leak", [leak_of_the_gate, leak_of_a_hold, leak_of_a_held_back_partition])
async def test_r26_a_gate_that_stays_closed_is_noticed(codec: Codec, leak: Callable[[Bench, Member], Awaitable[None]]) -> None:
    """R26: the partition has lag, nothing is let through and nothing comes to an end: an alarm after two minutes."""
    async with Bench(codec) as bench:
        bench.publish_many(("a", "b"), 3)
        member = bench.start(copier())
        await bench.until_committed()
        await leak(bench, member)
        bench.publish_many(("a", "b"), 3)
        began_s = bench.clock.monotonic_s()
        assert (await watched(bench, member)).is_stalled
        assert STALLED_AFTER_S <= bench.clock.monotonic_s() - began_s <= STALLED_AFTER_S + 2 * LOOK_S
        await member.kill()


async def test_r26_a_handler_or_a_commit_that_hangs_is_noticed(codec: Codec) -> None:
    """R26: whatever it is that does not come to an end."""

    async def hang(_: Delivery) -> None:
        await bench.clock.sleep(1e6)

    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        member = bench.start(copier(hang))
        assert (await watched(bench, member)).is_stalled
        await member.kill()
        stuck = bench.start(copier())
        await bench.until_committed()
        stuck.transactions.latency_s = 1e6
        bench.publish(tax_code("a", 1))
        assert (await watched(bench, stuck)).is_stalled
        await stuck.kill()


async def test_r26_it_goes_on_as_soon_as_a_message_comes_to_an_end() -> None:
    """R26: the alarm ends by itself."""
    watch = StallWatch(after_s=60)
    assert not watch.look(0, has_work=True, retired=5)
    assert not watch.look(59, has_work=True, retired=5)
    assert watch.look(60, has_work=True, retired=5)
    assert not watch.look(70, has_work=True, retired=5)
    assert watch.is_stalled
    assert watch.look(80, has_work=True, retired=6)
    assert not watch.is_stalled
    assert not watch.look(139, has_work=True, retired=6)
    assert not watch.look(150, has_work=False, retired=6)
    assert not watch.look(209, has_work=True, retired=6)


async def away(_: Delivery) -> None:
    raise Unavailable("connection refused")


async def refuse(_: Delivery) -> None:
    raise DataProblem(field="tax_code", value="x", hint="add it")


async def nothing(_: Delivery) -> None:
    pass


async def a_minute(delivery: Delivery) -> None:
    await delivery.pause(60)


@pytest.mark.parametrize("handle", [away, refuse, nothing, a_minute])
async def test_r26_what_says_why_it_waits_is_no_stall(codec: Codec, handle: Callable[[Delivery], Awaitable[None]]) -> None:
    """R26: a system that is away, a dead letter, slow work that goes on; and nothing to do."""
    async with Bench(codec) as bench:
        bench.publish_many(("a", "b"), 20)
        async with bench.running(copier(handle, policy=Policy(in_flight=1)), bounds=Bounds(high_messages=5, low_messages=2)) as member:
            assert not (await watched(bench, member)).is_stalled


@pytest.mark.parametrize("what", [{}, {"partition": PARTITION}, {"key": b"a"}], ids=["everything", "a partition", "a key"])
async def test_r26_what_a_person_has_paused_is_no_stall(codec: Codec, what: dict[str, TopicPartition]) -> None:
    """R26: orders say so themselves."""
    async with Bench(codec) as bench, bench.running(copier()) as member:
        member.loop.steer(Steering.of(NAME, [Order(NAME, OrderKind.PAUSE, "kari", "year end", **what)]))  # type: ignore[arg-type]
        bench.publish_many(("a",), 3)
        assert not (await watched(bench, member)).is_stalled
