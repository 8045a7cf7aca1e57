"""What a consumer fetches and throws away again (R13)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from site_of_workers import Job, Site

from integration_fabric.backends.kafka.owner_thread import BUFFERED_HOLD_S, OwnerThread
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.policy import Policy

KEY = "k" * 1000
COUNT = 6_000
AT_ONCE = 20
MOST_TIMES = 1.5


async def test_r13_a_load_that_goes_up_and_down_fetches_nothing_again(site: Site) -> None:
    """R13: a pause throws away what was fetched: with a slow system the same megabytes would come from the broker again and again."""
    told: list[dict[str, Any]] = []
    tide = asyncio.Semaphore(0)

    async def work(_: Job) -> None:
        await tide.acquire()

    def let_through(count: int) -> None:
        for _ in range(count):
            tide.release()

    config = {**site.kit.config, "statistics.interval.ms": 100, "stats_cb": lambda text: told.append(json.loads(text))}
    consumer = OwnerThread(group=site.name, config=config, protocol=site.kit.protocol)
    bounds = Bounds(high_messages=4 * AT_ONCE, low_messages=2 * AT_ONCE)
    await site.put([f"{KEY}{number}" for number in range(COUNT)], [0])
    worker = site.start(work, consumer=consumer, policy=Policy(in_flight=AT_ONCE), bounds=bounds)
    for _ in range(4):  # long enough to be paused, then a wave, and again
        await site.until(lambda: consumer._paused and worker.loop._reins.full)
        before = site.metric("fabric_messages_total", outcome="applied")
        let_through(4 * AT_ONCE)
        await site.until(lambda before=before: site.metric("fabric_messages_total", outcome="applied") >= before + 4 * AT_ONCE)  # type: ignore[misc]
        await asyncio.sleep(BUFFERED_HOLD_S)
    let_through(COUNT)
    await site.until_committed(within_s=40)
    seen = len(told)
    await site.until(lambda: len(told) > seen)
    consumed_bytes = sum(len(KEY) + len(site.encoded(KEY, 0)) for _ in range(COUNT))
    assert told[-1]["rx_bytes"] < MOST_TIMES * consumed_bytes
    assert told[-1]["rx_bytes"] > consumed_bytes
