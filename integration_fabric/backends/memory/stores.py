"""Leases, effects, cross-references and cursors in memory, on one `MemoryStore`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.canonical.ports import CrossReferences
from integration_fabric.connector_kit.ports import RECEIPTS_KEPT, Cursors, Receipt, Receipts, ReceiptState
from integration_fabric.delivery.ports import (
    PRUNED_AT_ONCE,
    Claim,
    EffectLog,
    EffectState,
    Flow,
    Fresh,
    Link,
    Open,
    Remembered,
    SystemState,
    SystemStates,
)
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.errors import Conflict
from integration_fabric.runtime.offsets import Done
from integration_fabric.runtime.ports import Fence, Lease, Leases, Orders, Stop, TakenLease
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.steering import Order, OrderKind
from integration_fabric.runtime.subscriber import Handled
from integration_fabric.telemetry.logs import LOG


class MemoryLeases(Leases):
    """Implements `runtime.ports.Leases`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._stops: dict[tuple[str, str, int, int], Stop] = {}

    @property
    def store_id(self) -> str:
        """Names the store."""
        return self._store.store_id

    async def read(self, subscriber: str, topic_id: str, partition: int) -> Lease | None:
        """The row, or None."""
        return await self._store.run(lambda: self._store.leases.get((subscriber, topic_id, partition)))

    async def take(self, subscriber: str, taken: Sequence[TakenLease], owner: str) -> Sequence[bool]:
        """Raise each lease to its epoch."""
        return await self._store.run(lambda: [self._take(subscriber, lease, owner) for lease in taken])

    async def stops(self, subscriber: str, taken: Sequence[TakenLease], done: Mapping[TopicPartition, Done]) -> Sequence[Stop]:
        """Void those that Kafka does not confirm, return the first of the rest of each partition."""
        return await self._store.run(lambda: [stop for lease in taken for stop in self._first_stop(subscriber, lease, done)])

    async def stop(self, fence: Fence, stop: Stop) -> None:
        """Remember it."""

        def work() -> None:
            self._store.hold_fence(fence)
            self._store.put(self._stops, (fence.subscriber, fence.topic_id, fence.partition, stop.offset), stop)

        await self._store.run(work)

    def serial(self, subscriber: str, topic_id: str, partition: int) -> int:
        """The highest that is known."""
        return self._store.serials.get((subscriber, topic_id, partition), 0)

    def _take(self, subscriber: str, lease: TakenLease, owner: str) -> bool:
        key = (subscriber, lease.topic_id, lease.partition.partition)
        found = self._store.leases.get(key)
        if found is not None and found.epoch >= lease.epoch:
            return False
        self._store.put(self._store.leases, key, Lease(lease.epoch, found.serial if found else 0, owner))
        return True

    def _first_stop(self, subscriber: str, lease: TakenLease, done: Mapping[TopicPartition, Done]) -> list[Stop]:
        fence = Fence(subscriber, lease.topic_id, lease.partition.partition, lease.epoch)
        self._store.hold_fence(fence)
        mine = sorted(key for key in self._stops if key[:3] == (subscriber, lease.topic_id, fence.partition))
        for key in mine:
            if key[3] not in done[lease.partition]:
                self._store.drop(self._stops, key)
        return [self._stops[key] for key in mine if key in self._stops][:1]


_OVER = frozenset({EffectState.DONE, EffectState.REFUSED})


@dataclass(frozen=True, slots=True)
class _Row:
    """What one subscriber did with one message."""

    generation: int
    state: EffectState
    topic_id: str
    coordinates: Coordinates
    deadline_at: datetime | None
    written_at: datetime
    handled: Handled | None = None
    redelivery: int | None = None


