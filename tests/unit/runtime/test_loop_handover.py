"""Partitions move between workers at any moment: nothing is lost, nothing is put out twice, and no zombie is believed."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import integers
from loop_bench import NAME, Bench, Handle, Member, copier, owned, tax_code

from integration_fabric.backends.memory.transactions import Fault
from integration_fabric.messages.errors import Transient, Unavailable
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec, Fence, Stop
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Delivery

TAX_CODES = TopicPartition("erp.tax-code-changed.v1", 0)
KEYS = tuple("abcdefgh")


async def test_two_workers_share_the_partitions_and_one_takes_what_the_other_leaves(codec: Codec) -> None:
    async with Bench(codec, partitions=4) as bench:
        first, second = bench.start(copier()), bench.start(copier())
        await bench.until(lambda: len(owned(first)) == len(owned(second)) == 2)
        assert not owned(first) & owned(second)
        bench.publish_many(KEYS, 3)
        await bench.until_committed()
        await first.drain()
        await bench.until(lambda: len(owned(second)) == 4)
        bench.publish_many(KEYS, 3)
        await bench.until_committed()
        await second.drain()
    assert all(bench.versions(key) == [0, 1, 2] * 2 for key in KEYS)


async def test_what_runs_when_a_partition_is_taken_away_is_finished_and_committed_first(codec: Codec) -> None:
    handled: list[int] = []

    async def slow(delivery: Delivery) -> None:
        handled.append(delivery.coordinates.offset)
        await bench.clock.sleep(30)

    async with Bench(codec, partitions=2) as bench:
        first = bench.start(copier(slow))
        bench.publish_many(KEYS, 1)
        await bench.until(lambda: len(handled) == 8)
        second = bench.start(copier(slow))
        await bench.until(lambda: len(owned(second)) == 1)
        await bench.until_committed()
        assert len(handled) == 8, "nothing was handled twice"
        await first.drain()
        await second.drain()
    assert all(bench.versions(key) == [0] for key in KEYS)


async def test_a_handler_that_outlives_the_bound_is_done_again_by_the_next_owner(codec: Codec) -> None:
    """Its result comes to nothing here: the next owner's counts."""
    calls = 0
    never = asyncio.Event()

    async def hang_at_first(delivery: Delivery) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await never.wait()

    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        first = bench.start(copier(hang_at_first), bounds=Bounds(revoke=timedelta(milliseconds=20), drain=timedelta(milliseconds=20)))
        await bench.until(lambda: calls == 1)
        await first.drain()
        second = bench.start(copier(hang_at_first))
        await bench.until_committed()
        await second.drain()
    assert calls == 2
    assert bench.versions("a") == [0]


async def test_a_revoke_that_runs_out_of_time_loses_nothing_of_the_other_partitions(codec: Codec) -> None:
    """The commit that a revoke waits for carries results of all partitions. It outlasts the revoke, and then it is aborted."""
    stuck, asked = asyncio.Event(), 0

    async def slow(delivery: Delivery) -> None:
        await bench.clock.sleep(0.03)

    async def commit_late() -> None:
        nonlocal asked
        if any(found.leaving.is_set() for found in first.loop._owned.values()):
            asked += 1
            await stuck.wait()

    async with Bench(codec, partitions=2) as bench:
        bounds = Bounds(commit=timedelta(milliseconds=30))
        first = bench.start(copier(slow, policy=Policy(in_flight=1)), bounds=bounds)
        await bench.until(lambda: len(owned(first)) == 2)
        first.transactions._wait = commit_late  # type: ignore[method-assign]
        bench.publish_many([f"k{number}" for number in range(40)], 1)
        await bench.until(lambda: first.loop._lanes.ready == 30)
        second = bench.start(copier())
        await bench.until(lambda: asked)
        first.transactions.fail_next(Fault.ABORTED)
        await bench.until(lambda: len(owned(second)) == 1)
        stuck.set()
        await bench.until_committed()
        await first.drain()
        await second.drain()
    assert all(bench.versions(f"k{number}") == [0] for number in range(40))


