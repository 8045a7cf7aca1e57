"""The ports of one worker on the stage: those of `backends.memory`, behind its network, and watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from destination import Destination
from network import Network, name_of

from integration_fabric.backends.memory.broker import Membership, MemoryBroker
from integration_fabric.backends.memory.consumer import MemoryConsumer
from integration_fabric.backends.memory.redeliveries import MemoryRedeliveries
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryEffects, MemoryLeases
from integration_fabric.backends.memory.transactions import Fault, MemoryTransactions
from integration_fabric.delivery.ports import Claim, EffectLog, Fresh
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.ports import Aborted, Clock, Commit, Fence, Refused, ResultUnknown, Snapshot
from integration_fabric.runtime.records import TopicPartition

T = TypeVar("T")

TRANSACTION_TIMEOUT_S = 30.0
"""After it the broker ends a transaction whose producer is gone, as on Kafka."""


class Consulted(dict[TopicPartition, int]):
    """The local epochs of one snapshot; remembers which of them were asked for."""

    def __init__(self, epochs: Iterable[tuple[TopicPartition, int]]) -> None:
        super().__init__(epochs)
        self.asked: set[TopicPartition] = set()

    def get(self, partition: TopicPartition, default: Any = None) -> Any:
        self.asked.add(partition)
        return super().get(partition, default)


def consulted(snapshot: Snapshot) -> Snapshot:
    """The same, watched."""
    return Snapshot(snapshot.group_metadata, Consulted(snapshot.epochs.items()))


def unlike_the_check(commit: Commit, handed_out: Sequence[Snapshot]) -> str:
    """What is wrong with the snapshot of a commit: it must be the very one that its ownership check asked (protocol.md, E)."""
    if not any(commit.snapshot is snapshot for snapshot in handed_out):
        return "E: a commit goes out under a snapshot that the consumer has not handed out"
    epochs = commit.snapshot.epochs
    assert isinstance(epochs, Consulted)
    unasked = commit.offsets.keys() - epochs.asked
    strange = commit.offsets.keys() - epochs.keys()
    return f"E: a commit goes out under a snapshot that was not asked for {unasked | strange}" if unasked or strange else ""


class StageConsumer(MemoryConsumer):
    """Its thread is reached through the network, and what it hands out is watched."""

    def __init__(self, *, broker: MemoryBroker, group: str, network: Network) -> None:
        super().__init__(broker=broker, group=group, batch=7)
        self._network = network
        self.handed_out: list[Snapshot] = []

    def snapshot(self) -> Snapshot:
        found = consulted(super().snapshot())
        self.handed_out.append(found)
        return found

    async def _ask(self, call: Callable[[], T]) -> T:
        name = name_of(call)
        await self._network.hop(f"{name} sent")
        answer = await super()._ask(call)
        await self._network.hop(f"{name} done")
        return answer


class Connection(MemoryStore):
    """One worker's way to a store."""

    def __init__(self, store: MemoryStore, network: Network, offend: Callable[[str], None]) -> None:
        super().__init__(store.clock, store_id=store.store_id)
        self.leases = store.leases  # type: ignore[misc]
        self._store, self._network, self._offend = store, network, offend

    async def run(self, work: Callable[[], T]) -> T:
        answer = await self._network.carry(name_of(work), lambda: self._work(work))
        if self._store.is_down:
            raise Unavailable("store: it went before it answered")
        return answer

    def _work(self, work: Callable[[], T]) -> T:
        if self._store.is_down:
            raise Unavailable("store: it is down")
        before = {key: lease.epoch for key, lease in self.leases.items()}
        result = self._do(work)
        for key, epoch in before.items():
            if self.leases[key].epoch < epoch:
                self._offend(f"I1: the lease of {key} went down from {epoch} to {self.leases[key].epoch}")
        fence = dict(zip(work.__code__.co_freevars, work.__closure__ or (), strict=True)).get("fence")
        if fence is not None and self._undo:
            self._look_at(fence.cell_contents)
        return result

    def _look_at(self, fence: Fence) -> None:
        lease = self.leases.get((fence.subscriber, fence.topic_id, fence.partition))
        if lease is None or lease.epoch != fence.epoch:
            self._offend(f"I1: a row of epoch {fence.epoch} is written under {lease}")


