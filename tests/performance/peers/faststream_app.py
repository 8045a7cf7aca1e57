"""FastStream on confluent-kafka. Where it pipes, it does so at least once: it has no transactions."""

from __future__ import annotations

import asyncio

from faststream.confluent import KafkaBroker

from tests.performance.contest import Stopwatch, Task, Work, read_task
from tests.performance.workload import COPIED_TOPIC, decode, encode


async def main(task: Task) -> None:
    broker, done, watch, seen = KafkaBroker(task.bootstrap, logger=None), asyncio.Event(), Stopwatch(), 0

    @broker.subscriber(task.topic, group_id=task.name, auto_offset_reset="earliest")
    async def handle(value: bytes) -> None:
        nonlocal seen
        if not watch.began:
            watch.begin()
        record = decode(value)
        if task.work is Work.PIPE:
            await broker.publish(encode(record), COPIED_TOPIC, no_confirm=True)
        elif task.work is Work.WAIT:
            await asyncio.sleep(task.latency_ms / 1000)
        seen += 1
        if seen == task.events:
            watch.end(seen)
            done.set()

    await broker.start()
    await done.wait()
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(main(read_task()))