async def test_drain_finishes_what_runs_and_leaves_what_is_queued(codec: Codec) -> None:
    started: list[int] = []

    async def slow(delivery: Delivery) -> None:
        started.append(delivery.coordinates.offset)
        await bench.clock.sleep(5)

    async with Bench(codec) as bench:
        bench.publish_many(("a",), 5)
        member = bench.start(copier(slow))
        await bench.until(lambda: started)
        await member.drain()
        assert member.loop.state is LoopState.ENDED
        assert (bench.versions("a"), bench.lag(), started) == ([0], 4, [0])


async def test_drain_does_not_wait_for_a_lane_that_waits(codec: Codec) -> None:
    async def handle(delivery: Delivery) -> None:
        raise Unavailable("down for a week")

    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        member = bench.start(copier(handle))
        await bench.until(lambda: member.loop._lanes.running == 1)
        began_s = bench.clock.monotonic_s()
        await member.drain()
        assert bench.clock.monotonic_s() - began_s < 1
    assert bench.lag() == 1
    assert bench.dead_letters() == []


async def test_r29_drain_ends_when_transactions_do_not_come_through(codec: Codec) -> None:
    """R29: the broker aborts everything from now on: the worker ends all the same, and its successor does the work again."""
    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        member = bench.start(copier(), bounds=Bounds(commit=timedelta(milliseconds=50)))
        await bench.until_committed()
        member.transactions.fail_next(*[Fault.ABORTED] * 100_000)
        bench.publish(tax_code("a", 1))
        await bench.until(lambda: not member.loop._lanes.running and member.loop._transaction.locked())
        async with asyncio.timeout(5):
            await member.drain()
        async with bench.running(copier()):
            await bench.until_committed()
    assert bench.versions("a") == [0, 1]


async def test_a_killed_worker_leaves_nothing_half_done(codec: Codec) -> None:
    """Killed while three lanes run and results wait for their transaction."""

    async def handle(delivery: Delivery) -> None:
        await bench.clock.sleep(0.5 if delivery.envelope.body.key < "d" else 0.01)

    async with Bench(codec) as bench:
        bench.publish_many(KEYS, 5)
        first = bench.start(copier(handle), latency_s=0.3)
        await bench.until(lambda: first.loop._lanes.running == 3)
        await first.kill()
        async with bench.running(copier(handle)):
            await bench.until_committed()
    assert all(bench.versions(key) == [0, 1, 2, 3, 4] for key in KEYS)


async def test_a_zombie_is_not_believed(codec: Codec) -> None:
    """Its session ended unnoticed. Another worker goes on from the committed offset, and what the zombie still commits is refused."""
    release = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        if delivery.envelope.body.key == "slow":
            await release.wait()

    async with Bench(codec) as bench:
        bench.publish(tax_code("quick", 0))
        bench.publish(tax_code("slow", 0))
        zombie = bench.start(copier(handle))
        await bench.until(lambda: bench.lag() == 1)
        zombie.consumer.freeze()
        bench.broker.expire(NAME, zombie.consumer.member)

        successor = bench.start(copier())
        await bench.until_committed()
        release.set()
        await bench.clock.sleep(1)
        assert bench.versions("slow") == [0]
        zombie.consumer.thaw()
        await bench.until(lambda: len(owned(zombie)) + len(owned(successor)) == 1)
        await zombie.drain()
        await successor.drain()
    assert (bench.versions("quick"), bench.versions("slow")) == ([0], [0])


async def test_a_zombie_writes_nothing_to_sql(codec: Codec) -> None:
    """Its lease is over as soon as the successor has raised it."""
    async with Bench(codec) as bench:
        zombie = bench.start(copier())
        await bench.until(lambda: owned(zombie))
        fence = zombie.loop._owned[TAX_CODES].fence
        zombie.consumer.freeze()
        bench.broker.expire(NAME, zombie.consumer.member)
        successor = bench.start(copier())
        await bench.until(lambda: owned(successor))
        assert fence is not None
        with pytest.raises(Exception, match="is over"):
            await bench.leases.stop(Fence(NAME, fence.topic_id, 0, fence.epoch), Stop(TAX_CODES, 0, b"k", "c", "m"))
        await zombie.kill()
        await successor.drain()


