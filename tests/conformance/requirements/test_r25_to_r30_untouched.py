"""What leaves a group as it is: tools that look, and partitions that come and go (R25, R30)."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

from broker_kit import joined
from prometheus_client import REGISTRY
from site_of_workers import Job, Site

from integration_fabric.backends.kafka.owner_thread import OwnerThread

CYCLES = 60
WARM = 15


async def test_r25_whoever_reads_leaves_a_groups_offsets_and_maps_untouched(site: Site) -> None:
    """R25: nothing rewinds a group: journeys, sums and lists read outside of it, while it works and while it does not."""
    go_on = asyncio.Event()

    async def work(job: Job) -> None:
        if job.job == "slow":
            await go_on.wait()

    worker = site.start(work)
    await site.put(["slow"], [0], partition=0)
    await site.put(["a", "b"], range(5), partition=0)
    await site.until(lambda: site.metric("fabric_messages_total", outcome="applied") == 10)
    before = (await site.committed())[site.partition(0)]
    assert before is not None
    assert before.metadata is not None
    assert before.metadata.completed
    for _ in range(2):
        assert len(await site.kit.read(site.reads.topic)) == 11
        await worker.loop.lag(await site.ends())
    assert (await site.committed())[site.partition(0)] == before
    go_on.set()
    await site.until_committed()
    await worker.drain()
    after = await site.committed()
    assert len(await site.kit.read(site.reads.topic)) == 11
    assert await site.committed() == after


async def test_r25_what_is_published_again_does_not_move_what_was_done(site: Site) -> None:
    """R25: a message that comes again is a new record at the end; what was committed before stays, and its order too."""
    worker = site.start()
    await site.put(["a"], range(3), partition=0)
    await site.until_committed()
    await site.put(["a"], [1], partition=0)
    await site.until_committed()
    assert worker.loop._owned[site.partition(0)].committed == 4
    assert await site.made() == [("a", 0), ("a", 1), ("a", 2), ("a", 1)]


def series() -> int:
    """How many lines `/metrics` has."""
    return sum(len(metric.samples) for metric in REGISTRY.collect())


def objects() -> Counter[str]:
    """How many objects of our own classes there are."""
    gc.collect()
    return Counter(type(found).__qualname__ for found in gc.get_objects() if str(type(found).__module__).startswith("integration_fabric"))


async def test_r30_partitions_that_come_and_go_leave_nothing_behind(site: Site) -> None:
    """R30: a takeover on a real broker leaves no object and no line of metrics; a thousand of them run in memory."""
    worker = site.start()
    await site.until_owned(worker, 2)

    async def cycle(count: int) -> None:
        for _ in range(count):
            worker.loop._retake(list(worker.loop._owned.values()))
            await site.until_owned(worker, 2)
        del worker.transactions.asked[:]

    await cycle(WARM)
    lines, before = series(), objects()
    await cycle(CYCLES)
    grown = {name: count - before[name] for name, count in objects().items() if count - before[name] > CYCLES // 4}
    assert not grown
    assert series() == lines
    assert isinstance(worker.consumer, OwnerThread)
    assert len(worker.consumer._epochs) == 2
    async with joined(site.kit, site.name, site.reads.topic) as other:
        await other.listener.until(lambda: len(other.listener.owned) == 1)
        await site.until_owned(worker, 1)
        assert worker.consumer._epochs.keys() == worker.owned()
    await site.until_owned(worker, 2)
    assert len(worker.consumer._epochs) == 2
    assert series() == lines
