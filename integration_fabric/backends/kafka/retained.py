"""Reads again what stands in a topic, beside every group: for redeliveries. A thread of its own makes every call of its consumer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, TopicPartition as KafkaPartition

from integration_fabric.backends.kafka.client import reason
from integration_fabric.backends.kafka.commands import CallThread
from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.ports import Retained
from integration_fabric.runtime.records import Record, TopicPartition

T = TypeVar("T")

FETCH_WITHIN_S = 2.0
"""For records to come; where none does, whoever asked asks again."""
QUEUED_KIB = 4096
"""Fetched ahead at the most: a redelivery has time."""


class KafkaRetained(Retained):
    """Implements `runtime.ports.Retained`. Connects with the first reading."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take what all clients share."""
        self._config = dict(config)
        self._thread = CallThread("retained")
        self._consumer: Consumer | None = None
        self._at: tuple[TopicPartition, int] | None = None
        """What is assigned, and the offset that it gives next."""

    async def read(self, partition: TopicPartition, position: int, end: int, limit: int) -> tuple[Sequence[Record], int]:
        """Read on, from where the last reading ended or from elsewhere."""
        return await self._in_thread(lambda: self._read(partition, position, end, limit))

    async def close(self) -> None:
        """Close the consumer; one that does not close is left behind."""
        if self._consumer is not None:
            with suppress(TimeoutError, KafkaException):
                async with asyncio.timeout(FETCH_WITHIN_S * 2):
                    await self._in_thread(self._consumer.close)
        self._thread.end()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        result: T = await asyncio.wrap_future(self._thread.run(work))
        return result

    def _read(self, partition: TopicPartition, position: int, end: int, limit: int) -> tuple[list[Record], int]:
        try:
            return self._fetch(partition, position, end, limit)
        except KafkaException as error:
            self._at = None
            raise Unavailable(f"reading {partition.topic}/{partition.partition} again: {reason(error)}") from error

    def _fetch(self, partition: TopicPartition, position: int, end: int, limit: int) -> tuple[list[Record], int]:
        if position >= end:
            return [], end
        consumer = self._consumer = self._consumer or self._connect()
        if self._at != (partition, position):
            consumer.assign([KafkaPartition(*partition, position)])
        self._at = None
        until_s = time.monotonic() + FETCH_WITHIN_S
        records: list[Record] = []
        while not records:
            for message in consumer.consume(limit, 0.2):
                if (error := message.error()) is not None:
                    raise KafkaException(error)
                found: Any = message
                records.append(Record(*partition, found.offset(), found.key(), found.value(), found.headers(), found.timestamp()[1]))
            # by position, not by the last offset: transaction markers and compaction leave no record
            (at,) = consumer.position([KafkaPartition(*partition)])
            if at.offset >= end or time.monotonic() > until_s:
                break
        onward = max(position, at.offset)
        self._at = (partition, onward)
        return [record for record in records if record.offset < end], min(onward, end)

    def _connect(self) -> Consumer:
        return Consumer(
            {
                **self._config,
                "group.id": f"fabric-retained-{uuid4().hex[:8]}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "queued.max.messages.kbytes": QUEUED_KIB,
            }
        )
