"""Workers, broker, store and destination in memory, on a loop whose time is made: everything that the protocol says can happen to them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from destination import Destination, Pace, copied
from invariants import Invariants
from network import Network, Trap
from stage_ports import Connection, StageConsumer, StageEffects, StageTransactions, reached_by
from virtual_time import LoopClock, VirtualLoop

from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.backends.memory.redeliveries import MemoryRedeliveries, MemoryRetained, _Part
from integration_fabric.backends.memory.store import LeaseKey, MemoryStore
from integration_fabric.backends.memory.stores import MemoryCrossReferences, MemoryEffects, MemoryLeases
from integration_fabric.delivery.dead_letters import bury, topic_of
from integration_fabric.delivery.effects import Effect, Once
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import Fenced, Unavailable
from integration_fabric.messages.fabric import Activity
from integration_fabric.messages.ids import LegalEntity, MessageId
from integration_fabric.messages.master_data import AccountChanged, TaxCodeChanged
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.envelopes import encode_envelope
from integration_fabric.runtime.executor import Result
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ownership import Owned
from integration_fabric.runtime.policy import AtDeadLetter, Policy
from integration_fabric.runtime.ports import Codec, Lease, Snapshot, Stop
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.redeliverer import CLOCKS
from integration_fabric.runtime.redelivery import Redelivery, RedeliveryState, Stretch
from integration_fabric.runtime.steering import Order, OrderKind, Steering
from integration_fabric.runtime.subscriber import Delivery, Handled, Running
from integration_fabric.runtime.takeover import ForeignStore

T = TypeVar("T")

NAME = "machine"
TOPIC = TaxCodeChanged.topic
POLICY = Policy(max_attempts=3, max_retry_time=timedelta(minutes=1), dead_letters_in_a_row=10**6, dead_letter_share=2.0)
REMEMBERED_S = 1800.0
"""How long an id may come again where ids come again at all."""
HEALED_S = 600.0
"""How long everything may take to come to rest once nothing fails any more."""


@dataclass(frozen=True, slots=True)
class World:
    """What stays as it is for one run."""

    strategy: Strategy | None = Strategy.LOOKUP_FIRST
    """None for a subscriber that calls nothing."""
    at_dead_letter: AtDeadLetter = AtDeadLetter.SKIP
    partitions: int = 1
    map_chars: int = 3900
    in_flight: int = 4
    comes_again: bool = False
    """Whether an id is published again; then nothing is pruned before its time."""
    seed: int = 0

    @property
    def remembered(self) -> timedelta:
        return timedelta(seconds=REMEMBERED_S if self.comes_again else -1)


class WatchedLoop(SubscriberLoop):
    """Knows what it was told that it owns."""

    def __init__(self, *, given_up: Callable[[Result], None], **needs: Any) -> None:
        super().__init__(**needs)
        self.told: set[int] = set()
        self._given_up = given_up

    def assigned(self, partitions: Any, snapshot: Snapshot) -> None:
        self.told |= {item.partition for item in partitions}
        super().assigned(partitions, snapshot)

    async def revoked(self, partitions: Any) -> None:
        try:
            await super().revoked(partitions)
        finally:
            self.told -= {item.partition for item in partitions} - {item.partition for item in self._consumer.snapshot().epochs}

    def lost(self, partitions: Any) -> None:
        self.told -= {item.partition for item in partitions}
        super().lost(partitions)

    def _complete(self, owned: Owned, result: Result) -> None:
        if result.dead_letter is not None:
            self._given_up(result)
        super()._complete(owned, result)


class Worker:
    """One worker's loop, and its ways to everything outside."""

    def __init__(self, stage: Stage, number: int, store: MemoryStore) -> None:
        self.name, self._stage = f"worker-{number}", stage
        self.network = Network(stage.dice, self._sprung)
        self.consumer = StageConsumer(broker=stage.broker, group=NAME, network=self.network)
        self.transactions = StageTransactions(
            broker=stage.broker,
            transactional_id=f"{NAME}-{number}",
            clock=stage.clock,
            network=self.network,
            consumer=self.consumer,
            offend=stage.invariants.offend,
            announcements=stage.invariants,
        )
        connection = Connection(store, self.network, stage.invariants.offend)
        tables = stage.tables_of(store)
        self.effects = StageEffects(
            reached_by(tables.effects, connection), clock=stage.clock, worker=self.name, destination=stage.destination
        )
        backing = Backing(
            self.consumer,
            self.transactions,
            reached_by(tables.leases, connection),
            stage.codec,
            stage.clock,
            reached_by(tables.redeliveries, connection),
            MemoryRetained(stage.broker),
        )
        bounds = Bounds(map_chars=stage.world.map_chars, remembered=stage.world.remembered + CLOCKS)
        self.loop = WatchedLoop(
            given_up=self._give_up, running=self._running(), worker=self.name, backing=backing, bury=bury, bounds=bounds
        )
        self.loop._executor._dice = random.Random(number)
        stage.steer(self)
        self.task = asyncio.get_running_loop().create_task(self.loop.run())

    def _running(self) -> Running:
        world, pace = self._stage.world, self._stage.destination.pace
        policy = replace(POLICY, in_flight=world.in_flight, at_dead_letter=world.at_dead_letter)
        if world.strategy is None:
            return Running(NAME, (TaxCodeChanged,), policy, self._copy)
        effect = Effect(
            strategy=world.strategy,
            send=lambda delivery, generation: self._stage.destination.send(self, delivery, generation),
            find=lambda delivery, generation: self._stage.destination.find(self, delivery, generation),
            timeout=timedelta(seconds=pace.timeout_s),
            settles_after=timedelta(seconds=pace.settles_s),
        )
        once = Once(effect=effect, log=self.effects, clock=self._stage.clock)

        async def run(delivery: Delivery) -> Handled:
            self._begin(delivery)
            return await once.run(delivery)

        return Running(NAME, (TaxCodeChanged,), policy, run, once.conclude)

    async def _copy(self, delivery: Delivery) -> Handled:
        self._begin(delivery)
        await self.hop("answer")
        return copied(delivery)

    def _give_up(self, result: Result) -> None:
        """From now on the next message of its key may go before it, where subscribers go on at dead letters; also should it come again."""
        if self._stage.world.at_dead_letter is AtDeadLetter.SKIP and result.envelope is not None:
            self._stage.destination.given_up.add(result.envelope.id)

    def _begin(self, delivery: Delivery) -> None:
        if delivery.coordinates.partition not in self.loop.told:
            self._stage.invariants.offend(f"I1: {self.name} handles {delivery.coordinates}, which it was told is not its own")

    async def hop(self, point: str) -> None:
        await self.network.hop(point)

    # -- what happens to it

    @property
    def is_alive(self) -> bool:
        return not self.network.is_cut and not self.task.done()

    def crash(self) -> None:
        """As `kill -9`: it does nothing more; what it has sent is under way."""
        if self.is_alive:
            self.network.is_cut = True
            self.consumer.crash()
            self.task.cancel()

    def move(self) -> None:
        """Its session ends, and it does not notice."""
        self.consumer.deafen()
        self._stage.broker.expire(NAME, self.consumer.member)

    def heal(self) -> None:
        self.network.release()
        self.consumer.hear()

    def _sprung(self, trap: Trap) -> None:
        if self.network.is_cut:
            return
        if trap is Trap.CRASH:
            self.crash()
        elif trap is Trap.MOVE:
            self.move()


