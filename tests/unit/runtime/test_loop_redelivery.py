"""Redelivered messages run beside the live ones: never before them, each once, and to nobody else (protocol.md, H)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from loop_bench import NAME, Bench, Member, copier, tax_code

from integration_fabric.messages.errors import DataProblem, Unavailable
from integration_fabric.messages.fabric import Activity, Transition
from integration_fabric.messages.master_data import AccountChanged, TaxCodeChanged
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.redelivery import Redelivery, RedeliveryProgress, RedeliveryState, Stretch
from integration_fabric.runtime.subscriber import Delivery

KEYS = [f"k{number}" for number in range(10)]


class Redelivering(Bench):
    """A bench on which somebody asks."""

    async def ask(self, *members: Member, force: bool = True, key: bytes | None = None) -> int:
        topic = TaxCodeChanged.topic
        identity = self.broker.topic_ids([topic])[topic]
        found = [Stretch(partition, identity, 0, self.broker.end(partition), 0) for partition in self.broker.partitions(topic)]
        number = await self.redeliveries.file(Redelivery(0, NAME, force, key, "ola", "why"), found)
        await self.tell(*members)
        return number

    async def tell(self, *members: Member) -> None:
        wanted = await self.redeliveries.open()
        for member in members:
            member.loop.redeliver(wanted)

    async def look(self, number: int) -> RedeliveryProgress:
        (found,) = await self.redeliveries.look(number)
        return found

    async def until_done(self, number: int) -> RedeliveryProgress:
        for _ in range(20_000):
            if (found := await self.look(number)).state is RedeliveryState.DONE:
                return found
            await self.clock.sleep(0.1)
        raise AssertionError(f"never over: {found}")

    def again(self, number: int) -> Sequence[Transition]:
        found = [self._decode(record, Activity) for record in self.broker.read(Activity.topic)]
        return [transition for activity in found for transition in activity.transitions if transition.redelivery == number]


async def test_what_is_forced_is_handled_once_more_and_counted_apart(codec: Codec) -> None:
    async with Redelivering(codec, partitions=2) as bench:
        bench.publish_many(KEYS, 5)
        async with bench.running(copier()) as member:
            await bench.until_committed()
            found = await bench.until_done(await bench.ask(member))
            assert found.counts == {"applied": 50}
    assert Counter(bench.versions("k3")) == Counter([*range(5)] * 2)
    assert Counter((end.partition, end.offset) for end in bench.again(1)).most_common(1)[0][1] == 1
    assert len(bench.again(1)) == 50
    marks = Counter(dict(record.headers or ()).get("fabric_replay") for record in bench.broker.read(AccountChanged.topic))
    assert marks == {None: 50, b"1": 50}


async def test_what_is_done_stays_done_where_it_is_not_forced(codec: Codec) -> None:
    async with Redelivering(codec) as bench:
        bench.publish_many(KEYS, 2)
        async with bench.running(copier()) as member:
            await bench.until_committed()
            found = await bench.until_done(await bench.ask(member, force=False))
    assert found.counts == {"duplicate": 20}
    assert len(bench.copies()) == 20


async def test_only_what_is_asked_for_is_redelivered(codec: Codec) -> None:
    async with Redelivering(codec) as bench:
        bench.publish_many(KEYS, 2)
        async with bench.running(copier()) as member:
            await bench.until_committed()
            found = await bench.until_done(await bench.ask(member, key=b"k3"))
    assert found.counts == {"applied": 2}
    assert bench.versions("k3") == [0, 1, 0, 1]


async def test_live_messages_go_first_and_wait_for_no_more_than_what_runs(codec: Codec) -> None:
    order: list[bool] = []

    async def handle(delivery: Delivery) -> None:
        order.append(delivery.again is not None)
        await bench.clock.sleep(1)

    async with Redelivering(codec) as bench:
        bench.publish_many(KEYS, 20)
        async with bench.running(copier(handle, policy=Policy(in_flight=4))) as member:
            await bench.until_committed()
            order.clear()
            number = await bench.ask(member)
            await bench.until(lambda: len(order) == 40)
            assert all(order)
            assert member.loop._lanes.running == 2, "half of the places are kept for what is live"
            bench.publish_many(KEYS, 2)
            await bench.until(lambda: order.count(False) == 20)
            assert order[42:].index(False) == 0, "those two that ran were the last to run before it"
            assert sum(order[40:]) < 10
            assert (await bench.until_done(number)).counts == {"applied": 200}


async def test_what_waits_for_a_system_makes_way_for_a_live_message_of_its_key(codec: Codec) -> None:
    live: list[int] = []

    async def handle(delivery: Delivery) -> None:
        if delivery.again is None:
            live.append(delivery.coordinates.offset)
        elif is_away:
            raise Unavailable("nothing listens")

    async with Redelivering(codec) as bench:
        is_away = True
        bench.publish_many(["k"], 3)
        async with bench.running(copier(handle)) as member:
            await bench.until_committed()
            number = await bench.ask(member)
            await bench.clock.sleep(100)
            bench.publish(tax_code("k", 3))
            began_s = bench.clock.monotonic_s()
            await bench.until(lambda: len(live) == 4)
            assert bench.clock.monotonic_s() - began_s < 1
            await bench.until_committed()
            is_away = False
            assert (await bench.until_done(number)).counts == {"applied": 3}
    assert bench.versions("k") == [0, 1, 2, 3, 0, 1, 2]


async def test_what_fails_again_is_told_and_is_no_dead_letter(codec: Codec) -> None:
    async def handle(delivery: Delivery) -> None:
        if delivery.again is not None and delivery.coordinates.offset == 1:
            raise DataProblem(field="tax_code", value="N25", hint="add it")

    async with Redelivering(codec) as bench:
        bench.publish_many(["k"], 3)
        async with bench.running(copier(handle)) as member:
            await bench.until_committed()
            found = await bench.until_done(await bench.ask(member))
            assert member.loop.stop is None
    assert found.counts == {"applied": 2, "failed": 1}
    assert [(failure.offset, "N25" in failure.why) for failure in found.failures] == [(1, True)]
    assert bench.broker.read(f"dlq.{NAME}") == []
    assert [end.outcome for end in bench.again(1)] == ["applied", "failed", "applied"]


@pytest.mark.parametrize("after_s", [0.05, 0.2, 0.35, 0.7, 1.2, 2.5])
async def test_a_killed_worker_loses_and_doubles_nothing(codec: Codec, after_s: float) -> None:
    async def handle(delivery: Delivery) -> None:
        if delivery.again is not None:
            await bench.clock.sleep(0.1)

    async with Redelivering(codec, partitions=2) as bench:
        bench.publish_many(KEYS, 10)
        first = bench.start(copier(handle), latency_s=0.03)
        await bench.until_committed()
        number = await bench.ask(first)
        await bench.clock.sleep(after_s)
        await first.kill()
        async with bench.running(copier(handle)) as second:
            await bench.tell(second)
            found = await bench.until_done(number)
    assert found.counts == {"applied": 100}
    assert Counter((end.partition, end.offset) for end in bench.again(number)).most_common(1)[0][1] == 1
    assert Counter(bench.versions("k3")) == Counter([*range(10)] * 2)


async def test_one_that_is_paused_begins_nothing_more_and_goes_on_where_it_was(codec: Codec) -> None:
    async def handle(delivery: Delivery) -> None:
        if delivery.again is not None:
            await bench.clock.sleep(0.1)

    async with Redelivering(codec) as bench:
        bench.publish_many(KEYS, 10)
        async with bench.running(copier(handle)) as member:
            await bench.until_committed()
            number = await bench.ask(member)
            await bench.until(lambda: len(bench.again(number)) >= 10)
            assert await bench.redeliveries.order(number, RedeliveryState.PAUSED)
            await bench.tell(member)
            await bench.clock.sleep(5)
            before = len(bench.again(number))
            assert 10 <= before < 40
            await bench.clock.sleep(60)
            assert len(bench.again(number)) == before
            assert not member.loop.busy
            assert await bench.redeliveries.order(number, RedeliveryState.RUNNING)
            await bench.tell(member)
            assert (await bench.until_done(number)).counts == {"applied": 100}
    assert len(bench.again(number)) == 100


async def test_one_that_is_cancelled_keeps_what_it_has_done(codec: Codec) -> None:
    async def handle(delivery: Delivery) -> None:
        if delivery.again is not None:
            await bench.clock.sleep(0.1)

    async with Redelivering(codec) as bench:
        bench.publish_many(KEYS, 10)
        async with bench.running(copier(handle)) as member:
            await bench.until_committed()
            number = await bench.ask(member)
            await bench.until(lambda: len(bench.again(number)) >= 10)
            assert await bench.redeliveries.order(number, RedeliveryState.CANCELLED)
            await bench.tell(member)
            await bench.clock.sleep(60)
            found = await bench.look(number)
            assert found.state is RedeliveryState.CANCELLED
            assert found.counts == {"applied": len(bench.again(number))}
            assert len(bench.copies()) == 100 + len(bench.again(number))


async def test_a_store_that_goes_away_is_waited_for(codec: Codec) -> None:
    async with Redelivering(codec) as bench:
        bench.publish_many(KEYS, 10)
        async with bench.running(copier()) as member:
            await bench.until_committed()
            number = await bench.ask(member)
            bench.store.is_down = True
            await bench.clock.sleep(200)
            bench.store.is_down = False
            assert (await bench.until_done(number)).counts == {"applied": 100}
    assert len(bench.again(number)) == 100
