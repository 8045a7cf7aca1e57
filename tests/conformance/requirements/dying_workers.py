"""A process of its own with a worker for each group protocol; it says `ready`, and drains them all once it is told to.

python dying_workers.py BOOTSTRAP STORE_URL
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from broker_kit import KafkaKit
from site_of_workers import Job, Site
from store_kit import open_database

from integration_fabric.backends.kafka.groups import GroupProtocol
from integration_fabric.runtime.bounds import Bounds

BOUNDS = Bounds(drain=timedelta(seconds=1), commit=timedelta(seconds=1))


async def main(bootstrap: str, store_url: str) -> None:
    begun, go_on = set(), asyncio.Event()

    async def work(job: Job) -> None:
        begun.add(job.job)
        if job.number:
            await go_on.wait()

    with open_database(store_url) as database:
        sites = [Site(KafkaKit(bootstrap, protocol), database) for protocol in GroupProtocol]
        workers = []
        for site in sites:
            await site.make_topics()
            workers.append(site.start(work, bounds=BOUNDS))
            await site.put(["a", "b"], [0])
            await site.until(lambda site=site: site.metric("fabric_messages_total", outcome="applied") == 2)  # type: ignore[misc]
        for site in sites:
            await site.put([f"{site.kit.protocol}"], [1, 2, 3], partition=0)
        await sites[0].until(lambda: begun >= set(GroupProtocol))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        asyncio.get_running_loop().call_later(0.2, go_on.set)  # what runs ends, and is to be committed
        await asyncio.gather(*(worker.drain() for worker in workers))
        print("drained", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
