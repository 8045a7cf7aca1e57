"""What delivery needs kept: the effect log, and how systems stand. Implemented on SQL and in memory; one conformance suite runs both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from integration_fabric.messages.envelope import Coordinates
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.subscriber import Handled

PRUNED_AT_ONCE = 1_000
"""Rows, in one transaction: tens of milliseconds, for which others wait."""


class EffectState(StrEnum):
    """What is known of one effect."""

    INTENT = "intent"
    """Written before the call; whether it was carried out is open until it is done."""
    DONE = "done"
    REFUSED = "refused"
    """Definitely not carried out, and answered so."""
    UNKNOWN = "unknown"
    """Given up without knowing; a person decides."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Ours to do: an intent stands in the log."""

    generation: int


DUPLICATE = Handled(OutcomeKind.DUPLICATE, detail="applied from another position")
"""What becomes of a record whose message another one has brought."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """Done or refused before."""

    handled: Handled
    same_record: bool
    """Whether by this very record; else it is a duplicate from another position."""
    redelivery: int | None = None
    """The number of the redelivery in which it was; None for the live delivery."""

    @property
    def answer(self) -> Handled:
        """What becomes of the record that asked."""
        return self.handled if self.same_record else DUPLICATE


@dataclass(frozen=True, slots=True)
class Open:
    """An intent without an end: nobody knows."""

    generation: int
    remaining: timedelta
    """Until the call can no longer be sent, by the database's clock; not above zero where that has passed."""
    mark: float | None = None
    """Tells this intent from a later one of the same message, which another record of it may have written; None where it is one's own."""
    same_record: bool = True
    """Whether it is this very record's."""


Claim = Fresh | Remembered | Open


@dataclass(frozen=True, slots=True)
class Link:
    """A cross-reference that an effect brought about."""

    entity: str
    canonical_id: str
    system: str
    native_id: str


class EffectLog(Protocol):
    """What each subscriber did with each message. Every call is one fenced transaction, durable when it returns.

    All raise Fenced where another worker owns the partition, and Unavailable where the store does not answer; after Unavailable
    the same call may be made again.
    """

    async def claim(self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta) -> Claim:
        """Look a message up; where it is new, write an intent whose deadline is `within` from now by the database's clock."""
        ...

    async def look(self, fence: Fence, message_id: str, coordinates: Coordinates) -> Remembered | Open | None:
        """Look up what is known of a message; None where nothing is. Writes nothing."""
        ...

    async def recall(self, subscriber: str, message_ids: Sequence[str]) -> Mapping[str, Handled | None]:
        """What became of some messages, whoever owns their partitions: for tools. Writes nothing.

        Returns:
            By message, those of which anything is known; None where it has begun and has no end yet.
        """
        ...

    async def renew(
        self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta, generation: int, mark: float | None = None
    ) -> bool:
        """Write the open intent anew, as this record's, with this epoch, deadline and generation: it is about to be sent again.

        Returns:
            False where it is no longer the one of `mark`, nor this record's own: another record of the same message is on it.
        """
        ...

    async def settle(
        self,
        fence: Fence,
        message_id: str,
        coordinates: Coordinates,
        handled: Handled,
        *,
        state: EffectState,
        links: Sequence[Link] = (),
        redelivery: int | None = None,
    ) -> bool:
        """Write what became of it, with its outputs, its cross-references, and the number of the redelivery in which it was.

        Returns:
            False where another record of the same message has settled it before: this one is a duplicate.
        """
        ...

    async def withdraw(self, fence: Fence, message_id: str, coordinates: Coordinates) -> None:
        """Take this record's open intent back: nothing was sent. What is another record's stays."""
        ...

    async def give_up(self, fence: Fence, message_id: str, coordinates: Coordinates, *, mark: float | None = None) -> bool:
        """Mark an open intent as unknown: a person decides. Returns as `renew`."""
        ...

    async def prune(self, fence: Fence, *, below: int, older_than: timedelta, limit: int = PRUNED_AT_ONCE) -> int:
        """Forget what is done or refused of a partition, the lowest offsets first (protocol.md, I).

        Args:
            fence: Of the partition whose records it was.
            below: The committed base: nothing below it comes again.
            older_than: Since it was written, by the database's clock; the same id may come from another position for as long.
            limit: Looked at and forgotten at most, so that the transaction is short.

        Returns:
            How many are forgotten; with fewer than `limit` there is nothing more for now.
        """
        ...


class Flow(StrEnum):
    """Whether a system is called."""

    FLOWING = "flowing"
    THROTTLED = "throttled"
    """It asked for less: not before a moment that it named, or that was guessed."""
    AWAY = "away"
    """It did not answer again and again: one call at a time asks whether it is back."""
    REFUSING = "refusing"
    """It does not accept our credential: as away, and somebody is told."""
    PAUSED = "paused"
    """A person said so."""


@dataclass(frozen=True, slots=True)
class SystemState:
    """How one system stands, for every worker that calls it."""

    flow: Flow = Flow.FLOWING
    remaining: timedelta = timedelta()
    """Until it may be called again, by the database's clock: by all, or by one that asks whether it is back. Not above zero once it may."""
    why: str = ""
    since: datetime | None = None
    failures: int = 0
    """How often it was asked in vain whether it is back."""
    by: str = ""
    """Who paused it."""


class SystemStates(Protocol):
    """How systems stand, shared by all workers. All raise Unavailable where the store does not answer."""

    async def read(self) -> Mapping[str, SystemState]:
        """Those that anything is known of; all others flow."""
        ...

    async def turn_away(self, system: str, flow: Flow, within: timedelta, *, why: str, failures: int = 0) -> None:
        """Keep everybody from calling it for so long. What a person paused stays paused; a longer wait of the same kind stays."""
        ...

    async def flows(self, system: str) -> None:
        """It answers again. What a person paused stays paused."""
        ...

    async def claim_probe(self, system: str, within: timedelta) -> bool:
        """Whether the caller is the one that may ask whether it is back; for so long no other may."""
        ...

    async def return_probe(self, system: str) -> None:
        """The caller has not asked after all: another may at once."""
        ...

    async def pause(self, system: str, *, by: str, why: str, within: timedelta | None) -> None:
        """A person stops all calls, for a while or until `resume`."""
        ...

    async def resume(self, system: str) -> bool:
        """All calls go on, whatever stopped them. Returns whether anything did."""
        ...

    async def reserve(self, system: str, calls: int, *, per_s: float, spare: bool = False) -> timedelta:
        """Take this many calls of a rate that all workers share.

        Args:
            system: Whose.
            calls: How many.
            per_s: The rate.
            spare: Whether to take none where that would mean to wait.

        Returns:
            How long to wait before they are made; where they are spare and it is above zero, none were taken.
        """
        ...
