"""The stage on a real Kafka and a real database: fewer things happen to workers, and all of it takes its time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any

from broker_kit import KafkaKit, Unanswered, unique
from destination import Destination, Pace, copied
from invariants import Invariants
from network import Network, Trap
from sqlalchemy import select
from stage import POLICY, WatchedLoop, World
from stage_ports import StageEffects, consulted, unlike_the_check
from store_kit import sql_stores

from integration_fabric.backends.kafka.inquiry import KafkaInquiry
from integration_fabric.backends.kafka.owner_thread import OwnerThread
from integration_fabric.backends.kafka.reader import KafkaReader
from integration_fabric.backends.kafka.retained import KafkaRetained
from integration_fabric.backends.kafka.transactions import KafkaTransactions
from integration_fabric.backends.memory.transactions import Fault
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.tables import LEASES, STOPS
from integration_fabric.delivery.dead_letters import bury, topic_of
from integration_fabric.delivery.effects import Effect, Once
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import Unavailable, Unreachable
from integration_fabric.messages.fabric import Activity
from integration_fabric.messages.ids import LegalEntity, MessageId
from integration_fabric.messages.master_data import AccountChanged, TaxCodeChanged
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.envelopes import encode_envelope
from integration_fabric.runtime.executor import Result
from integration_fabric.runtime.ports import Aborted, Codec, Commit, CommittedOffset, Listener, Redeliveries, Snapshot, Stop
from integration_fabric.runtime.records import Record, TopicPartition
from integration_fabric.runtime.redelivery import Redelivery, RedeliveryState, Stretch
from integration_fabric.runtime.subscriber import Delivery, Handled, Running

TOPIC = TaxCodeChanged.topic
PACE = Pace(timeout_s=0.4, settles_s=0.4)
BOUNDS = Bounds(revoke=timedelta(seconds=0.5), commit=timedelta(seconds=0.5), drain=timedelta(seconds=1))
PATIENCE_S = 60.0


class Behind:
    """A port behind a worker's network."""

    def __init__(self, port: Any, network: Network) -> None:
        self._port, self._network = port, network

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._network.carry_on(name, lambda: found(*arguments, **named))

        return call


class Ears(Listener):
    """Between a consumer and its loop: a worker that is dead hears nothing, one that is deaf hears it later."""

    def __init__(self, loop: SubscriberLoop) -> None:
        self._loop = loop
        self.is_deaf = self.is_dead = False
        self._missed: list[Any] = []

    def assigned(self, partitions: Sequence[TopicPartition], snapshot: Snapshot) -> None:
        self._tell(lambda: self._loop.assigned(partitions, snapshot))

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        if self.is_deaf or self.is_dead:
            self._tell(lambda: self._loop.lost(partitions))
        else:
            await self._loop.revoked(partitions)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        self._tell(lambda: self._loop.lost(partitions))

    def taken(self, records: Sequence[Record], snapshot: Snapshot) -> None:
        self._tell(lambda: self._loop.taken(records, snapshot))

    def failed(self, error: Exception) -> None:
        self._tell(lambda: self._loop.failed(error))

    def hear(self) -> None:
        self.is_deaf = False
        missed, self._missed = self._missed, []
        for told in missed:
            told()

    def _tell(self, what: Any) -> None:
        if self.is_deaf:
            self._missed.append(what)
        elif not self.is_dead:
            what()


class RealConsumer(OwnerThread):
    """What it hands out is watched; a worker that is deaf sees what it saw last."""

    def __init__(self, **needs: Any) -> None:
        super().__init__(**needs)
        self.handed_out: list[Snapshot] = []
        self.ears: Ears | None = None
        self._seen: Snapshot | None = None

    async def start(self, topics: Sequence[str], listener: Listener) -> None:
        assert isinstance(listener, SubscriberLoop)
        self.ears = Ears(listener)
        await super().start(topics, self.ears)

    def snapshot(self) -> Snapshot:
        found = consulted(self._seen or super().snapshot())
        self.handed_out.append(found)
        return found

    def deafen(self) -> None:
        if self.ears is not None:
            self._seen, self.ears.is_deaf = super().snapshot(), True

    def hear(self) -> None:
        self._seen = None
        if self.ears is not None:
            self.ears.hear()


