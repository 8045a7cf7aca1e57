"""Vendor payload → events. Pure: what it cannot know from the payload it asks for by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from integration_fabric.messages.base import Event
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.ids import LegalEntity, MessageId, System, deterministic_id
from integration_fabric.runtime.ports import Clock


@dataclass(frozen=True, slots=True)
class Reference:
    """A system's own id of an entity, to be resolved by cross-reference."""

    entity: str
    native_id: str


Canonical = Mapping[Reference, str]
"""What the references resolved to; those that nobody has linked are missing."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One event as intake makes it; the caller adds what does not come from the payload."""

    body: Event
    native_event_id: str
    """The vendor's id of the event, or what serves as one: the same for each time that it is sent."""
    correlation_id: str
    legal_entity: LegalEntity | None = None


class Intake(Protocol):
    """One vendor's way in."""

    def references(self, payload: bytes) -> Sequence[Reference]:
        """What must be resolved first. Raises VendorDrift with the field path."""
        ...

    def events(self, payload: bytes, canonical: Canonical) -> Sequence[Incoming]:
        """Raises VendorDrift with the field path, MissingParent where a reference that it needs is not linked yet."""
        ...


def envelope_of(incoming: Incoming, *, system: System, clock: Clock) -> Envelope:
    """Make the envelope of what came from outside: its id is the same however often it comes (architecture.md, decision 4)."""
    body = incoming.body
    identity: MessageId = deterministic_id(system, type(body).topic, incoming.native_event_id)
    return Envelope(
        body=body,
        id=identity,
        source=f"/systems/{system}",
        time=clock.now(),
        correlation_id=incoming.correlation_id,
        system=system,
        legal_entity=incoming.legal_entity,
        business_keys=body.search_keys(),
    )
