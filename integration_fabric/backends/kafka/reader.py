"""Reads topics to their end outside any group, for tools. Blocks; not for the event loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any
from uuid import uuid4

from confluent_kafka import OFFSET_INVALID, Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition as KafkaPartition

from integration_fabric.backends.kafka.inquiry import ANSWER_WITHIN, KafkaInquiry
from integration_fabric.messages.errors import Unreachable
from integration_fabric.operations.ports import TopicReader
from integration_fabric.runtime.offsets import CommitMetadata
from integration_fabric.runtime.ports import CommittedOffset
from integration_fabric.runtime.records import Record, TopicPartition

BATCH = 2000
WHOLE_WITHIN_S = 60.0
"""Without a record: the broker ends what a killed producer has left open within 30 s (`transactions.TRANSACTION_TIMEOUT`), and a little."""


class KafkaReader(TopicReader):
    """Implements `operations.ports.TopicReader`."""

    def __init__(self, *, config: Mapping[str, Any], inquiry: KafkaInquiry | None = None) -> None:
        """Take what all clients share, and who answers questions about topics."""
        self._config = dict(config)
        self._inquiry = inquiry or KafkaInquiry(config)

    def topics(self) -> Sequence[str]:
        """All that there are."""
        return sorted(self._inquiry.partitions())

    def read(self, topics: Sequence[str], *, whole: bool = False) -> Iterator[Record]:
        """Every committed record up to the end as it is now. Topics that are not there are empty."""
        partitions = self._partitions(topics)
        if not partitions:
            return
        ends = self._inquiry.ends(partitions, committed=not whole)
        until_s = time.monotonic() + WHOLE_WITHIN_S
        consumer = self._consumer()
        try:
            open_ = {partition for partition, end in ends.items() if end > 0}
            consumer.assign([KafkaPartition(p.topic, p.partition, 0) for p in open_])
            while open_:
                messages = consumer.consume(BATCH, 0.2)
                for message in messages:
                    error = message.error()
                    if error is not None:
                        raise Unreachable(f"reading {', '.join(topics)}: {error}")
                    record: Any = message
                    place = (record.topic(), record.partition(), record.offset())
                    if place[2] < ends[TopicPartition(place[0], place[1])]:
                        yield Record(*place, record.key(), record.value(), record.headers(), record.timestamp()[1])
                # by position, not by the last offset: transaction markers and compaction leave no record at the end
                at = consumer.position([KafkaPartition(p.topic, p.partition) for p in open_])
                open_ -= {TopicPartition(p.topic, p.partition) for p in at if p.offset >= ends[TopicPartition(p.topic, p.partition)]}
                if messages:
                    until_s = time.monotonic() + WHOLE_WITHIN_S
                elif time.monotonic() > until_s:
                    raise Unreachable(f"{', '.join(sorted(p.topic for p in open_))}: a transaction stays open, and hides what is behind it")
        finally:
            consumer.close()

    def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, CommittedOffset | None]:
        """What a group has committed."""
        partitions = self._partitions(topics)
        if not partitions:
            return {}
        asked = ConsumerGroupTopicPartitions(group, [KafkaPartition(p.topic, p.partition) for p in partitions])
        try:
            (answer,) = self._inquiry.client.list_consumer_group_offsets([asked]).values()
            found = answer.result(ANSWER_WITHIN.total_seconds()).topic_partitions
        except (KafkaException, FutureTimeoutError) as error:
            raise Unreachable(f"committed offsets of {group}: {error}") from error
        return {TopicPartition(p.topic, p.partition): _committed(p) for p in found}

    def ends(self, topics: Sequence[str], *, committed: bool = True) -> Mapping[TopicPartition, int]:
        """The offset after the last record of each partition."""
        return self._inquiry.ends(self._partitions(topics), committed=committed)

    def _partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        known = self._inquiry.partitions(topics)
        return [TopicPartition(topic, number) for topic in topics for number in known.get(topic, ())]

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **self._config,
                "group.id": f"fabric-reader-{uuid4().hex[:8]}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": False,
            }
        )


def _committed(partition: KafkaPartition) -> CommittedOffset | None:
    if partition.offset == OFFSET_INVALID:
        return None
    return CommittedOffset(partition.offset, CommitMetadata.decode(partition.metadata))
