"""Questions to the broker that need no group: topic ids, ends of partitions, settings. One admin client answers them all.

An admin client takes seconds to go, so whoever asks more than once keeps one of these.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import datetime, timedelta
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

from integration_fabric.backends.kafka.client import attempts, reason
from integration_fabric.messages.errors import Unreachable, UsageProblem
from integration_fabric.runtime.records import TopicPartition

ANSWER_WITHIN = timedelta(seconds=6)
"""A broker that is there answers in milliseconds; one that has just been started, in a few seconds."""
MADE_WITHIN_S = 2.0
"""A topic that was made a moment ago may not be known to the broker yet."""
_KEYS = frozenset({"bootstrap.servers", "client.id", "logger", "log.connection.close"})


class KafkaInquiry:
    """Asks the broker. Callable from any thread; each call blocks for its answer, six seconds at the most."""

    def __init__(self, config: Mapping[str, Any], *, answer_within: timedelta = ANSWER_WITHIN) -> None:
        """Take what all clients share; connects with the first question."""
        self._config = {key: value for key, value in config.items() if key in _KEYS or key.startswith(("ssl.", "sasl.", "security."))}
        self._within_s = answer_within.total_seconds()
        self._lock = threading.Lock()
        self._client: AdminClient | None = None

    @property
    def client(self) -> AdminClient:
        """The admin client."""
        with self._lock:
            if self._client is None:
                self._client = AdminClient(self._config)
            return self._client

    def partitions(self, topics: Sequence[str] | None = None) -> Mapping[str, Sequence[int]]:
        """The partitions of topics, or of all; a topic that is not there is left out. Raises Unreachable."""
        try:
            found = self.client.list_topics(timeout=self._within_s).topics
        except KafkaException as error:
            raise Unreachable(
                f"FABRIC_KAFKA__BOOTSTRAP={self._config.get('bootstrap.servers')}: the broker does not answer ({reason(error)}); "
                "start it (`fabric up`) or correct the setting"
            ) from error
        return {name: sorted(topic.partitions) for name, topic in found.items() if topics is None or name in topics}

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """The ids of topics: one that was deleted and made again has another.

        Raises:
            Unreachable: the broker does not answer.
            UsageProblem: a topic is not there; the message names all that are missing.
        """
        missing: list[str] = []
        for _ in attempts(MADE_WITHIN_S):
            found, missing = self._described(topics)
            if not missing:
                return found
        raise UsageProblem(f"topics are not there: {', '.join(sorted(missing))}; run `fabric topics apply`")

    def _described(self, topics: Sequence[str]) -> tuple[dict[str, str], list[str]]:
        """The ids of those that are there, and the others."""
        answers = self.client.describe_topics(TopicCollection(list(topics)), request_timeout=self._within_s)
        found, missing = {}, []
        for topic, answer in answers.items():
            try:
                found[topic] = str(answer.result(self._within_s).topic_id)
            except FutureTimeoutError as error:
                raise Unreachable(f"topic {topic}: the broker does not answer") from error
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise Unreachable(f"topic {topic}: {reason(error)}") from error
                missing.append(topic)
        return found, missing

    def ends(self, partitions: Sequence[TopicPartition], *, committed: bool = True) -> dict[TopicPartition, int]:
        """The offsets after the last record of partitions, all in one question. Raises Unreachable.

        Args:
            partitions: Those that are asked about.
            committed: Whether what is behind the start of an open transaction is left out, or counted in.
        """
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        return self._offsets(partitions, OffsetSpec.latest(), isolation_level=level)  # type: ignore[no-untyped-call]  # the library's

    def offsets_at(self, partitions: Sequence[TopicPartition], at: datetime | None) -> dict[TopicPartition, int]:
        """The offset of the first record of each partition that is not older than a moment; the first that is there where it is None.

        A partition whose records are all older has the end. Raises Unreachable.
        """
        spec = OffsetSpec.earliest() if at is None else OffsetSpec.for_timestamp(int(at.timestamp() * 1000))  # type: ignore[no-untyped-call]
        found = self._offsets(partitions, spec)
        older = [partition for partition, offset in found.items() if offset < 0]
        return {**found, **self.ends(older)}

    def _offsets(self, partitions: Sequence[TopicPartition], spec: OffsetSpec, **options: Any) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        answers = self.client.list_offsets(
            {KafkaPartition(*found): spec for found in partitions}, request_timeout=self._within_s, **options
        )
        try:
            return {TopicPartition(p.topic, p.partition): answer.result(self._within_s).offset for p, answer in answers.items()}
        except (KafkaException, FutureTimeoutError) as error:
            raise Unreachable(f"offsets of partitions: {error}") from error

    def held_up(self) -> list[TopicPartition]:
        """Partitions of which records cannot be read yet, as they stand behind the start of an open transaction. Raises Unreachable."""
        try:
            found = self.client.list_topics(timeout=self._within_s).topics
        except KafkaException as error:
            raise Unreachable(f"topics: {reason(error)}") from error
        partitions = [TopicPartition(name, number) for name, topic in found.items() if name[:2] != "__" for number in topic.partitions]
        readable, written = self.ends(partitions), self.ends(partitions, committed=False)
        return [partition for partition in partitions if readable[partition] < written[partition]]

    def broker_setting(self, name: str) -> str | None:
        """What a broker says of one of its settings; None where it does not know it, or may not say. Raises Unreachable."""
        try:
            broker = next(iter(self.client.list_topics(timeout=self._within_s).brokers))
            (answer,) = self.client.describe_configs([ConfigResource(ConfigResource.Type.BROKER, str(broker))]).values()
            found = answer.result(self._within_s).get(name)
        except (KafkaException, FutureTimeoutError) as error:
            raise Unreachable(f"settings of the broker: {error}") from error
        return None if found is None else found.value
