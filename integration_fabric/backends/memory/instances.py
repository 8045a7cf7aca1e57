"""Process instances in memory, with the inbox of their subscriber in the same piece of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.canonical.entities import EntityRef
from integration_fabric.delivery.ports import PRUNED_AT_ONCE, Remembered
from integration_fabric.messages.base import Event
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.ids import MessageId
from integration_fabric.process_engine.engine import ENDED
from integration_fabric.process_engine.ports import Decide, Desk, DueTimer, InstanceRow, Instances
from integration_fabric.process_engine.state import Instance, Timer, instance_id
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.subscriber import Handled


@dataclass(frozen=True, slots=True)
class _Done:
    """A message that was handled."""

    topic_id: str
    coordinates: Coordinates
    handled: Handled
    written_at: datetime


@dataclass(frozen=True, slots=True)
class _Armed:
    """A timer and whose it is."""

    process: str
    key: str
    timer: Timer


class MemoryInstances(Instances):
    """Implements `process_engine.ports.Instances`."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.by_id: dict[str, Instance] = {}
        self.commands: dict[MessageId, str] = {}
        self.changes: dict[tuple[str, EntityRef], datetime] = {}
        self.early: dict[tuple[str, str, str], tuple[Event, datetime]] = {}
        self._timers: dict[tuple[str, str], _Armed] = {}
        self._inbox: dict[tuple[str, str], _Done] = {}

    async def handle(self, fence: Fence, message_id: MessageId, coordinates: Coordinates, *, process: str, decide: Decide) -> Handled:
        """Handle one message once."""

        def work() -> Handled:
            self.store.hold_fence(fence)
            stored = self._recall(fence, message_id, coordinates)
            if stored is not None:
                return stored.answer
            handled = decide(MemoryDesk(self, process))
            self.store.put(self._inbox, (fence.subscriber, message_id), _Done(fence.topic_id, coordinates, handled, self.store.clock.now()))
            return handled

        return await self.store.run(work)

    async def handled(self, fence: Fence, message_id: MessageId, coordinates: Coordinates) -> Handled | None:
        """What is stored of what this record brought."""

        def work() -> Handled | None:
            self.store.hold_fence(fence)
            stored = self._recall(fence, message_id, coordinates)
            return stored.handled if stored is not None and stored.same_record else None

        return await self.store.run(work)

    def _recall(self, fence: Fence, message_id: MessageId, coordinates: Coordinates) -> Remembered | None:
        """What is stored of a message."""
        done = self._inbox.get((fence.subscriber, message_id))
        if done is None:
            return None
        return Remembered(done.handled, (done.topic_id, done.coordinates[1:]) == (fence.topic_id, coordinates[1:]))

    async def prune(self, fence: Fence, *, process: str, below: int, older_than: timedelta, limit: int = PRUNED_AT_ONCE) -> int:
        """Forget what is old: messages of the partition, and changes of master data."""

        def work() -> int:
            self.store.hold_fence(fence)
            before = self.store.clock.now() - older_than
            self._forget_changes(process, before, limit)
            old = [key for key in self._lowest(fence, below, limit) if self._inbox[key].written_at < before]
            for key in old:
                self.store.drop(self._inbox, key)
            return len(old)

        return await self.store.run(work)

    def _forget_changes(self, process: str, before: datetime, limit: int) -> None:
        """Those that came before every open instance."""
        since = [item.since for item in self.by_id.values() if item.process == process and item.state not in ENDED]
        useless = [key for key, at in self.changes.items() if key[0] == process and at < min((before, *since))]
        for key in useless[:limit]:
            self.store.drop(self.changes, key)

    def _lowest(self, fence: Fence, below: int, limit: int) -> list[tuple[str, str]]:
        """Keys of what was handled of a partition, by offset."""
        place = (fence.subscriber, fence.topic_id, fence.partition)
        mine = [
            (done.coordinates.offset, key)
            for key, done in self._inbox.items()
            if (key[0], done.topic_id, done.coordinates.partition) == place and done.coordinates.offset < below
        ]
        return [key for _, key in sorted(mine)[:limit]]

    async def due(self, process: str, now: datetime, limit: int) -> Sequence[DueTimer]:
        """Timers whose time has come."""

        def work() -> list[DueTimer]:
            found = [
                DueTimer(instance_id, armed.key, armed.timer)
                for (instance_id, _), armed in self._timers.items()
                if armed.process == process and armed.timer.due_at <= now
            ]
            return sorted(found, key=lambda due: due.timer.due_at)[:limit]

        return await self.store.run(work)

    async def disarm(self, timer: DueTimer) -> None:
        """Take it off."""

        def work() -> None:
            key = (timer.instance_id, timer.timer.step)
            armed = self._timers.get(key)
            if armed is not None and armed.timer.arm == timer.timer.arm:
                self.store.drop(self._timers, key)

        await self.store.run(work)

    async def find(
        self, *, process: str | None = None, state: str | None = None, key: str | None = None, limit: int = 200
    ) -> Sequence[InstanceRow]:
        """Instances for people."""

        def work() -> list[InstanceRow]:
            found = [item for item in self.by_id.values() if _matches(item, process, state, key)]
            found.sort(key=lambda item: item.since, reverse=True)
            return [InstanceRow(item.id, item.process, item.version, item, self._deadline_at(item)) for item in found[:limit]]

        return await self.store.run(work)

    def rearm(self, instance: Instance, timers: Sequence[Timer]) -> None:
        """Replace the timers of an instance, inside a piece of work."""
        for key in [key for key in self._timers if key[0] == instance.id]:
            self.store.drop(self._timers, key)
        for timer in timers:
            self.store.put(self._timers, (instance.id, timer.step), _Armed(instance.process, instance.key, timer))

    def _deadline_at(self, instance: Instance) -> datetime | None:
        return min((armed.timer.due_at for key, armed in self._timers.items() if key[0] == instance.id), default=None)


