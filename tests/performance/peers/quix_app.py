"""Quix Streams, exactly once where it pipes. It pins an older confluent-kafka, so it runs in a virtual environment of its own."""

from __future__ import annotations

import time

from quixstreams import Application  # type: ignore[import-not-found]  # in its own virtual environment alone

from tests.performance.contest import Stopwatch, Task, Work, read_task
from tests.performance.workload import COPIED_TOPIC, decode, encode

IDLE_S = 20.0
"""It ends by itself when nothing has come for this long."""


class Counter:
    """The function of the stream. Offsets of the last events are committed at the end of the run, outside of the measured time."""

    def __init__(self, task: Task) -> None:
        self._task, self._seen, self._watch = task, 0, Stopwatch()

    def handle(self, value: bytes) -> bytes:
        if not self._watch.began:
            self._watch.begin()
        record = decode(value)
        if self._task.work is Work.WAIT:
            time.sleep(self._task.latency_ms / 1000)
        self._seen += 1
        answer = encode(record) if self._task.work is Work.PIPE else value
        if self._seen == self._task.events:
            self._watch.end(self._seen)
        return answer


def main(task: Task) -> None:
    application = Application(
        broker_address=task.bootstrap,
        consumer_group=task.name,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once" if task.work is Work.PIPE else "at-least-once",
        loglevel="ERROR",
        auto_create_topics=False,
    )
    source = application.topic(task.topic, value_deserializer="bytes", key_deserializer="bytes")
    frame = application.dataframe(source).apply(Counter(task).handle)
    if task.work is Work.PIPE:
        frame.to_topic(application.topic(COPIED_TOPIC, value_serializer="bytes", key_serializer="bytes"))
    application.run(count=task.events, timeout=IDLE_S)


if __name__ == "__main__":
    main(read_task())