class RealTransactions(KafkaTransactions):
    """Watched, and with the ends that Kafka makes only when it is in trouble."""

    def __init__(self, *, network: Network, consumer: RealConsumer, invariants: Invariants, **needs: Any) -> None:
        super().__init__(**needs)
        self._network, self._consumer, self._invariants = network, consumer, invariants
        self.faults: list[Fault] = []

    async def commit(self, commit: Commit) -> None:
        if wrong := unlike_the_check(commit, self._consumer.handed_out):
            self._invariants.offend(wrong)
        await self._network.carry_on("transaction", lambda: self._commit_watched(commit))

    async def _commit_watched(self, commit: Commit) -> None:
        fault = self.faults.pop() if self.faults else None
        if fault is Fault.ABORTED:
            raise Aborted("told to fail")
        if fault is not None and self._producer is not None:
            self._producer = Unanswered(self._producer, sent=fault is Fault.UNKNOWN_COMMITTED)  # type: ignore[assignment]
        await super().commit(commit)
        self._invariants.committing(self._id, commit)


class RealWorker:
    """One worker's loop on Kafka and SQL."""

    def __init__(self, stage: RealStage, number: int) -> None:
        self.name, self._stage = f"worker-{number}", stage
        self.network = Network(stage.dice, self._sprung)
        self.consumer = RealConsumer(group=stage.group, config=stage.kit.config, inquiry=stage.inquiry)
        self.transactions = RealTransactions(
            network=self.network,
            consumer=self.consumer,
            invariants=stage.invariants,
            transactional_id=f"{stage.group}-{number}",
            config=stage.kit.config,
        )
        stores: Any = sql_stores(stage.database)
        effects = StageEffects(
            Behind(stores.effects, self.network),  # type: ignore[arg-type]
            clock=stage.clock,
            worker=self.name,
            destination=stage.destination,
        )
        leases: Any = Behind(stores.leases, self.network)
        redeliveries: Any = Behind(stores.redeliveries, self.network)
        retained = KafkaRetained(stage.kit.config)
        backing = Backing(self.consumer, self.transactions, leases, stage.codec, stage.clock, redeliveries, retained)
        self.loop = WatchedLoop(
            given_up=self._give_up, running=self._running(effects), worker=self.name, backing=backing, bury=bury, bounds=BOUNDS
        )
        self.task = asyncio.create_task(self.loop.run())
        self.watching = asyncio.create_task(self._watch(stores.redeliveries))

    def _give_up(self, result: Result) -> None:
        """The next message of its key goes on, also where the dead letter is not committed then and the message is handled once more."""
        if result.envelope is not None:
            self._stage.destination.given_up.add(result.envelope.id)

    async def _watch(self, redeliveries: Redeliveries) -> None:
        """As a worker's steersman."""
        while self.is_alive:
            self.loop.redeliver(await redeliveries.open())
            await asyncio.sleep(0.1)

    def _running(self, effects: StageEffects) -> Running:
        world, destination = self._stage.world, self._stage.destination
        policy = replace(POLICY, in_flight=world.in_flight, at_dead_letter=world.at_dead_letter)
        if world.strategy is None:
            return Running(self._stage.group, (TaxCodeChanged,), policy, self._copy)
        effect = Effect(
            strategy=world.strategy,
            send=lambda delivery, generation: destination.send(self, delivery, generation),
            find=lambda delivery, generation: destination.find(self, delivery, generation),
            timeout=timedelta(seconds=PACE.timeout_s),
            settles_after=timedelta(seconds=PACE.settles_s),
        )
        once = Once(effect=effect, log=effects, clock=self._stage.clock)
        return Running(self._stage.group, (TaxCodeChanged,), policy, once.run, once.conclude)

    async def _copy(self, delivery: Delivery) -> Handled:
        await self.hop("answer")
        return copied(delivery)

    async def hop(self, point: str) -> None:
        await self.network.hop(point)

    @property
    def is_alive(self) -> bool:
        return not self.network.is_cut and not self.task.done()

    def crash(self) -> None:
        """It does nothing more; its session ends at once, which on a real machine takes some seconds."""
        if self.is_alive:
            self.network.is_cut = True
            if self.consumer.ears is not None:
                self.consumer.ears.is_dead = True
            self.task.cancel()

    def heal(self) -> None:
        self.network.release()
        self.consumer.hear()

    def _sprung(self, trap: Trap) -> None:
        if trap is Trap.CRASH:
            self.crash()
        elif trap is Trap.MOVE:
            self.consumer.deafen()


