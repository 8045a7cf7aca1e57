"""A partition moves while it is worked on: nothing is done twice at once, doubled, lost or committed by another (R05 to R08, R15)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from broker_kit import KafkaKit, Member, Recorder, joined, unique
from site_of_workers import Job, Site, Worker

from integration_fabric.runtime.consumer import Bounds
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


async def test_r06_a_result_of_a_stale_epoch_is_discarded(site: Site) -> None:
    """R06: it never touches new state: the offset is handled exactly once more, and the commit goes past it."""
    worker, hanging = await begin(site)
    async with moved(site, worker) as other:
        (gone,) = other.listener.owned
        hanging.go_on.set()
        await site.until(lambda: hanging.running.total() == 0)
    await site.until_owned(worker, 2)
    await site.until_committed()
    away, kept = ("a", "b") if gone == site.partition(0) else ("b", "a")
    assert hanging.begun[away] == 4
    if site.kit.protocol.is_incremental:  # else all partitions went, for a moment
        assert hanging.begun[kept] == 3
    assert await site.made_by_key() == {"a": [0, 1, 2], "b": [0, 1, 2]}


async def test_r08_nothing_is_committed_of_what_another_owns(site: Site) -> None:
    """R08: a broker takes offsets of any partition from a live member; the runtime sends none of one that it does not own now."""
    worker, hanging = await begin(site)
    async with moved(site, worker) as other:
        (gone,) = other.listener.owned
        del worker.transactions.asked[:]
        hanging.go_on.set()
        (kept,) = worker.owned()
        await site.until(lambda: worker.loop._owned[kept].committed == 3)
        assert worker.transactions.asked
        assert all(set(commit.offsets) == {kept} for commit in worker.transactions.asked)
        left = (await site.committed())[gone]
        assert left is not None
        assert left.offset == 0
    await site.until_committed()


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
        assert ("lost",) in {told[:1] for told in member.listener.told}
    assert isinstance(member.listener, Recorder)