class StageEffects(EffectLog):
    """Tells the destination which intents stand."""

    def __init__(self, effects: EffectLog, *, clock: Clock, worker: str, destination: Destination) -> None:
        self._effects, self._clock, self._worker, self._destination = effects, clock, worker, destination
        for name in ("look", "recall", "settle", "withdraw", "give_up", "prune"):
            setattr(self, name, getattr(effects, name))

    async def claim(self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta) -> Claim:
        until_s = self._clock.monotonic_s() + within.total_seconds()
        claim = await self._effects.claim(fence, message_id, coordinates, within=within)
        if isinstance(claim, Fresh):
            self._destination.intend(self._worker, fence.epoch, message_id, until_s)
        return claim

    async def renew(
        self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta, generation: int, mark: float | None = None
    ) -> bool:
        until_s = self._clock.monotonic_s() + within.total_seconds()
        is_mine = await self._effects.renew(fence, message_id, coordinates, within=within, generation=generation, mark=mark)
        if is_mine:
            self._destination.intend(self._worker, fence.epoch, message_id, until_s)
        return is_mine


R = TypeVar("R", MemoryEffects, MemoryLeases, MemoryRedeliveries)


def reached_by(rows: R, connection: Connection) -> R:
    """The same rows, over one worker's connection."""
    found = copy(rows)
    found._store = connection
    return found


class Announcements(Protocol):
    """Sees the epochs that go to the broker."""

    def committing(self, transactional_id: str, commit: Commit) -> None: ...


class StageTransactions(MemoryTransactions):
    """A transaction has a beginning, a middle and an end, and between any two of them all may change."""

    def __init__(
        self,
        *,
        broker: MemoryBroker,
        transactional_id: str,
        clock: Clock,
        network: Network,
        consumer: StageConsumer,
        offend: Callable[[str], None],
        announcements: Announcements,
    ) -> None:
        super().__init__(broker=broker, transactional_id=transactional_id, clock=clock)
        self._network, self._consumer, self._offend, self._announcements = network, consumer, offend, announcements

    async def commit(self, commit: Commit) -> None:
        if self._network.is_cut:
            await asyncio.Event().wait()
        if wrong := unlike_the_check(commit, self._consumer.handed_out):
            self._offend(wrong)
        task = asyncio.create_task(self._alone(commit))
        self._network.tasks.add(task)
        task.add_done_callback(self._network._over)
        await asyncio.shield(task)

    async def fence(self, transactional_id: str) -> None:
        await self._network.carry("fence", lambda: self._broker.begin_producer(transactional_id))

    async def _alone(self, commit: Commit) -> None:
        async with self._thread:
            await self._network.hop("transaction sent")
            membership = self._admit(commit)
            fault = self._faults.popleft() if self._faults else None
            if fault is Fault.ABORTED:
                raise Aborted("told to fail")
            self._broker.leave_open(self._id, (), membership.group, commit.offsets)
            self._end_in_time(self._broker._open[self._id])
            await self._network.hop("transaction open")
            self._end(commit, membership, fault)
            await self._network.hop("transaction ended")
            if fault is not None:
                self._epoch = self._broker.begin_producer(self._id)
                raise ResultUnknown(f"told to: {fault}")

    def _admit(self, commit: Commit) -> Membership:
        membership = commit.snapshot.group_metadata
        assert isinstance(membership, Membership)
        if self._epoch != self._broker.producer_epoch(self._id):
            self._epoch = self._broker.begin_producer(self._id)
            raise Aborted(f"{self._id} was fenced; a new producer has begun")
        if not self._broker.accepts(membership, commit.offsets):
            raise Refused(f"{membership} does not own {sorted(commit.offsets)}")
        return membership

    def _end_in_time(self, opened: object) -> None:
        def end() -> None:
            if self._broker._open.get(self._id) is opened:
                self._broker.begin_producer(self._id)

        asyncio.get_running_loop().call_later(TRANSACTION_TIMEOUT_S, end)

    def _end(self, commit: Commit, membership: Membership, fault: Fault | None) -> None:
        if self._epoch != self._broker.producer_epoch(self._id):
            self._epoch = self._broker.begin_producer(self._id)
            raise ResultUnknown(f"{self._id} was fenced in its transaction")
        self._broker.end_open(self._id)
        if fault is Fault.UNKNOWN_NOT_COMMITTED:
            return
        self._announcements.committing(self._id, commit)
        self._broker.commit(commit.outputs, membership.group, commit.offsets)