def _matches(instance: Instance, process: str | None, state: str | None, key: str | None) -> bool:
    if process is not None and instance.process != process:
        return False
    if state is not None and instance.state != state:
        return False
    return key is None or key in {instance.id, instance.key} or f'"{key}"' in instance.to_json()


@dataclass(frozen=True, slots=True)
class MemoryDesk(Desk):
    """Implements `process_engine.ports.Desk` in one piece of work."""

    instances: MemoryInstances
    process: str

    def by_key(self, key: str) -> Instance | None:
        """The instance for a key."""
        return self.by_id(instance_id(self.process, key))

    def by_id(self, instance_id: str) -> Instance | None:
        """The instance with an id."""
        found = self.instances.by_id.get(instance_id)
        return found if found is not None and found.process == self.process else None

    def by_command(self, command_id: MessageId) -> Instance | None:
        """The instance that sent a command."""
        sent_by = self.instances.commands.get(command_id)
        return self.by_id(sent_by) if sent_by is not None else None

    def held_on(self, ref: EntityRef) -> Sequence[Instance]:
        """The instances that wait for this."""
        return sorted((item for item in self._all() if ref in item.holds()), key=lambda item: item.since)

    def changed_at(self, ref: EntityRef) -> datetime | None:
        """When it last changed."""
        return self.instances.changes.get((self.process, ref))

    def note_change(self, ref: EntityRef, at: datetime) -> None:
        """Remember that it changed."""
        self.instances.store.put(self.instances.changes, (self.process, ref), at)

    def keep_early(self, key: str, message_id: MessageId, event: Event, *, until: datetime) -> None:
        """Keep it, and let go of what was kept for too long."""
        store, early = self.instances.store, self.instances.early
        for kept, (_, gone_at) in list(early.items()):
            if kept[0] == self.process and gone_at < store.clock.now():
                store.drop(early, kept)
        store.put(early, (self.process, key, message_id), (event, until))

    def take_early(self, key: str) -> Sequence[Event]:
        """Take them out."""
        early = self.instances.early
        mine = [kept for kept in early if kept[:2] == (self.process, key)]
        found = [early[kept][0] for kept in mine]
        for kept in mine:
            self.instances.store.drop(early, kept)
        return found

    def save(self, instance: Instance, *, sent: Sequence[MessageId], timers: Sequence[Timer]) -> None:
        """Keep it."""
        store = self.instances.store
        store.put(self.instances.by_id, instance.id, instance)
        for command in sent:
            store.put(self.instances.commands, command, instance.id)
        self.instances.rearm(instance, timers)

    def _all(self) -> list[Instance]:
        return [item for item in self.instances.by_id.values() if item.process == self.process]
