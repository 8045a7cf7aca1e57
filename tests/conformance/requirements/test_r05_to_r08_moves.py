"""A partition moves while it is worked on: nothing is done twice at once, doubled, lost or committed by another (R05 to R08, R15)."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from broker_kit import PATIENCE_S, KafkaKit, Member, joined, unique
from site_of_workers import Job, Site, Worker

from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.records import TopicPartition

SHORT = Bounds(revoke=timedelta(milliseconds=50), commit=timedelta(milliseconds=200))
"""A handover does not wait for what hangs here."""


@dataclass
class Hanging:
    """A handler that hangs at first, and notes who runs."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    begun: Counter[str] = field(default_factory=Counter)
    running: Counter[str] = field(default_factory=Counter)
    most: int = 0
    """Of one key at once."""

    async def __call__(self, job: Job) -> None:
        self.begun[job.job] += 1
        self.running[job.job] += 1
        self.most = max(self.most, self.running[job.job])
        try:
            await self.go_on.wait()
        finally:
            self.running[job.job] -= 1


@asynccontextmanager
async def moved(site: Site, worker: Worker) -> AsyncIterator[Member]:
    """Another member has one of the two partitions, and hands it back at the end."""
    async with joined(site.kit, site.name, site.reads.topic) as other:
        await other.listener.until(lambda: len(other.listener.owned) == 1)
        await site.until_owned(worker, 1)
        yield other


async def begin(site: Site) -> tuple[Worker, Hanging]:
    """A worker that handles the first job of each of the two keys, one in each partition."""
    hanging = Hanging()
    worker = site.start(hanging, bounds=SHORT)
    await site.until_owned(worker, 2)
    await site.put(["a", "b"], range(3))
    await site.until(lambda: hanging.begun.total() == 2)
    return worker, hanging


async def test_r05_a_key_that_runs_in_an_older_epoch_is_waited_for(site: Site) -> None:
    """R05: at most one handler of a lane runs, one of an older epoch included: revoked and regained, the key's new delivery waits."""
    worker, hanging = await begin(site)
    async with moved(site, worker):
        pass
    await site.until_owned(worker, 2)
    await site.until(lambda: worker.loop._lanes.queued >= 5)  # it was delivered again, with what stands behind it
    assert hanging.begun == {"a": 1, "b": 1}
    hanging.go_on.set()
    await site.until_committed()
    assert hanging.most == 1
    assert await site.made_by_key() == {"a": [0, 1, 2], "b": [0, 1, 2]}


async def test_r06_a_result_that_comes_while_another_owns_the_partition_is_discarded(site: Site) -> None:
    """R06: it never touches new state: the offset is handled exactly once more, and the commit goes past it."""
    worker, hanging = await begin(site)
    async with moved(site, worker) as other:
        (gone,) = other.listener.owned
        hanging.go_on.set()
        await site.until(lambda: hanging.running.total() == 0)
    await site.until_committed()
    away, kept = ("a", "b") if gone == site.partition(0) else ("b", "a")
    assert hanging.begun[away] == 4
    if site.kit.protocol.is_incremental:  # else all partitions went, for a moment
        assert hanging.begun[kept] == 3
    assert await site.made_by_key() == {"a": [0, 1, 2], "b": [0, 1, 2]}


async def test_r06_a_result_that_comes_after_the_partition_came_back_is_discarded(site: Site) -> None:
    """R06: the offset is queued again by then, and open in the new state: only what it becomes there counts."""
    worker, hanging = await begin(site)
    async with moved(site, worker) as other:
        (gone,) = other.listener.owned
    await site.until_owned(worker, 2)
    await site.until(lambda: worker.loop._owned[gone].progress.open_count == 3)
    hanging.go_on.set()
    await site.until_committed()
    assert hanging.begun["a" if gone == site.partition(0) else "b"] == 4
    assert await site.made_by_key() == {"a": [0, 1, 2], "b": [0, 1, 2]}
    assert not worker.task.done()


async def test_r08_nothing_is_committed_of_what_another_owns(site: Site) -> None:
    """R08: a broker takes offsets of any partition from a live member; the runtime sends none of one that it does not own now."""
    worker, hanging = await begin(site)
    async with moved(site, worker) as other:
        (gone,) = other.listener.owned
        del worker.transactions.asked[:]
        hanging.go_on.set()
        (kept,) = site.all_partitions() - {gone}
        async with asyncio.timeout(PATIENCE_S):
            while await committed_of(site, kept) < 3:
                await site.until(lambda: True)
        assert all(set(commit.offsets) == {kept} for commit in worker.transactions.asked)
        assert await committed_of(site, gone) == 0
    await site.until_committed()


