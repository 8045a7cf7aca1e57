"""What is taken from a topic and what is put on one: bytes with coordinates. Kafka and memory backends make and take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from integration_fabric.messages.envelope import Coordinates


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """One record as it was taken."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] | None
    timestamp_ms: int
    """Of the record, in milliseconds since 1970."""

    @property
    def coordinates(self) -> Coordinates:
        """Where it stands."""
        return Coordinates(self.topic, self.partition, self.offset)

    @property
    def size_bytes(self) -> int:
        """Of key and value; to count headers would take as long as to queue a message."""
        return len(self.value or b"") + len(self.key or b"")


@dataclass(slots=True)
class Outgoing:
    """One record to be put out: encoded, so that putting it out cannot fail on its content. Not to be changed, as an envelope."""

    topic: Final[str]
    key: Final[bytes | None]
    value: Final[bytes | None]
    headers: Final[tuple[tuple[str, bytes], ...]]
