"""Redelivery: one subscriber is given retained messages once more, beside its live position (protocol.md, H). Pure.

A group is never rewound. What a redelivery brings about is written to SQL first and then committed to Kafka, as everything else; but no
offset says that it is done, so the commit metadata's serial does: what SQL has above it, Kafka does not have yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.records import Outgoing, TopicPartition

FAILED = "failed"
"""What became of a message that could not be applied when it was redelivered: no dead letter, which it may have been before."""
ENDS = (*(kind.value for kind in OutcomeKind), FAILED)
"""All that may become of a message that is redelivered."""


class RedeliveryState(StrEnum):
    """Where a redelivery stands."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Redelivery:
    """What a person has asked for."""

    number: int
    """Names it; given by the store."""
    subscriber: str
    force: bool
    """Whether what was applied is applied again, as an effect of its own; else only what had none is handled."""
    key: bytes | None
    """Only messages with this key."""
    by: str
    why: str
    state: RedeliveryState = RedeliveryState.RUNNING
    filed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a redelivery covers of one partition."""

    partition: TopicPartition
    topic_id: str
    first: int
    """The first offset of it."""
    end: int
    """The first offset that is no longer of it."""
    position: int
    """Below it everything is through."""

    @property
    def is_over(self) -> bool:
        """Whether all of it is through."""
        return self.position >= self.end


@dataclass(frozen=True, slots=True)
class FailedAgain:
    """A message that failed again."""

    partition: TopicPartition
    offset: int
    why: str

    @property
    def position(self) -> str:
        """Topic, partition and offset."""
        return f"{self.partition.topic}/{self.partition.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class RedeliveryProgress:
    """A redelivery, and how far it is."""

    redelivery: Redelivery
    stretches: Sequence[Stretch]
    counts: Mapping[str, int]
    """How many messages ended in each of `ENDS`."""
    failures: Sequence[FailedAgain]
    """The first of those that failed."""

    @property
    def state(self) -> RedeliveryState:
        """Where it stands: over once all of its stretches are, whatever was asked meanwhile."""
        return RedeliveryState.DONE if all(stretch.is_over for stretch in self.stretches) else self.redelivery.state


@dataclass(frozen=True, slots=True)
class Redelivered:
    """What became of one message."""

    number: int
    """The redelivery's."""
    partition: TopicPartition
    offset: int
    outcome: str
    """One of `ENDS`."""
    detail: str
    outputs: tuple[Outgoing, ...]
    transition: bytes
    """Its entry in the activity log."""


@dataclass(slots=True, eq=False)
class Unconfirmed:
    """What SQL has of a partition's redeliveries and Kafka has not, and how far the commit metadata may say that SQL has come.

    A result goes to Kafka in a commit whose serial is not below its own, so that a successor can tell by the serial alone which results it
    must emit. One that is still being written has a serial that nobody knows yet: it is above everything that was known to be durable when
    the writing began, so the metadata stays at that until it is known.
    """

    _writing: dict[int, int] = field(default_factory=dict)
    """By ticket: what was durable when the writing began."""
    _written: deque[tuple[int, Redelivered]] = field(default_factory=deque)
    _tickets: int = 0

    def begin(self, durable: int) -> int:
        """A result is about to be written.

        Args:
            durable: The highest serial that is known to be durable.

        Returns:
            A ticket. Where it is never given back, nothing above `durable` is committed: whoever comes next looks.
        """
        self._tickets += 1
        self._writing[self._tickets] = durable
        return self._tickets

    def written(self, ticket: int, serial: int, result: Redelivered) -> None:
        """It is durable, with this serial."""
        del self._writing[ticket]
        self._written.append((serial, result))

    def found(self, serial: int, result: Redelivered) -> None:
        """A predecessor has written it, and not committed it."""
        self._written.append((serial, result))

    def release(self, durable: int) -> tuple[Sequence[Redelivered], int]:
        """Take out the results that may be committed, in the order of their serials, with the serial that goes with them.

        Args:
            durable: As for `begin`, now.
        """
        serial = min((durable, *self._writing.values()))
        if not self._written:
            return (), serial
        ready = sorted((item for item in self._written if item[0] <= serial), key=lambda item: item[0])
        self._written = deque(item for item in self._written if item[0] > serial)
        return [result for _, result in ready], serial

    @property
    def releasable(self) -> bool:
        """Whether there are results that may be committed now."""
        lowest = min((serial for serial, _ in self._written), default=None)
        return lowest is not None and all(lowest <= durable for durable in self._writing.values())
