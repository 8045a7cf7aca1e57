"""What the engine needs kept: instances, with the inbox of their subscriber, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from integration_fabric.canonical.entities import EntityRef
from integration_fabric.delivery.ports import PRUNED_AT_ONCE
from integration_fabric.messages.base import Event
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.ids import MessageId
from integration_fabric.process_engine.state import Instance, Timer
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.subscriber import Handled


class Desk(Protocol):
    """The instances of one process, inside one transaction: nothing else changes what it shows."""

    def by_key(self, key: str) -> Instance | None:
        """The instance for a key."""
        ...

    def by_id(self, instance_id: str) -> Instance | None:
        """The instance with an id."""
        ...

    def by_command(self, command_id: MessageId) -> Instance | None:
        """The instance that sent a command."""
        ...

    def held_on(self, ref: EntityRef) -> Sequence[Instance]:
        """The instances that wait for this master data, oldest first."""
        ...

    def changed_at(self, ref: EntityRef) -> datetime | None:
        """When this master data last changed, as far as `note_change` was told."""
        ...

    def note_change(self, ref: EntityRef, at: datetime) -> None:
        """Remember that it changed, for a refusal that arrives after the change which mends it."""
        ...

    def keep_early(self, key: str, message_id: MessageId, event: Event, *, until: datetime) -> None:
        """Keep a fact for an instance that has not begun; what is kept longer than it may be goes."""
        ...

    def take_early(self, key: str) -> Sequence[Event]:
        """The facts that were kept for this key, in the order in which they were, and keep them no longer."""
        ...

    def save(self, instance: Instance, *, sent: Sequence[MessageId], timers: Sequence[Timer]) -> None:
        """Keep an instance with the commands that it sent now, its holds and all its timers."""
        ...


Decide = Callable[[Desk], Handled]


@dataclass(frozen=True, slots=True)
class DueTimer:
    """A timer whose time has come."""

    instance_id: str
    key: str
    timer: Timer


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One instance, for lists."""

    id: str
    process: str
    version: int
    instance: Instance
    deadline_at: datetime | None


class Instances(Protocol):
    """All process instances. Raises Unavailable where the store does not answer."""

    async def handle(self, fence: Fence, message_id: MessageId, coordinates: Coordinates, *, process: str, decide: Decide) -> Handled:
        """Handle one message once.

        In one fenced transaction: what is stored of the message, if it was handled before by this record; `duplicate`, if by
        another; else what `decide` says, stored with everything that it saved. `decide` runs in the store's thread and must be pure
        but for its desk; what it raises undoes the transaction. Raises Fenced.
        """
        ...

    async def handled(self, fence: Fence, message_id: MessageId, coordinates: Coordinates) -> Handled | None:
        """What is stored of a message that this very record brought; None where it was not handled. Raises Fenced."""
        ...

    async def prune(self, fence: Fence, *, process: str, below: int, older_than: timedelta, limit: int = PRUNED_AT_ONCE) -> int:
        """As `delivery.ports.EffectLog.prune`, for what was handled of a partition; and for changes of master data that mend no refusal.

        A change is forgotten once it is as old and came before every instance of the process that has not ended: a refusal is only mended
        by a change that is no older than its command, and no command is older than its instance. Raises Fenced.

        Returns:
            How many messages are forgotten.
        """
        ...

    async def due(self, process: str, now: datetime, limit: int) -> Sequence[DueTimer]:
        """Timers whose time has come, the oldest first."""
        ...

    async def disarm(self, timer: DueTimer) -> None:
        """Take a timer off, once its message is published; one that was armed anew stays."""
        ...

    async def find(
        self, *, process: str | None = None, state: str | None = None, key: str | None = None, limit: int = 200
    ) -> Sequence[InstanceRow]:
        """Instances for people, the newest first; `key` is an instance id, a process key or a business key."""
        ...
