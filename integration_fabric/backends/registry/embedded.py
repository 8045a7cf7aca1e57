"""A schema registry without a server: schemas stand on a compacted Kafka topic, and their ids follow from their text.

So every process on every machine sees the same ids with no coordination. For a fabric that has no Confluent-compatible registry.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message as KafkaMessage, Producer, TopicPartition

from integration_fabric.backends.kafka.admin import KafkaAdmin, WantedTopic
from integration_fabric.backends.kafka.client import attempts, make_client, reason
from integration_fabric.messages.errors import ContractBroken, Unavailable, Undecodable

SCHEMAS_TOPIC = WantedTopic("fabric.schemas.v1", partitions=1, compacted=True)
"""Key `<subject>/<id>`, value JSON {subject, id, schema}. One partition: versions are in the order of their first appearance."""
ANSWER_WITHIN = timedelta(seconds=10)
LOOK_AGAIN_AFTER = timedelta(seconds=1)
"""For one id that is not there: somebody may send thousands of records with it."""

_MAX_MISSED = 10_000
_BATCH = 500
_PASSING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001  the library's own name: it has not heard yet of what the broker leads
        KafkaError._TRANSPORT,  # noqa: SLF001  the connection went while the broker ended
    }
)
_log = logging.getLogger(__name__)


class EmbeddedRegistry:
    """`governance.ports.SchemaRegistry` on a topic. It judges no compatibility: `fabric schemas push` does, before it registers.

    Args:
        config: From `client_configuration`.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._lock = Lock()
        self._schemas: dict[int, str] = {}
        self._subjects: dict[str, list[int]] = {}
        self._positions: dict[int, int] = {}
        """Offset to go on from, by partition."""
        self._read_s = -math.inf
        """When the topic was last read to its end."""
        self._is_topic_there = False
        self._missed: dict[int, float] = {}
        """When an id was last looked for in vain."""

    def register(self, subject: str, schema: str) -> int:
        """Add a version to a subject; the topic is made where it is missing.

        Raises:
            ContractBroken: Another schema has the same id, which chance does once in a hundred thousand schemas or so.
        """
        schema_id = id_of(schema)
        with self._lock:
            if schema_id not in self._subjects.get(subject, ()) and time.monotonic() - self._read_s > LOOK_AGAIN_AFTER.total_seconds():
                self._read()
            other = self._schemas.get(schema_id)
            if other is not None and _canonical(other) != _canonical(schema):
                raise ContractBroken(f"{subject}: schema id {schema_id} belongs to another schema already; change a `doc` in yours")
            if schema_id not in self._subjects.get(subject, ()):
                self._write(subject, schema_id, schema)
                self._note(subject, schema_id, schema)
            return schema_id

    def schema(self, schema_id: int) -> str:
        """The schema with an id. Reads on where it is not known yet, at most once a second for the same id."""
        with self._lock:
            if self._read_s == -math.inf or (schema_id not in self._schemas and self._may_look(schema_id)):
                self._read()
            if schema_id not in self._schemas:
                raise Undecodable(f"schema id {schema_id} is not at the registry (topic {SCHEMAS_TOPIC.name})")
            return self._schemas[schema_id]

    def id_of(self, subject: str, schema: str) -> int | None:
        """The id of a schema; None where the subject does not have it."""
        schema_id = id_of(schema)
        with self._lock:
            if schema_id not in self._subjects.get(subject, ()) and (self._read_s == -math.inf or self._may_look(schema_id)):
                self._read()
            return schema_id if schema_id in self._subjects.get(subject, ()) else None

    def versions(self, subject: str) -> Sequence[int]:
        """Ids of the subject's versions, the oldest first."""
        with self._lock:
            self._read()
            return tuple(self._subjects.get(subject, ()))

    def subjects(self) -> Sequence[str]:
        """Every subject, sorted."""
        with self._lock:
            self._read()
            return sorted(self._subjects)

    def _may_look(self, schema_id: int) -> bool:
        now_s = time.monotonic()
        if now_s - self._missed.get(schema_id, -LOOK_AGAIN_AFTER.total_seconds()) < LOOK_AGAIN_AFTER.total_seconds():
            return False
        if len(self._missed) >= _MAX_MISSED:
            self._missed.clear()
        self._missed[schema_id] = now_s
        return True

    def _write(self, subject: str, schema_id: int, schema: str) -> None:
        if not self._is_topic_there:
            KafkaAdmin(self._config).apply([SCHEMAS_TOPIC])
            self._is_topic_there = True
        failures: list[KafkaError] = []
        producer = make_client(Producer, {**self._config, "acks": "all", "message.timeout.ms": int(ANSWER_WITHIN.total_seconds() * 1000)})
        producer.produce(
            SCHEMAS_TOPIC.name,
            key=f"{subject}/{schema_id}".encode(),
            value=json.dumps({"subject": subject, "id": schema_id, "schema": schema}).encode(),
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
        left = producer.flush(ANSWER_WITHIN.total_seconds() + 1)
        if left or failures:
            raise Unavailable(f"{SCHEMAS_TOPIC.name}: not acknowledged ({reason(failures[0]) if failures else 'no answer'})")

    def _read(self) -> None:
        """Read on to the end of the topic; a broker that has just started may not lead it yet, and is asked again."""
        for is_last in attempts(ANSWER_WITHIN.total_seconds()):
            try:
                self._read_once()
            except KafkaException as error:
                if is_last or error.args[0].code() not in _PASSING:
                    raise Unavailable(f"{SCHEMAS_TOPIC.name}: {reason(error)}") from error
            else:
                return

    def _read_once(self) -> None:
        consumer = make_client(Consumer, {**self._config, "group.id": "fabric-schemas", **_READ_ONLY})
        try:
            ends = self._ends(consumer)
            behind = {partition: end for partition, end in ends.items() if self._positions.get(partition, 0) < end}
            consumer.assign(
                [TopicPartition(SCHEMAS_TOPIC.name, partition, self._positions.setdefault(partition, 0)) for partition in behind]
            )
            deadline_s = time.monotonic() + ANSWER_WITHIN.total_seconds()
            while any(self._positions[partition] < end for partition, end in behind.items()):
                if time.monotonic() > deadline_s:
                    raise Unavailable(f"{SCHEMAS_TOPIC.name}: not read to its end within {ANSWER_WITHIN.total_seconds():g} s")
                for message in consumer.consume(_BATCH, 0.1):
                    self._take(message)
        finally:
            consumer.close()
        self._read_s = time.monotonic()

    def _ends(self, consumer: Consumer) -> dict[int, int]:
        """The end of each partition; none where the topic is not there yet."""
        bound_s = ANSWER_WITHIN.total_seconds()
        topic = consumer.list_topics(SCHEMAS_TOPIC.name, timeout=bound_s).topics[SCHEMAS_TOPIC.name]
        if topic.error is not None:
            if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return {}
            raise KafkaException(topic.error)
        places = (TopicPartition(topic.topic, partition) for partition in topic.partitions)
        return {place.partition: consumer.get_watermark_offsets(place, timeout=bound_s)[1] for place in places}

    def _take(self, message: KafkaMessage) -> None:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if partition is None or offset is None:
            return
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name for it
                raise KafkaException(error)
            self._positions[partition] = offset  # beyond what compaction and transaction markers leave out
            return
        self._positions[partition] = offset + 1
        key, value = message.key(), message.value()
        if value is not None:
            try:
                self._note(*_entry(value))
            except (ValueError, TypeError, KeyError) as error:
                _log.warning("%s: passed over what is no schema, key %r: %s", SCHEMAS_TOPIC.name, key, error)

    def _note(self, subject: str, schema_id: int, schema: str) -> None:
        self._schemas[schema_id] = schema
        versions = self._subjects.setdefault(subject, [])
        if schema_id not in versions:
            versions.append(schema_id)


_READ_ONLY = {"enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True, "fetch.wait.max.ms": 50}


def id_of(schema: str) -> int:
    """The id of a schema: 31 bits of the SHA-256 of its canonical JSON, and never 0."""
    digest = hashlib.sha256(_canonical(schema).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF or 1


def _entry(value: str | bytes) -> tuple[str, int, str]:
    entry = json.loads(value)
    subject, schema_id, schema = str(entry["subject"]), int(entry["id"]), str(entry["schema"])
    if id_of(schema) != schema_id:
        raise ValueError("the id is not that of the schema")
    return subject, schema_id, schema


def _canonical(schema: str) -> str:
    return json.dumps(json.loads(schema), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
