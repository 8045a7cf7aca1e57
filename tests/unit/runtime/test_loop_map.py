"""What is done beyond a slow message is committed with it: no other key waits, and no successor does it again."""

from __future__ import annotations

import random

import pytest
from loop_bench import Bench, copier, tax_code

from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Delivery

PARTITION = TopicPartition(TaxCodeChanged.topic, 0)
FOR_EVER_S = 1e6
KEYS = [f"k{number}" for number in range(40)]


async def test_a_successor_does_only_what_is_open(codec: Codec) -> None:
    handled: list[str] = []

    async def stuck(delivery: Delivery) -> None:
        key = delivery.envelope.body.key
        handled.append(key)
        if key in {"k3", "k7"}:
            await bench.clock.sleep(FOR_EVER_S)

    async def quick(delivery: Delivery) -> None:
        handled.append(delivery.envelope.body.key)

    async with Bench(codec) as bench:
        bench.publish_many(KEYS, 3)
        first = bench.start(copier(stuck))
        await bench.until(lambda: len(bench.copies()) == 3 * 38)
        metadata = bench.metadata(PARTITION)
        assert metadata is not None
        assert (metadata.base, bool(metadata.completed)) == (3, True)
        await first.kill()
        del handled[:]
        second = bench.start(copier(quick))
        await bench.until_committed()
        await second.drain()
    assert sorted(handled) == ["k3"] * 3 + ["k7"] * 3
    assert all(bench.versions(key) == [0, 1, 2] for key in KEYS)


async def test_a_takeover_keeps_the_map(codec: Codec) -> None:
    """It is committed again with each new epoch, also by an owner who dies before he does anything."""

    async def stuck(delivery: Delivery) -> None:
        if delivery.envelope.body.key == "k0":
            await bench.clock.sleep(FOR_EVER_S)

    async with Bench(codec) as bench:
        bench.publish_many(KEYS, 1)
        first = bench.start(copier(stuck))
        await bench.until(lambda: len(bench.copies()) == 39)
        before = bench.metadata(PARTITION)
        await first.kill()
        for _ in range(3):
            next_one = bench.start(copier(stuck))
            await bench.until(lambda one=next_one: one.loop.partitions())  # type: ignore[misc]
            await next_one.kill()
        after = bench.metadata(PARTITION)
        assert before is not None
        assert after is not None
        assert after.completed == before.completed
        assert after.epoch == before.epoch + 3
        last = bench.start(copier())
        await bench.until_committed()
        await last.drain()
    assert all(bench.versions(key) == [0] for key in KEYS)


async def test_r11_a_map_that_is_nearly_full_takes_only_what_closes_gaps(codec: Codec) -> None:
    """R11: every other key is stuck until the gate opens; then all is done once, in order, and the partition takes everything again."""
    is_open = False
    stuck = {f"k{number}" for number in range(0, 400, 2)}

    async def handle(delivery: Delivery) -> None:
        while delivery.envelope.body.key in stuck and not is_open:
            await bench.clock.sleep(1)

    keys = [f"k{number}" for number in range(400)]
    bounds = Bounds(map_chars=40)
    async with Bench(codec) as bench:
        bench.publish_many(keys, 3)
        member = bench.start(copier(handle, policy=Policy(in_flight=300)), bounds=bounds, batch=50)
        await bench.until(lambda: member.loop._reins.tight)
        await bench.clock.sleep(30)
        (owned,) = member.loop._owned.values()
        frontier, copies = owned.progress.frontier, len(bench.copies())
        await bench.clock.sleep(30)
        metadata = bench.metadata(PARTITION)
        assert metadata is not None
        assert 30 < len(metadata.completed) <= 40
        assert owned.progress.frontier == frontier, "it went on beyond"
        assert copies < 300
        is_open = True
        await bench.until_committed()
        assert not member.loop._reins.tight
        await member.drain()
    assert all(bench.versions(key) == [0, 1, 2] for key in keys)


@pytest.mark.parametrize("map_chars", [0, 5, 12, 60, 3_900])
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_the_room_all_is_done_once_and_in_order(codec: Codec, seed: int, map_chars: int) -> None:
    """Workers come and are killed while handlers take all kinds of times."""
    dice = random.Random(seed)

    async def handle(_: Delivery) -> None:
        await bench.clock.sleep(dice.choice([0.001, 0.01, 0.1, 5]))

    async with Bench(codec) as bench:
        for version in range(12):
            for key in KEYS:
                bench.publish(tax_code(key, version))
        for _ in range(4):
            member = bench.start(copier(handle), bounds=Bounds(map_chars=map_chars), batch=dice.choice([7, 50, 1000]))
            await bench.clock.sleep(dice.uniform(0.5, 4))
            if dice.random() < 0.7:
                await member.kill()
            else:
                await member.drain()
        last = bench.start(copier(handle), bounds=Bounds(map_chars=map_chars))
        await bench.until_committed()
        await last.drain()
    assert all(bench.versions(key) == list(range(12)) for key in KEYS)
    assert bench.outcomes() == {offset: ["applied"] for offset in range(12 * 40)}
