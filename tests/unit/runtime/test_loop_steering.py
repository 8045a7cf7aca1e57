"""What people order of a running subscriber happens, to that and to nothing else, and nothing is lost or doubled by it."""

from __future__ import annotations

import random

import pytest
from loop_bench import NAME, Bench, Member, copier, tax_code

from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.steering import Order, OrderKind, Steering
from integration_fabric.runtime.subscriber import Delivery

KEYS = [f"k{number}" for number in range(20)]
FIRST, SECOND = TopicPartition(TaxCodeChanged.topic, 0), TopicPartition(TaxCodeChanged.topic, 1)
PAUSE = Order(NAME, OrderKind.PAUSE, "kari", "year end")


def steer(member: Member, *orders: Order) -> None:
    member.loop.steer(Steering.of(NAME, orders))


async def test_a_paused_subscriber_finishes_what_runs_and_starts_nothing(codec: Codec) -> None:
    async def handle(_: Delivery) -> None:
        await bench.clock.sleep(2)

    async with Bench(codec) as bench:
        bench.publish_many(KEYS, 3)
        async with bench.running(copier(handle, policy=Policy(in_flight=5))) as member:
            await bench.until(lambda: member.loop._lanes.running == 5)
            steer(member, PAUSE)
            await bench.clock.sleep(60)
            assert member.loop.state is LoopState.PAUSED
            assert len(bench.copies()) == 5
            assert not member.loop.busy
            bench.publish_many(KEYS, 1)
            await bench.clock.sleep(60)
            assert len(bench.copies()) == 5
            steer(member)
            await bench.until_committed()
            assert member.loop.state is LoopState.RUNNING
    assert len(bench.copies()) == 80


async def test_a_drained_subscriber_finishes_what_it_has_taken_and_takes_nothing(codec: Codec) -> None:
    async def handle(_: Delivery) -> None:
        await bench.clock.sleep(1)

    async with Bench(codec) as bench:
        bench.publish_many(KEYS, 3)
        async with bench.running(copier(handle, policy=Policy(in_flight=5))) as member:
            await bench.until(lambda: member.loop._lanes.running == 5)
            steer(member, Order(NAME, OrderKind.DRAIN, "kari", "upgrade"))
            await bench.clock.sleep(0.1)
            bench.publish_many(KEYS, 1)
            await bench.clock.sleep(120)
            assert len(bench.copies()) == 60
            assert not member.loop.busy
            steer(member)
            await bench.until_committed()
    assert len(bench.copies()) == 80


async def test_a_paused_partition_leaves_the_others_alone(codec: Codec) -> None:
    async with Bench(codec, partitions=2) as bench, bench.running(copier()) as member:
        await bench.until(lambda: len(member.loop.partitions()) == 2)
        steer(member, Order(NAME, OrderKind.PAUSE, "kari", "why", FIRST))
        for version in range(5):
            bench.publish(tax_code("a", version), partition=0)
            bench.publish(tax_code("b", version), partition=1)
        await bench.clock.sleep(60)
        assert (bench.versions("a"), bench.versions("b")) == ([], [0, 1, 2, 3, 4])
        assert member.loop.state is LoopState.RUNNING
        steer(member)
        await bench.until_committed()
    assert bench.versions("a") == [0, 1, 2, 3, 4]


async def test_a_paused_key_leaves_the_others_alone_and_keeps_its_order(codec: Codec) -> None:
    async with Bench(codec) as bench, bench.running(copier()) as member:
        await bench.until(member.loop.partitions)
        steer(member, Order(NAME, OrderKind.PAUSE, "kari", "why", key=b"k3"))
        bench.publish_many(KEYS, 5)
        await bench.clock.sleep(60)
        assert bench.versions("k3") == []
        assert all(bench.versions(key) == [0, 1, 2, 3, 4] for key in KEYS if key != "k3")
        steer(member)
        await bench.until_committed()
    assert bench.versions("k3") == [0, 1, 2, 3, 4]


async def test_what_is_skipped_is_discarded_and_says_by_whom(codec: Codec) -> None:
    handled: list[int] = []

    async def handle(delivery: Delivery) -> None:
        handled.append(delivery.coordinates.offset)

    async with Bench(codec) as bench:
        bench.publish_many(KEYS, 2)
        member = bench.start(copier(handle))
        steer(member, Order(NAME, OrderKind.SKIP, "ola", "test data", FIRST, until=25))
        await bench.until_committed()
        await member.drain()
    assert handled == list(range(25, 40))
    assert [outcomes for _, outcomes in sorted(bench.outcomes().items())] == [["discarded"]] * 25 + [["applied"]] * 15
    assert {transition.detail for transition in bench.transitions() if transition.outcome == "discarded"} == {"test data (ola)"}


async def test_what_cannot_be_read_can_be_skipped(codec: Codec) -> None:
    async with Bench(codec) as bench:
        bench.append(b"k", b"no Avro")
        member = bench.start(copier())
        steer(member, Order(NAME, OrderKind.SKIP, "ola", "rubbish", FIRST, until=1))
        await bench.until_committed()
        await member.drain()
    assert bench.outcomes() == {0: ["discarded"]}
    assert bench.dead_letters() == []


async def test_the_furthest_of_several_skips_counts() -> None:
    orders = [Order(NAME, OrderKind.SKIP, "ola", "why", FIRST, until=until) for until in (5, 9, 7)]
    steering = Steering.of(NAME, orders)
    assert steering.skip(FIRST, 8) is not None
    assert steering.skip(FIRST, 9) is None
    assert steering.skip(SECOND, 0) is None


@pytest.mark.parametrize("seed", range(8))
async def test_orders_at_any_moment_lose_and_double_nothing(codec: Codec, seed: int) -> None:
    """Pauses come and go, workers die, memory and maps are small; in the end all is done once and in order."""
    dice = random.Random(seed)
    possible = [
        PAUSE,
        Order(NAME, OrderKind.DRAIN, "kari", "why"),
        *(Order(NAME, OrderKind.PAUSE, "kari", "why", partition) for partition in (FIRST, SECOND)),
        *(Order(NAME, OrderKind.PAUSE, "kari", "why", key=key.encode()) for key in KEYS[:5]),
    ]

    async def handle(_: Delivery) -> None:
        await bench.clock.sleep(dice.choice([0.001, 0.1, 1]))

    bounds = Bounds(map_chars=dice.choice([0, 20, 3_900]), kept_messages=dice.choice([40, 20_000]))
    async with Bench(codec, partitions=2) as bench:
        bench.publish_many(KEYS, 10)
        member = bench.start(copier(handle), bounds=bounds, batch=dice.choice([5, 1000]))
        for _ in range(25):
            steer(member, *dice.sample(possible, dice.randrange(4)))
            await bench.clock.sleep(dice.uniform(0, 2))
            if dice.random() < 0.2:
                await member.kill()
                member = bench.start(copier(handle), bounds=bounds)
        steer(member)
        await bench.until_committed()
        await member.drain()
    assert all(bench.versions(key) == list(range(10)) for key in KEYS)