async def test_r08_what_was_about_to_be_committed_when_a_partition_went_is_left_out(site: Site) -> None:
    """R08: the commit that was under way is refused as a whole; what is still owned goes out again, without the rest."""
    worker, hanging = await begin(site)
    worker.transactions.open.clear()
    hanging.go_on.set()
    await site.until(lambda: worker.transactions.asked and len(worker.transactions.asked[-1].outputs) > 1)
    under_way = len(worker.transactions.asked)
    async with joined(site.kit, site.name, site.reads.topic) as other:  # a takeover waits for the commit, too
        await other.listener.until(lambda: len(other.listener.owned) == 1)
        (gone,) = other.listener.owned
        worker.transactions.open.set()
        (kept,) = site.all_partitions() - {gone}
        async with asyncio.timeout(PATIENCE_S):
            while await committed_of(site, kept) < 3:
                await site.until(lambda: True)
        assert all(set(commit.offsets) == {kept} for commit in worker.transactions.asked[under_way:])
        assert await committed_of(site, gone) == 0
    await site.until_committed()
    assert await site.made_by_key() == {"a": [0, 1, 2], "b": [0, 1, 2]}


async def committed_of(site: Site, partition: TopicPartition) -> int:
    found = (await site.committed())[partition]
    assert found is not None
    return found.offset


async def test_r15_what_runs_at_a_handover_is_finished_and_committed_first(site: Site) -> None:
    """R15: a handover waits, bounded, for what runs and commits it, so the next owner does not do it again."""
    hanging = Hanging()
    worker = site.start(hanging)
    await site.until_owned(worker, 2)
    await site.put(["a", "b"], [0])
    await site.until(lambda: hanging.begun.total() == 2)
    loop = asyncio.get_running_loop()
    async with joined(site.kit, site.name, site.reads.topic) as other:
        await site.until(lambda: any(owned.leaving.is_set() for owned in worker.loop._owned.values()))
        loop.call_later(0.2, hanging.go_on.set)
        await other.listener.until(lambda: len(other.listener.owned) == 1)
        found = await other.consumer.committed(list(other.listener.owned))
        assert [committed.offset for committed in found.values()] == [1]
    await site.until_committed()
    assert hanging.begun == {"a": 1, "b": 1}


async def test_r15_a_generation_that_rises_with_the_handover_itself_lets_it_commit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """R15: it may rise in the background just before the handover is told, so that what was seen last is a generation behind."""
    hanging = Hanging()
    worker = site.start(hanging)
    await site.until_owned(worker, 2)
    await site.put(["a", "b"], [0])
    await site.until(lambda: hanging.begun.total() == 2)
    look = worker.consumer._look
    told = {"_on_revoke", "_on_assign"}
    monkeypatch.setattr(worker.consumer, "_look", lambda: look() if sys._getframe(1).f_code.co_name in told else None)
    async with joined(site.kit, site.name, site.reads.topic) as other:
        await site.until(lambda: any(owned.leaving.is_set() for owned in worker.loop._owned.values()))
        hanging.go_on.set()
        await other.listener.until(lambda: len(other.listener.owned) == 1)
        found = await other.consumer.committed(list(other.listener.owned))
        assert [committed.offset for committed in found.values()] == [1]
        monkeypatch.undo()
    await site.until_committed()
    assert hanging.begun == {"a": 1, "b": 1}


async def test_r15_a_handover_that_outlasts_its_bound_loses_nothing(site: Site) -> None:
    """R15: a handler that takes longer is done again by the next owner; its result here counts for nothing."""
    first, hanging = await begin(site)
    quick = Hanging()
    quick.go_on.set()
    second = site.start(quick)
    await site.until_owned(second, 1)
    hanging.go_on.set()
    await site.until_committed()
    assert quick.begun.total() >= 3
    assert await site.made_by_key() == {"a": [0, 1, 2], "b": [0, 1, 2]}
    assert len(first.owned() | second.owned()) == 2


async def test_r15_a_listener_that_raises_does_not_reach_the_consumer(kafka_kit: KafkaKit) -> None:
    """R15: what a callback raises comes out of `poll` with the partitions still assigned: nothing may come out of one."""
    topic, group = unique("topic"), unique("group")
    await kafka_kit.create_topic(topic, 2)
    both = {TopicPartition(topic, 0), TopicPartition(topic, 1)}

    async def fail(_: Sequence[TopicPartition]) -> None:
        raise ValueError("a defect of the listener")

    async with joined(kafka_kit, group, topic, revoked=fail) as member:
        await member.owns(*both)
        async with joined(kafka_kit, group, topic) as other:
            await other.listener.until(lambda: len(other.listener.owned) == 1)
            await member.listener.until(lambda: len(member.listener.owned) == 1)
        await member.owns(*both)
        await member.go(*both)
        await kafka_kit.put(topic, [(b"k", b"v")])
        await member.receives(b"v")
        assert member.listener.errors == []
        assert "lost" in {what for what, _ in member.listener.told}
