"""The loop keeps the order of each key (guarantee G1), puts everything out once, and accounts for each message once (G2, G3)."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import integers
from loop_bench import Bench, copier, tax_code

from integration_fabric.messages.errors import MissingParent, Transient, Unavailable
from integration_fabric.runtime.outcomes import Filtered, Outcome
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Delivery

KEYS = ("a", "b", "c", "d", "e")
TAX_CODES = TopicPartition("erp.tax-code-changed.v1", 0)


@given(seed=integers(0, 10**6), partitions=integers(1, 3), in_flight=integers(1, 8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_each_key_is_handled_in_order_and_one_at_a_time(codec: Codec, seed: int, partitions: int, in_flight: int) -> None:
    dice = random.Random(seed)
    running: dict[str, int] = defaultdict(int)

    async def handle(delivery: Delivery) -> None:
        key = delivery.envelope.body.key
        running[key] += 1
        assert running[key] == 1, f"{key} is handled twice at once"
        try:
            await bench.clock.sleep(dice.choice((0, 0.01, 0.2, 3)))
            if dice.random() < 0.1:
                raise dice.choice((Transient("lock"), Unavailable("down")))
        finally:
            running[key] -= 1

    async with Bench(codec, partitions=partitions) as bench:
        bench.publish_many(KEYS, 8)
        async with bench.running(copier(handle, policy=Policy(in_flight=in_flight))):
            await bench.until_committed()
    for key in KEYS:
        assert bench.versions(key) == list(range(8))


async def test_keys_do_not_wait_for_each_other(codec: Codec) -> None:
    async def handle(delivery: Delivery) -> None:
        await bench.clock.sleep(1000 if delivery.envelope.body.key == "slow" else 0.001)

    async with Bench(codec) as bench:
        bench.publish(tax_code("slow", 0))
        bench.publish_many(("quick",), 20)
        async with bench.running(copier(handle)) as member:
            await bench.until(lambda: member.loop._lanes.running == 1 and member.loop._lanes.queued == 0)
            assert bench.clock.monotonic_s() < 10
            await bench.until(lambda: bench.versions("quick") == list(range(20)), within_s=10)
            await bench.until_committed()
    assert bench.versions("quick") == list(range(20))


async def test_a_waiting_lane_holds_up_its_own_key_only(codec: Codec) -> None:
    """A payment waits for its invoice, while the messages of other keys are handled."""
    arrived: list[str] = []

    async def handle(delivery: Delivery) -> None:
        arrived.append(delivery.envelope.body.key)
        if delivery.envelope.body.key == "child" and "parent" not in arrived:
            raise MissingParent("no parent yet")

    async with Bench(codec) as bench:
        bench.publish(tax_code("child", 0))
        bench.publish(tax_code("child", 1))
        bench.publish(tax_code("parent", 0))
        async with bench.running(copier(handle)):
            await bench.until_committed()
    assert bench.versions("child") == [0, 1]


async def test_every_message_has_one_outcome(codec: Codec) -> None:
    async def handle(delivery: Delivery) -> Outcome | None:
        return Filtered("not for us") if delivery.envelope.body.key == "b" else None

    async with Bench(codec, partitions=3) as bench:
        bench.publish_many(KEYS, 10)
        async with bench.running(copier(handle)):
            await bench.until_committed()
    outcomes = [(t.partition, t.offset, t.outcome) for t in bench.transitions()]
    assert len(outcomes) == len(set(outcomes)) == 50
    assert sum(1 for outcome in outcomes if outcome[2] == "filtered") == 10


async def test_what_comes_out_carries_where_it_comes_from(codec: Codec) -> None:
    async with Bench(codec) as bench:
        cause = bench.publish(tax_code("a", 1), message_id="cause-1")
        async with bench.running(copier()):
            await bench.until_committed()
        (record,) = bench.broker.read("erp.account-changed.v1")
    headers = dict(record.headers or ())
    assert headers["ce_causationid"] == b"cause-1"
    assert headers["ce_correlationid"] == dict(cause.headers or ())["ce_correlationid"]
    assert record.key == b"a"


async def test_records_without_a_key_are_handled_side_by_side(codec: Codec) -> None:
    """Three of them take as long as one."""

    async def handle(delivery: Delivery) -> None:
        await bench.clock.sleep(100)

    async with Bench(codec) as bench:
        value = codec.encode(tax_code("k", 0))
        for _ in range(3):
            bench.append(None, value)
        async with bench.running(copier(handle)):
            await bench.until_committed()
            assert bench.clock.monotonic_s() < 150
    assert len(bench.copies()) == 3


@pytest.mark.parametrize("gaps", [1, 5])
async def test_gaps_between_offsets_count_as_done(codec: Codec, gaps: int) -> None:
    """Transaction markers and compaction leave gaps; they hold nothing up."""
    async with Bench(codec) as bench:
        for version in range(4):
            bench.publish(tax_code("a", version))
            for _ in range(gaps):
                bench.broker.append_gap(TAX_CODES)
        async with bench.running(copier()):
            await bench.until_committed()
    assert bench.versions("a") == [0, 1, 2, 3]


async def test_a_newcomer_begins_where_the_topic_begins(codec: Codec) -> None:
    """Retention took the first records; the group never committed."""
    async with Bench(codec) as bench:
        bench.publish_many(("a",), 5)
        bench.broker.delete_records(TAX_CODES, before=3)
        async with bench.running(copier()):
            await bench.until_committed()
    assert bench.versions("a") == [3, 4]


async def test_records_that_are_handed_out_twice_are_handled_once(codec: Codec) -> None:
    """Those that are done and those that are under way."""
    async with Bench(codec) as bench:
        bench.publish_many(("a",), 2)
        async with bench.running(copier()) as member:
            await bench.until_committed()
            bench.publish_many(("a",), 3)
            again = bench.broker.read(TAX_CODES.topic)
            for _ in range(2):
                member.loop.taken(again, member.consumer.snapshot())
            await bench.until_committed()
    assert bench.versions("a") == [0, 1, 0, 1, 2]


async def test_what_waits_for_others_leaves_them_its_place(codec: Codec) -> None:
    """Ten payments wait for their invoices, and only one message may run at once."""
    arrived: set[str] = set()

    async def handle(delivery: Delivery) -> None:
        key = delivery.envelope.body.key
        if key.startswith("child") and key.replace("child", "parent") not in arrived:
            raise MissingParent("no parent yet")
        arrived.add(key)

    async with Bench(codec) as bench:
        for kind in ("child", "parent"):
            for number in range(10):
                bench.publish(tax_code(f"{kind}-{number}", 0))
        async with bench.running(copier(handle, policy=Policy(in_flight=1))):
            await bench.until(lambda: len(bench.copies()) == 20, within_s=10)
    assert not bench.dead_letters()
