"""What became of one message at one subscriber (guarantee G3). A handler returns one of the first three; the runtime knows all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from integration_fabric.messages.base import Message
from integration_fabric.messages.ids import MessageId, System


class OutcomeKind(StrEnum):
    """Each message is in exactly one of these at each subscriber, or in flight."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    FILTERED = "filtered"
    DEAD_LETTERED = "dead_lettered"
    QUEUED_BEHIND = "queued_behind"
    DISCARDED = "discarded"


@dataclass(slots=True)
class Emit:
    """A message to put out, where it needs more than its body. Not to be changed, as an envelope."""

    body: Final[Message]
    id: Final[MessageId | None] = None
    """Its id; else derived from the message that is handled, the subscriber and the place in the list."""
    system: Final[System | None] = None
    """The running system that a command is for."""
    legal_entity: Final[str | None] = None
    """Whose books it belongs to; else the handled message's."""
    correlation_id: Final[str | None] = None
    """The transaction that it belongs to; else the handled message's."""
    causation_id: Final[MessageId | None] = None
    """The message that it answers; else the handled one."""
    business_keys: Final[tuple[tuple[str, str], ...]] = ()
    """More identifiers to search by than the handled message and the body have."""


@dataclass(slots=True)
class Applied:
    """Done; `emit` goes out in the same Kafka transaction. Not to be changed, as an envelope."""

    emit: Final[Sequence[Message | Emit]] = ()
    detail: Final[str] = ""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Something newer is there already."""

    why: str


@dataclass(frozen=True, slots=True)
class Filtered:
    """Not addressed to this subscriber, e.g. another system plays the role for this legal entity."""

    why: str


Outcome = Applied | Superseded | Filtered
