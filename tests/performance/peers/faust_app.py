"""faust-streaming. Where it pipes, it does so at least once."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import faust

from tests.performance.contest import Stopwatch, Task, Work, read_task
from tests.performance.workload import COPIED_TOPIC, decode, encode

BYTES: dict[str, Any] = {"value_type": bytes, "value_serializer": "raw", "key_type": bytes, "key_serializer": "raw"}


def main(task: Task) -> None:
    app = faust.App(
        task.name,
        broker=f"kafka://{task.bootstrap}",
        store="memory://",
        topic_disable_leader=True,  # on Kafka 4 the leader topic cannot be made
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=4096,
    )
    source, target = app.topic(task.topic, **BYTES), app.topic(COPIED_TOPIC, **BYTES)
    watch = Stopwatch()

    @app.agent(source)
    async def handle(stream: faust.StreamT[bytes]) -> None:
        seen = 0
        async for value in stream:
            if not watch.began:
                watch.begin()
            record = decode(value)
            if task.work is Work.PIPE:
                await target.send_soon(value=encode(record))
            elif task.work is Work.WAIT:
                await asyncio.sleep(task.latency_ms / 1000)
            seen += 1
            if seen == task.events:
                watch.end(seen)
                os._exit(0)  # stopping takes it many seconds

    faust.Worker(app, loglevel="ERROR").execute_from_commandline()


if __name__ == "__main__":
    main(read_task())