class MemoryEffects(EffectLog):
    """Implements `delivery.ports.EffectLog`."""

    def __init__(self, store: MemoryStore, cross_references: MemoryCrossReferences) -> None:
        """Take the store, and where the links of what is settled are written, in the same piece of work."""
        self._store, self._links = store, cross_references
        self._rows: dict[tuple[str, str], _Row] = {}

    def state(self, subscriber: str, message_id: str) -> EffectState | None:
        """Where one effect stands, for tests."""
        row = self._rows.get((subscriber, message_id))
        return row.state if row else None

    async def claim(self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta) -> Claim:
        """Look it up, or write an intent."""

        def work() -> Claim:
            self._store.hold_fence(fence)
            now = self._store.clock.now()
            row = self._rows.get((fence.subscriber, message_id))
            if row is None:
                fresh = _Row(0, EffectState.INTENT, fence.topic_id, coordinates, now + within, now)
                self._store.put(self._rows, (fence.subscriber, message_id), fresh)
                return Fresh(0)
            return _found(row, fence, coordinates, now)

        return await self._store.run(work)

    async def look(self, fence: Fence, message_id: str, coordinates: Coordinates) -> Remembered | Open | None:
        """Look up what is known of a message."""

        def work() -> Remembered | Open | None:
            self._store.hold_fence(fence)
            row = self._rows.get((fence.subscriber, message_id))
            return None if row is None else _found(row, fence, coordinates, self._store.clock.now())

        return await self._store.run(work)

    async def recall(self, subscriber: str, message_ids: Sequence[str]) -> Mapping[str, Handled | None]:
        """What became of some messages."""

        def work() -> dict[str, Handled | None]:
            found = {message_id: self._rows.get((subscriber, message_id)) for message_id in message_ids}
            return {message_id: row.handled if row.state in _OVER else None for message_id, row in found.items() if row is not None}

        return await self._store.run(work)

    async def renew(
        self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta, generation: int, mark: float | None = None
    ) -> bool:
        """Write the intent anew."""

        def work() -> bool:
            self._store.hold_fence(fence)
            row = self._rows.get((fence.subscriber, message_id))
            if row is None or not _is_as_seen(row, fence, coordinates, mark):
                return False
            now = self._store.clock.now()
            again = replace(
                row,
                generation=generation,
                state=EffectState.INTENT,
                topic_id=fence.topic_id,
                coordinates=coordinates,
                deadline_at=now + within,
                written_at=now,
            )
            self._store.put(self._rows, (fence.subscriber, message_id), again)
            return True

        return await self._store.run(work)

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
        """Write what became of it."""

        def work() -> bool:
            self._store.hold_fence(fence)
            row = self._rows.get((fence.subscriber, message_id))
            if row is not None and row.state in _OVER and not _is_of(row, fence, coordinates):
                return False
            generation = row.generation if row else 0
            now = self._store.clock.now()
            settled = _Row(generation, state, fence.topic_id, coordinates, None, now, handled, redelivery)
            self._store.put(self._rows, (fence.subscriber, message_id), settled)
            for found in links:
                self._links.write(found, strict=False)
            return True

        return await self._store.run(work)

    async def withdraw(self, fence: Fence, message_id: str, coordinates: Coordinates) -> None:
        """Take an intent back."""

        def work() -> None:
            self._store.hold_fence(fence)
            key = (fence.subscriber, message_id)
            row = self._rows.get(key)
            if row is None or row.state is not EffectState.INTENT or not _is_of(row, fence, coordinates):
                return
            if row.generation == 0:
                self._store.drop(self._rows, key)
            else:
                self._store.put(self._rows, key, replace(row, deadline_at=self._store.clock.now()))

        await self._store.run(work)

    async def give_up(self, fence: Fence, message_id: str, coordinates: Coordinates, *, mark: float | None = None) -> bool:
        """Mark it as unknown."""

        def work() -> bool:
            self._store.hold_fence(fence)
            key = (fence.subscriber, message_id)
            row = self._rows.get(key)
            if row is None or not _is_as_seen(row, fence, coordinates, mark):
                return False
            self._store.put(self._rows, key, replace(row, state=EffectState.UNKNOWN))
            return True

        return await self._store.run(work)

    async def prune(self, fence: Fence, *, below: int, older_than: timedelta, limit: int = PRUNED_AT_ONCE) -> int:
        """Forget what is old, the lowest first."""

        def work() -> int:
            self._store.hold_fence(fence)
            before = self._store.clock.now() - older_than
            lowest = sorted(
                (row.coordinates.offset, key)
                for key, row in self._rows.items()
                if row.state in _OVER and _stood_at(key[0], row, fence) and row.coordinates.offset < below
            )[:limit]
            old = [key for _, key in lowest if self._rows[key].written_at < before]
            for key in old:
                self._store.drop(self._rows, key)
            return len(old)

        return await self._store.run(work)


def _stood_at(subscriber: str, row: _Row, fence: Fence) -> bool:
    return (subscriber, row.topic_id, row.coordinates.partition) == (fence.subscriber, fence.topic_id, fence.partition)


def _found(row: _Row, fence: Fence, coordinates: Coordinates, now: datetime) -> Remembered | Open:
    is_its = _is_of(row, fence, coordinates)
    if row.handled is not None:
        return Remembered(row.handled, is_its, row.redelivery)
    mark = row.deadline_at.timestamp() if row.deadline_at else None
    return Open(row.generation, (row.deadline_at or now) - now, mark, is_its)


