"""Partitions come and go a thousand times: nothing of them is left behind."""

from __future__ import annotations

import gc
from collections import Counter

from loop_bench import Bench, copier
from prometheus_client import REGISTRY

from integration_fabric.runtime.ports import Codec

CYCLES = 1_000
WARM = 50
"""Cycles before counting: what is made once is there then."""


def series() -> int:
    """How many lines `/metrics` has."""
    return sum(len(metric.samples) for metric in REGISTRY.collect())


def objects() -> Counter[str]:
    """How many objects of each class there are."""
    gc.collect()
    return Counter(type(found).__qualname__ for found in gc.get_objects())


async def test_r30_a_thousand_assignments_leave_no_objects_and_no_metrics(codec: Codec) -> None:
    """R30: what is counted follows from what is there, so nothing grows with partitions that were lost and came back."""
    async with Bench(codec, partitions=3) as bench, bench.running(copier()) as member:

        def is_back(before: int) -> bool:
            return len(member.loop.partitions()) == 3 and min(member.consumer.snapshot().epochs.values()) > before

        async def cycle(count: int) -> None:
            for _ in range(count):
                before = max(member.consumer.snapshot().epochs.values())
                member.consumer.lose()
                await bench.until(lambda before=before: is_back(before))  # type: ignore[misc]
            del member.transactions.commits[:]  # for tests to look at

        bench.publish_many(("a", "b", "c"), 5)
        await bench.until_committed()
        await cycle(WARM)
        lines, before = series(), objects()
        await cycle(CYCLES)
        grown = {name: count - before[name] for name, count in objects().items() if count - before[name] > CYCLES // 10}
        assert not grown
        assert series() == lines
        bench.publish_many(("a", "b", "c"), 5)
        await bench.until_committed()
    assert all(bench.versions(key) == [0, 1, 2, 3, 4] * 2 for key in ("a", "b", "c"))