class RealStage:
    """Everything of one run; the invariants look at it as at `Stage`."""

    interleaves = True

    def __init__(self, *, world: World, codec: Codec, kit: KafkaKit, database: Database) -> None:
        self.world, self.codec, self.kit, self.database = world, codec, kit, database
        self.group = unique("machine")
        self.clock = SystemClock()
        self.dice = random.Random(world.seed)
        self.inquiry = KafkaInquiry(kit.config)
        self.workers: list[RealWorker] = []
        self.partitions = [TopicPartition(TOPIC, number) for number in range(world.partitions)]
        self.invariants = Invariants(self, self.group)
        self.destination = Destination(strategy=world.strategy, clock=self.clock, pace=PACE, offend=self.invariants.offend)
        self._ends = [0] * world.partitions
        self._records: dict[str, list[Record]] = {}
        self._committed: dict[TopicPartition, CommittedOffset] = {}

    async def open(self) -> None:
        for topic in (TOPIC, AccountChanged.topic, Activity.topic):
            if topic in await asyncio.to_thread(self.kit._topics):
                await self.kit.delete_topic(topic)
            await self.kit.create_topic(topic, self.world.partitions if topic == TOPIC else 1)
        await self.kit.create_topic(topic_of(self.group))

    async def publish(self, key: str, partition: int) -> None:
        """Every third one after a record of a transaction that was aborted, which nobody may see."""
        message = f"m{len(self.invariants.published)}"
        body = TaxCodeChanged(tax_code=key, name="n", rate=1, legal_entity=LegalEntity("no"), aggregate_version=1)  # type: ignore[arg-type]
        out = encode_envelope(Envelope(body, MessageId(message), "/machine", self.clock.now(), message), self.codec)
        offset = await asyncio.to_thread(self._produce, out, partition)
        self.invariants.arrived(partition, offset, message, key)

    def _produce(self, out: Any, partition: int) -> int:
        found: list[int] = []
        self.kit._producer.produce(
            out.topic,
            out.value,
            out.key,
            partition=partition,
            headers=list(out.headers),
            on_delivery=lambda error, message: found.append(message.offset()),
        )
        assert self.kit._producer.flush(20) == 0
        return found[0]

    async def publish_aborted(self, partition: int) -> None:
        """A record of a transaction that is aborted."""
        body = TaxCodeChanged(tax_code="x", name="n", rate=1, legal_entity=LegalEntity("no"), aggregate_version=1)  # type: ignore[arg-type]
        out = encode_envelope(Envelope(body, MessageId("aborted"), "/machine", self.clock.now(), "aborted"), self.codec)

        def abort() -> None:
            producer = self.kit._begun(unique("writer"))
            producer.produce(out.topic, out.value, out.key, partition=partition, headers=list(out.headers))
            producer.flush(20)
            producer.abort_transaction(20)

        await asyncio.to_thread(abort)

    async def redeliver(self, *, force: bool) -> None:
        """Somebody asks for all that is there to be handled once more."""
        ids = await asyncio.to_thread(self.inquiry.topic_ids, [TOPIC])
        ends = await asyncio.to_thread(self.inquiry.ends, self.partitions)
        asked = Redelivery(0, self.group, force, None, "ola", "why")
        stretches = [Stretch(partition, ids[TOPIC], 0, end, 0) for partition, end in ends.items()]
        number = await sql_stores(self.database).redeliveries.file(asked, stretches)
        self.invariants.asked(number, force=force, key=None, ends={partition.partition: end for partition, end in ends.items()})

    @property
    def alive(self) -> list[RealWorker]:
        return [worker for worker in self.workers if worker.is_alive]

    def start(self) -> RealWorker:
        worker = RealWorker(self, len(self.workers))
        self.workers.append(worker)
        return worker

    async def go(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for worker in self.workers:
            error = worker.task.exception() if worker.task.done() and not worker.task.cancelled() else None
            if error is not None and not isinstance(error, (Unavailable, Unreachable)):  # a busy broker: it is started anew
                raise AssertionError(f"{worker.name} ended") from error

    async def rest(self) -> None:
        """Nothing fails any more; wait until all is committed, and look."""
        self.destination.fates.clear()
        for worker in self.workers:
            worker.heal()
            worker.transactions.faults.clear()
        if not self.alive:
            self.start()
        until_s = self.clock.monotonic_s() + PATIENCE_S
        while not (await self._is_all_committed() and await self._is_all_redelivered()) and self.clock.monotonic_s() < until_s:
            await self.go(0.2)
            if not self.alive:
                self.start()
        await self._look()
        self.invariants.check_rest()

    async def _is_all_committed(self) -> bool:
        found = [item for worker in self.alive for item in worker.loop._owned.values() if item.fence is not None]
        below = {item.partition.partition: item.committed for item in found}
        return all(offset < below.get(partition, 0) for partition, offset in self.invariants.published)

    async def _is_all_redelivered(self) -> bool:
        found = await sql_stores(self.database).redeliveries.look()
        return all(each.state is RedeliveryState.DONE for each in found)

    async def _look(self) -> None:
        reader = KafkaReader(config=self.kit.config, inquiry=self.inquiry)
        for topic in (AccountChanged.topic, Activity.topic, topic_of(self.group)):
            self._records[topic] = await self.kit.read(topic)
        found = await asyncio.to_thread(reader.committed, self.group, [TOPIC])
        self._committed = {partition: position or CommittedOffset(0, None) for partition, position in found.items()}

    async def close(self) -> None:
        for worker in self.workers:
            worker.heal()
            worker.crash()
        await asyncio.gather(*(worker.task for worker in self.workers), return_exceptions=True)
        for worker in self.workers:
            worker.watching.cancel()
        await asyncio.gather(*(worker.watching for worker in self.workers), return_exceptions=True)
        left = [task for worker in self.workers for task in worker.network.tasks]
        for task in left:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*left, return_exceptions=True)

    # -- as the invariants look at it

    @property
    def broker(self) -> RealStage:
        return self

    @property
    def now_s(self) -> float:
        return self.clock.monotonic_s()

    def lease_epoch(self, partition: TopicPartition) -> int:
        with self.database.engine.connect() as connection:
            mine = (LEASES.c.subscriber == self.group, LEASES.c.partition == partition.partition)
            return max(connection.execute(select(LEASES.c.epoch).where(*mine)).scalars().all(), default=0)

    def stops(self) -> list[Stop]:
        with self.database.engine.connect() as connection:
            rows = connection.execute(select(STOPS).where(STOPS.c.subscriber == self.group)).all()
        return [Stop(TopicPartition(TOPIC, row.partition), row.offset, row.key, row.code, row.message) for row in rows]

    def position(self, group: str, partition: TopicPartition) -> CommittedOffset:
        return self._committed.get(partition, CommittedOffset(0, None))

    def take(self, partition: TopicPartition, position: int) -> tuple[list[Record], int]:
        records = self._records.get(partition.topic, [])
        return [record for record in records if record.offset >= position], 1 + max(
            (record.offset for record in records), default=position - 1
        )