@dataclass(frozen=True)
class StoreCopy:
    """The rows of one store at some time."""

    leases: dict[LeaseKey, Lease]
    effects: dict[Any, Any]
    stops: dict[Any, Any]


@dataclass(frozen=True)
class Tables:
    """The rows of one store."""

    leases: MemoryLeases
    effects: MemoryEffects
    redeliveries: MemoryRedeliveries


@dataclass
class Stage:
    """Everything of one run."""

    world: World
    codec: Codec
    interleaves: ClassVar = False
    """Whether one transaction's records may stand between another's."""

    workers: list[Worker] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.time = VirtualLoop()
        self.time.set_exception_handler(self._failed)
        self.clock = LoopClock(self.time)
        self.dice = random.Random(self.world.seed)
        self.broker = MemoryBroker(self.clock)
        self.broker.create_topic(TOPIC, self.world.partitions)
        self.broker.ensure_topics([AccountChanged.topic, Activity.topic, topic_of(NAME)])
        self.partitions = self.broker.partitions(TOPIC)
        self._tables: dict[str, Tables] = {}
        self.store = self.make_store("store")
        self.invariants = Invariants(self, NAME)
        self.destination = Destination(strategy=self.world.strategy, clock=self.clock, pace=Pace(), offend=self.invariants.offend)
        self._guests: list[str] = []

    def _failed(self, _: Any, what: dict[str, Any]) -> None:
        self.invariants.offend(f"{what.get('message')}: {what.get('exception')!r}")

    def make_store(self, name: str) -> MemoryStore:
        store = MemoryStore(self.clock, store_id=name)
        effects = MemoryEffects(store, MemoryCrossReferences(store))
        self._tables[name] = Tables(MemoryLeases(store), effects, MemoryRedeliveries(store))
        return store

    def tables_of(self, store: MemoryStore) -> Tables:
        return self._tables[store.store_id]

    # -- as the invariants look at it

    @property
    def now_s(self) -> float:
        return self.time.now_s

    def lease_epoch(self, partition: TopicPartition) -> int:
        topic_id = self.broker.topic_ids([partition.topic])[partition.topic]
        lease = self.store.leases.get((NAME, topic_id, partition.partition))
        return lease.epoch if lease else 0

    def stops(self) -> list[Stop]:
        return list(self.tables_of(self.store).leases._stops.values())

    # -- time

    def run(self, what: Any) -> Any:
        asyncio.set_event_loop(None)
        return self.time.run_until_complete(what)

    def go(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))
        for worker in self.workers:
            if worker.task.done() and not worker.task.cancelled() and (error := worker.task.exception()) is not None:
                raise AssertionError(f"{worker.name} ended") from error

    # -- messages

    def publish(self, key: str, partition: int, message: str | None = None) -> str:
        """A new message, or one that came before. Returns its id."""
        identity = message or f"m{len(self.invariants.published)}"
        body = TaxCodeChanged(tax_code=key, name="n", rate=1, legal_entity=LegalEntity("no"), aggregate_version=1)  # type: ignore[arg-type]
        envelope = Envelope(body, MessageId(identity), "/machine", self.clock.now(), identity)
        record = self.broker.append(encode_envelope(envelope, self.codec), partition=partition)
        self.invariants.arrived(partition, record.offset, identity, key)
        return identity

    # -- workers

    @property
    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_alive]

    def start(self, store: MemoryStore | None = None) -> Worker:
        async def begin() -> Worker:
            return Worker(self, len(self.workers), store or self.store)

        worker: Worker = self.run(begin())
        self.workers.append(worker)
        return worker

    def guest(self) -> None:
        """A guest joins the group and does nothing, so that partitions leave their owners; or all guests go."""
        if self._guests:
            self.dismiss()
        else:
            self._guests.append(self.broker.join(NAME, [TOPIC]))

    def dismiss(self) -> None:
        """All guests are gone: partitions come back."""
        while self._guests:
            self.broker.expire(NAME, self._guests.pop())

    def skip(self, partition: int, until: int) -> None:
        below = self.invariants.skipped_below
        below[partition] = max(below[partition], until)
        self.orders.append(Order(NAME, OrderKind.SKIP, "ola", "why", self.partitions[partition], until=until))
        for worker in self.alive:
            self.steer(worker)

    def steer(self, worker: Worker) -> None:
        worker.loop.steer(Steering.of(NAME, self.orders))
        worker.loop.redeliver(self._wanted())

    def _wanted(self) -> list[Redelivery]:
        found = self.tables_of(self.store).redeliveries
        return [asked for number, asked in found._asked.items() if found._is_open(number) and asked.state is RedeliveryState.RUNNING]

    def redeliver(self, *, force: bool, key: bytes | None) -> None:
        """Somebody asks for all that is there to be handled once more."""
        redeliveries = self.tables_of(self.store).redeliveries
        topic_id = self.broker.topic_ids([TOPIC])[TOPIC]
        ends = {partition: self.broker.end(partition) for partition in self.partitions}
        number = len(redeliveries._asked) + 1
        redeliveries._asked[number] = Redelivery(number, NAME, force, key, "ola", "why")
        for partition, end in ends.items():
            redeliveries._parts[number, topic_id, partition.partition] = _Part(Stretch(partition, topic_id, 0, end, 0))
        self.invariants.asked(number, force=force, key=key, ends={partition.partition: end for partition, end in ends.items()})
        for worker in self.alive:
            self.steer(worker)

    def pause_redeliveries(self, *, paused: bool) -> None:
        """All of them, or none any more."""
        asked = self.tables_of(self.store).redeliveries._asked
        for number, found in asked.items():
            asked[number] = replace(found, state=RedeliveryState.PAUSED if paused else RedeliveryState.RUNNING)
        for worker in self.alive:
            self.steer(worker)

    def toggle_store(self) -> None:
        self.store.is_down = not self.store.is_down

    def outage(self, seconds: float) -> None:
        self.store.is_down = True
        self.go(seconds)
        self.store.is_down = False

    def prune(self) -> None:
        async def prune(worker: Worker) -> None:
            for fence, base in worker.loop.bases().items():
                with suppress(Fenced, Unavailable):
                    await worker.effects.prune(fence, below=base, older_than=self.world.remembered)

        for worker in self.alive:
            worker.network.tasks.add(task := self.time.create_task(prune(worker)))
            task.add_done_callback(worker.network._over)

    def try_another_store(self) -> None:
        """Somebody points a worker at an empty store: it must refuse what was committed with ours, and begins nothing."""
        for worker in self.alive:
            worker.crash()
        if not all(self.broker.position(NAME, partition).metadata for partition in self.partitions):
            return
        self.dismiss()
        if not self._is_refused(self.make_store(f"store-{len(self._tables)}"), within_s=40):
            self.invariants.offend("A4: a worker goes on with another store than the one that offsets were committed with")

    def _is_refused(self, store: MemoryStore, *, within_s: float) -> bool:
        """Whether a worker that starts on a store ends, as it is not the one; then the worker is gone either way."""
        worker = self.start(store)
        self.run(asyncio.sleep(within_s))
        is_refused = worker.task.done() and isinstance(worker.task.exception(), ForeignStore)
        worker.crash()
        self.workers.remove(worker)
        self._leave(worker)
        return is_refused

    def copy_of_store(self) -> StoreCopy:
        """As it is now."""
        tables = self.tables_of(self.store)
        return StoreCopy(dict(self.store.leases), dict(tables.effects._rows), dict(tables.leases._stops))

    def restore(self, copy: StoreCopy) -> StoreCopy:
        """Put a copy in the place of what is there. Returns what was there."""
        before, tables = self.copy_of_store(), self.tables_of(self.store)
        rows: tuple[tuple[dict[Any, Any], dict[Any, Any]], ...] = (
            (self.store.leases, copy.leases),
            (tables.effects._rows, copy.effects),
            (tables.leases._stops, copy.stops),
        )
        for table, found in rows:
            table.clear()
            table.update(found)
        return before

    def try_an_older_copy(self, copy: StoreCopy) -> None:
        """Somebody restores a copy: where Kafka has committed more since, a worker must refuse it, and begins nothing."""
        for worker in self.alive:
            worker.crash()
        self.invariants.check()
        if not self._is_older(copy):
            return
        self.dismiss()
        before = self.restore(copy)
        if not self._is_refused(self.store, within_s=100):
            self.invariants.offend("A4: a worker goes on with an older copy of the store than its offsets were committed with")
        self.restore(before)

    def _is_older(self, copy: StoreCopy) -> bool:
        """Whether something was carried out since, and Kafka was told so."""
        committed = {end.message_id for end in self.invariants.first.values() if end.outcome == OutcomeKind.APPLIED}
        rows = self.tables_of(self.store).effects._rows
        done = {message for (_, message), row in rows.items() if row.handled is not None}
        known = {message for (_, message), row in copy.effects.items() if row.handled is not None}
        return bool(committed & done - known)

    # -- rest

    def heal(self) -> None:
        """Nothing fails any more."""
        self.pause_redeliveries(paused=False)
        self.store.is_down = False
        self.destination.fates.clear()
        self.destination.find_fails = 0
        self.dismiss()
        for worker in self.workers:
            worker.heal()
            worker.transactions._faults.clear()
        if not self.alive:
            self.start()

    def rest(self) -> None:
        """Heal, and wait until nothing is left to do, or the subscriber stands still."""
        self.heal()
        until_s = self.time.now_s + HEALED_S
        while not self.invariants.is_all_committed() and self.time.now_s < until_s:
            self.go(2)
            if not self.alive:
                self.start()
            if any(worker.loop.stop for worker in self.alive) and not any(worker.loop.busy for worker in self.alive):
                self.go(40)
                break
        self.go(1)

    def close(self) -> None:
        for worker in self.workers:
            worker.crash()
        for worker in self.workers:
            self._leave(worker)
        left = asyncio.all_tasks(self.time)
        for task in left:
            task.cancel()
        self.run(asyncio.wait(left) if left else asyncio.sleep(0))
        self.time.close()

    def _leave(self, worker: Worker) -> None:
        with suppress(asyncio.CancelledError, ForeignStore, Exception):
            self.run(worker.task)