def _is_of(row: _Row, fence: Fence, coordinates: Coordinates) -> bool:
    return (row.topic_id, row.coordinates[1:]) == (fence.topic_id, coordinates[1:])


def _is_as_seen(row: _Row, fence: Fence, coordinates: Coordinates, mark: float | None) -> bool:
    """Whether it is open, and this record's own or as it was when it was looked at."""
    if row.state in _OVER:
        return False
    return _is_of(row, fence, coordinates) or (row.deadline_at is not None and row.deadline_at.timestamp() == mark)


class MemoryCrossReferences(CrossReferences):
    """Implements `canonical.ports.CrossReferences`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._native: dict[tuple[str, str, str], str] = {}
        self._canonical: dict[tuple[str, str, str], str] = {}

    async def native(self, entity: str, canonical_id: str, system: str) -> str | None:
        """The system's own id."""
        return await self._store.run(lambda: self._native.get((entity, canonical_id, system)))

    async def canonical(self, entity: str, native_id: str, system: str) -> str | None:
        """The canonical id."""
        return await self._store.run(lambda: self._canonical.get((entity, native_id, system)))

    async def link(self, entity: str, canonical_id: str, system: str, native_id: str) -> None:
        """Remember that they are one."""
        await self._store.run(lambda: self.write(Link(entity, canonical_id, system, native_id), strict=True))

    def write(self, found: Link, *, strict: bool) -> None:
        """Write one inside a piece of work; a native id that belongs to another is an error where `strict`, else logged."""
        owner = self._canonical.get((found.entity, found.native_id, found.system))
        if owner is not None and owner != found.canonical_id:
            text = f"{found.entity} {found.native_id} of {found.system} belongs to {owner}, not to {found.canonical_id}"
            if strict:
                raise Conflict(text)
            LOG.problem("cross_reference_conflict", why=text)
            return
        before = self._native.get((found.entity, found.canonical_id, found.system))
        if before is not None:
            self._store.drop(self._canonical, (found.entity, before, found.system))
        self._store.put(self._native, (found.entity, found.canonical_id, found.system), found.native_id)
        self._store.put(self._canonical, (found.entity, found.native_id, found.system), found.canonical_id)


class MemoryCursors(Cursors):
    """Implements `connector_kit.ports.Cursors`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._cursors: dict[str, str] = {}

    async def load(self, poller: str) -> str | None:
        """How far it got."""
        return await self._store.run(lambda: self._cursors.get(poller))

    async def save(self, poller: str, cursor: str) -> None:
        """Move it."""
        await self._store.run(lambda: self._store.put(self._cursors, poller, cursor))


class MemoryReceipts(Receipts):
    """Implements `connector_kit.ports.Receipts`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._receipts: dict[str, Receipt] = {}
        self._published: dict[str, datetime] = {}

    async def find(self, receipt_id: str) -> Receipt | None:
        """What became of it."""
        return await self._store.run(lambda: self._receipts.get(receipt_id))

    async def published(self, message_ids: Collection[str]) -> Collection[str]:
        """Those that a receipt names."""
        return await self._store.run(lambda: frozenset(message_ids) & self._published.keys())

    async def keep(self, receipt: Receipt) -> None:
        """Write it down."""

        def work() -> None:
            known = self._receipts.get(receipt.id)
            kept = receipt if known is None else replace(receipt, received_at=known.received_at)
            for old in [each for each in self._receipts.values() if each.received_at < receipt.received_at - RECEIPTS_KEPT]:
                self._store.drop(self._receipts, old.id)
            self._store.put(self._receipts, receipt.id, kept)
            for old_id in [each for each, at in self._published.items() if at < receipt.received_at - RECEIPTS_KEPT]:
                self._store.drop(self._published, old_id)
            if receipt.state is ReceiptState.PUBLISHED:
                for message_id in receipt.messages:
                    if message_id not in self._published:
                        self._store.put(self._published, message_id, receipt.received_at)

        await self._store.run(work)


@dataclass(frozen=True, slots=True)
class _Standing:
    """How one system stands, on the store's clock."""

    flow: Flow = Flow.FLOWING
    until_s: float = 0.0
    since: datetime | None = None
    why: str = ""
    failures: int = 0
    by: str = ""
    probe_until_s: float = 0.0
    free_s: float = 0.0