async def test_r05_a_partition_that_is_lost_and_regained_goes_on(codec: Codec) -> None:
    """R05: lost while a handler of a key runs: the new delivery of that key waits for the old flight, and its result alone counts."""
    active = 0

    async def handle(delivery: Delivery) -> None:
        nonlocal active
        active += 1
        assert active == 1
        await bench.clock.sleep(5)
        active -= 1

    async with Bench(codec) as bench:
        bench.publish_many(("a",), 3)
        async with bench.running(copier(handle)) as member:
            await bench.until(lambda: active)
            member.consumer.lose()
            await bench.until_committed()
    assert bench.versions("a") == [0, 1, 2]


async def test_r08_what_the_consumer_has_lost_is_not_committed_even_before_the_loop_hears_of_it(codec: Codec) -> None:
    """R08: the consumer's thread is ahead: a broker would take these offsets from a live member, whoever owns the partition by now."""
    release = asyncio.Event()

    async def wait(delivery: Delivery) -> None:
        await release.wait()

    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        member = bench.start(copier(wait))
        await bench.until(lambda: member.loop._lanes.running == 1)
        member.consumer.deafen()
        member.consumer._drop([TAX_CODES])
        release.set()
        await bench.clock.sleep(5)
        assert (bench.copies(), bench.lag(), member.task.done()) == ([], 1, False)
        await member.kill()


@given(seed=integers(0, 10**6))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_run_of_moves_crashes_and_bad_ends_keeps_order_and_sum(codec: Codec, seed: int) -> None:
    """Workers join, drain, die, freeze, lose their session; transactions end badly; the store goes away. At rest all is there once."""
    dice = random.Random(seed)

    async def handle(delivery: Delivery) -> None:
        await bench.clock.sleep(dice.choice((0, 0.02, 0.3)))
        if dice.random() < 0.05:
            raise dice.choice((Transient("lock"), Unavailable("down")))

    async with Bench(codec, partitions=3) as bench:
        alive = [bench.start(copier(handle), latency_s=0.01)]
        for _ in range(12):
            bench.publish_many(KEYS, 1)
            await disturb(bench, alive, dice, handle)
            await bench.clock.sleep(dice.choice((0.01, 0.3, 1.0)))
        bench.store.is_down = False
        for member in alive:
            member.consumer.thaw()
        await bench.until_committed()
        for member in alive:
            await member.drain()
    assert all(bench.versions(key) == [0] * 12 for key in KEYS)
    outcomes = [(t.partition, t.offset) for t in bench.transitions()]
    assert sorted(outcomes) == sorted(set(outcomes))
    assert len(outcomes) == 12 * len(KEYS)


async def disturb(bench: Bench, alive: list[Member], dice: random.Random, handle: Handle) -> None:
    what = dice.choice(("join", "drain", "kill", "freeze", "lose", "fault", "store"))
    member = dice.choice(alive)
    if what == "join" and len(alive) < 4:
        alive.append(bench.start(copier(handle, policy=Policy(in_flight=3)), latency_s=0.01))
    elif what == "drain" and len(alive) > 1:
        alive.remove(member)
        member.consumer.thaw()
        await member.drain()
    elif what == "kill" and len(alive) > 1:
        alive.remove(member)
        await member.kill()
    elif what == "freeze":
        member.consumer.freeze()
        bench.broker.expire(NAME, member.consumer.member)
    elif what == "lose":
        member.consumer.lose()
    elif what == "fault":
        member.transactions.fail_next(dice.choice(list(Fault)))
    elif what == "store":
        bench.store.is_down = not bench.store.is_down
