"""Reads topics to their end outside any group, for tools. Blocks; not for the event loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from confluent_kafka import OFFSET_INVALID, Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from integration_fabric.messages.errors import Unreachable
from integration_fabric.operations.ports import TopicReader
from integration_fabric.runtime.offsets import CommitMetadata
from integration_fabric.runtime.ports import CommittedOffset
from integration_fabric.runtime.records import Record, TopicPartition

BATCH = 2000


class KafkaReader(TopicReader):
    """Implements `operations.ports.TopicReader`."""

    def __init__(self, *, config: Mapping[str, Any], timeout: timedelta = timedelta(seconds=10)) -> None:
        """Take what all clients share; `timeout` is for each answer of the broker."""
        self._config, self._timeout_s = dict(config), timeout.total_seconds()

    def topics(self) -> Sequence[str]:
        """All that there are."""
        return sorted(self._metadata())

    def read(self, topics: Sequence[str]) -> Iterator[Record]:
        """Every committed record up to the end as it is now. Topics that are not there are empty."""
        partitions = self._partitions(topics)
        if not partitions:
            return
        consumer = self._consumer()
        try:
            ends = self._ends(consumer, partitions)
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
        finally:
            consumer.close()

    def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, CommittedOffset | None]:
        """What a group has committed."""
        partitions = self._partitions(topics)
        if not partitions:
            return {}
        asked = ConsumerGroupTopicPartitions(group, [KafkaPartition(p.topic, p.partition) for p in partitions])
        admin = self._admin()  # kept until the answer is there: without it the answer never comes
        try:
            (answer,) = admin.list_consumer_group_offsets([asked], request_timeout=self._timeout_s).values()
            found = answer.result(self._timeout_s).topic_partitions
        except KafkaException as error:
            raise Unreachable(f"committed offsets of {group}: {error}") from error
        return {TopicPartition(p.topic, p.partition): _committed(p) for p in found}

    def ends(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """The offset after the last record of each partition."""
        consumer = self._consumer()
        try:
            return self._ends(consumer, self._partitions(topics))
        finally:
            consumer.close()

    def _ends(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        try:
            return {p: consumer.get_watermark_offsets(KafkaPartition(*p), timeout=self._timeout_s)[1] for p in partitions}
        except KafkaException as error:
            raise Unreachable(f"ends of partitions: {error}") from error

    def _partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        known = self._metadata()
        return [TopicPartition(topic, number) for topic in topics for number in sorted(known.get(topic, ()))]

    def _metadata(self) -> Mapping[str, Sequence[int]]:
        try:
            found = self._admin().list_topics(timeout=self._timeout_s).topics
        except KafkaException as error:
            raise Unreachable(f"the broker at {self._config.get('bootstrap.servers')} does not answer: {error}") from error
        return {name: list(topic.partitions) for name, topic in found.items()}

    def _admin(self) -> AdminClient:
        return AdminClient(self._config)

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


def broker_setting(config: Mapping[str, Any], name: str, timeout: timedelta = timedelta(seconds=10)) -> str | None:
    """What a broker says of one of its settings; None where it does not know it, or may not say. Raises Unreachable."""
    admin = AdminClient(dict(config))
    try:
        broker = next(iter(admin.list_topics(timeout=timeout.total_seconds()).brokers))
        (answer,) = admin.describe_configs([ConfigResource(ConfigResource.Type.BROKER, str(broker))]).values()
        found = answer.result(timeout.total_seconds()).get(name)
    except KafkaException as error:
        raise Unreachable(f"settings of the broker: {error}") from error
    return None if found is None else found.value


def _committed(partition: KafkaPartition) -> CommittedOffset | None:
    if partition.offset == OFFSET_INVALID:
        return None
    return CommittedOffset(partition.offset, CommitMetadata.decode(partition.metadata))