class MemorySystemStates(SystemStates):
    """Implements `delivery.ports.SystemStates`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._standings: dict[str, _Standing] = {}

    async def read(self) -> Mapping[str, SystemState]:
        """Those that anything is known of."""
        return await self._store.run(lambda: {name: self._state(standing) for name, standing in self._standings.items()})

    async def turn_away(self, system: str, flow: Flow, within: timedelta, *, why: str, failures: int = 0) -> None:
        """Keep everybody from calling it for so long."""

        def work() -> None:
            found, until_s = self._found(system), self._now_s() + within.total_seconds()
            known = self._state(found).flow
            if known is Flow.PAUSED or (known is flow and found.until_s > until_s):
                return
            since = found.since if known is flow else self._store.clock.now()
            self._put(system, replace(found, flow=flow, until_s=until_s, since=since, why=why, failures=failures, by=""))

        await self._store.run(work)

    async def flows(self, system: str) -> None:
        """It answers again."""

        def work() -> None:
            found = self._found(system)
            if self._state(found).flow is not Flow.PAUSED:
                self._put(system, _Standing(since=self._store.clock.now(), free_s=found.free_s))

        await self._store.run(work)

    async def claim_probe(self, system: str, within: timedelta) -> bool:
        """Whether the caller may ask whether it is back."""

        def work() -> bool:
            found = self._found(system)
            if found.probe_until_s > self._now_s():
                return False
            self._put(system, replace(found, probe_until_s=self._now_s() + within.total_seconds()))
            return True

        return await self._store.run(work)

    async def return_probe(self, system: str) -> None:
        """Another may ask."""
        await self._store.run(lambda: self._put(system, replace(self._found(system), probe_until_s=0.0)))

    async def pause(self, system: str, *, by: str, why: str, within: timedelta | None) -> None:
        """A person stops all calls."""

        def work() -> None:
            until_s = float("inf") if within is None else self._now_s() + within.total_seconds()
            found = replace(self._found(system), flow=Flow.PAUSED, until_s=until_s, since=self._store.clock.now(), failures=0)
            self._put(system, replace(found, why=why, by=by))

        await self._store.run(work)

    async def resume(self, system: str) -> bool:
        """All calls go on."""

        def work() -> bool:
            found = self._found(system)
            self._put(system, _Standing(since=self._store.clock.now(), free_s=found.free_s))
            return self._state(found).flow is not Flow.FLOWING

        return await self._store.run(work)

    async def reserve(self, system: str, calls: int, *, per_s: float, spare: bool = False) -> timedelta:
        """Take this many calls of the shared rate."""

        def work() -> timedelta:
            found, now_s = self._found(system), self._now_s()
            begins_s = max(found.free_s, now_s)
            if not spare or begins_s <= now_s:
                self._put(system, replace(found, free_s=begins_s + calls / per_s))
            return timedelta(seconds=begins_s - now_s)

        return await self._store.run(work)

    def _found(self, system: str) -> _Standing:
        return self._standings.get(system, _Standing())

    def _put(self, system: str, standing: _Standing) -> None:
        self._store.put(self._standings, system, standing)

    def _now_s(self) -> float:
        return self._store.clock.monotonic_s()

    def _state(self, found: _Standing) -> SystemState:
        left_s = min(found.until_s - self._now_s(), FOR_EVER_S)
        if found.flow is Flow.FLOWING or (found.flow in {Flow.PAUSED, Flow.THROTTLED} and left_s <= 0):
            return SystemState(since=found.since)
        return SystemState(found.flow, timedelta(seconds=left_s), found.why, found.since, found.failures, found.by)


FOR_EVER_S = 1e10


class MemoryOrders(Orders):
    """Implements `runtime.ports.Orders`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._orders: dict[tuple[str, OrderKind, TopicPartition | None, bytes | None], Order] = {}

    async def read(self) -> Sequence[Order]:
        """All that stand."""
        return await self._store.run(lambda: list(self._orders.values()))

    async def give(self, order: Order) -> None:
        """Write it down."""
        about = (order.subscriber, order.kind, order.partition, order.key)
        await self._store.run(lambda: self._store.put(self._orders, about, replace(order, given_at=self._store.clock.now())))

    async def lift(self, subscriber: str, *, partition: TopicPartition | None = None, key: bytes | None = None) -> int:
        """Take back pauses and drains."""

        def work() -> int:
            wanted = {(subscriber, kind, partition, key) for kind in (OrderKind.PAUSE, OrderKind.DRAIN)}
            gone = wanted & self._orders.keys()
            for about in gone:
                self._store.drop(self._orders, about)
            return len(gone)

        return await self._store.run(work)
