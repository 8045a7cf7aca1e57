"""The brokers that the suites run on, and a member of a group that writes down what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import uuid4

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, NewTopic

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.groups import GroupProtocol
from integration_fabric.backends.kafka.owner_thread import OwnerThread
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.kafka.reader import KafkaReader
from integration_fabric.backends.kafka.retained import KafkaRetained
from integration_fabric.backends.kafka.transactions import KafkaTransactions
from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.backends.memory.consumer import MemoryConsumer
from integration_fabric.backends.memory.publisher import MemoryPublisher
from integration_fabric.backends.memory.redeliveries import MemoryRetained
from integration_fabric.backends.memory.transactions import MemoryTransactions
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.ports import Commit, Consumer, Listener, Publisher, Retained, Snapshot, Transactions
from integration_fabric.runtime.records import Outgoing, Record, TopicPartition

PATIENCE_S = 20.0
"""How long a test waits for something that should come, in real time."""


LOOK_S = 0.01
"""Between two looks at something that gives no signal."""


async def until(condition: Callable[[], object]) -> None:
    """Wait, bounded, for what gives no signal."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(LOOK_S)


def unique(prefix: str) -> str:
    """A name that no other test has."""
    return f"{prefix}-{uuid4().hex[:10]}"


class Kit(Protocol):
    """One kind of broker."""

    is_incremental: bool
    """Whether members keep what does not move, rather than give everything up whenever one joins or leaves."""

    async def create_topic(self, name: str, partitions: int = 1) -> None: ...
    async def ensure_topic(self, name: str) -> None: ...
    async def delete_topic(self, name: str) -> None: ...
    async def put(self, topic: str, records: Sequence[tuple[bytes | None, bytes | None]], *, partition: int = 0) -> None:
        """Write records outside any transaction."""
        ...

    async def put_in_transactions(self, topic: str, values: Sequence[bytes]) -> None:
        """Each in a transaction of its own, so that markers stand between them; every second one is aborted."""
        ...

    async def read(self, topic: str) -> list[Record]:
        """What is committed, by partition and offset."""
        ...

    async def delete_records(self, partition: TopicPartition, *, before: int) -> None: ...
    async def commit_foreign(self, group: str, partition: TopicPartition, offset: int, metadata: str) -> None: ...
    async def die_inside(self, transactional_id: str, commit: Commit) -> None:
        """Do all of a transaction but its end, and be gone."""
        ...

    async def held_for_long(self, consumer: Consumer) -> None:
        """Wait until a hold has lasted so long that another way of holding is used, where there is one."""
        ...

    def consumer(self, group: str) -> Consumer: ...
    def transactions(self, transactional_id: str) -> Transactions: ...
    def publisher(self, codec: AvroCodec) -> Publisher: ...
    def retained(self) -> Retained: ...
    async def close(self) -> None: ...


class MemoryKit:
    """`backends.memory`."""

    is_incremental = True

    def __init__(self) -> None:
        self._broker = MemoryBroker(SystemClock())

    async def create_topic(self, name: str, partitions: int = 1) -> None:
        self._broker.create_topic(name, partitions)

    async def ensure_topic(self, name: str) -> None:
        self._broker.ensure_topics([name])

    async def delete_topic(self, name: str) -> None:
        self._broker.delete_topic(name)

    async def put(self, topic: str, records: Sequence[tuple[bytes | None, bytes | None]], *, partition: int = 0) -> None:
        for key, value in records:
            self._broker.append(Outgoing(topic, key, value, ()), partition=partition)

    async def put_in_transactions(self, topic: str, values: Sequence[bytes]) -> None:
        for value in values:
            self._broker.append(Outgoing(topic, None, value, ()), partition=0)
            for _ in range(3):  # the marker, an aborted record and its marker
                self._broker.append_gap(TopicPartition(topic, 0))

    async def read(self, topic: str) -> list[Record]:
        return self._broker.read(topic)

    async def delete_records(self, partition: TopicPartition, *, before: int) -> None:
        self._broker.delete_records(partition, before=before)

    async def commit_foreign(self, group: str, partition: TopicPartition, offset: int, metadata: str) -> None:
        self._broker.commit_foreign(group, partition, offset, metadata)

    async def die_inside(self, transactional_id: str, commit: Commit) -> None:
        membership: Any = commit.snapshot.group_metadata
        self._broker.leave_open(transactional_id, commit.outputs, membership.group, commit.offsets)

    async def held_for_long(self, consumer: Consumer) -> None:
        """There is one way only."""

    def consumer(self, group: str) -> Consumer:
        return MemoryConsumer(broker=self._broker, group=group, revoke_bound=timedelta(milliseconds=100))

    def transactions(self, transactional_id: str) -> Transactions:
        return MemoryTransactions(broker=self._broker, transactional_id=transactional_id)

    def publisher(self, codec: AvroCodec) -> Publisher:
        return MemoryPublisher(broker=self._broker, codec=codec)

    def retained(self) -> Retained:
        return MemoryRetained(self._broker)

    async def close(self) -> None:
        """Nothing is open."""


class KafkaKit:
    """`backends.kafka`, on a broker that runs."""

    def __init__(self, bootstrap: str, protocol: GroupProtocol = GroupProtocol.CONSUMER) -> None:
        self.config, self.protocol = client_configuration(bootstrap), protocol
        self.is_incremental = protocol.is_incremental
        self._admin = AdminClient(self.config)
        self._producer = Producer(self.config)
        self._dead: list[Producer] = []
        self._publishers: list[KafkaPublisher] = []

    async def create_topic(self, name: str, partitions: int = 1) -> None:
        (made,) = self._admin.create_topics([NewTopic(name, partitions, 1)]).values()
        await asyncio.to_thread(made.result, PATIENCE_S)

    async def ensure_topic(self, name: str) -> None:
        if name not in await asyncio.to_thread(self._topics):
            await self.create_topic(name)

    async def delete_topic(self, name: str) -> None:
        (gone,) = self._admin.delete_topics([name]).values()
        await asyncio.to_thread(gone.result, PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            while name in await asyncio.to_thread(self._topics):
                await asyncio.sleep(LOOK_S)

    def _topics(self) -> set[str]:
        return set(self._admin.list_topics(timeout=PATIENCE_S).topics)

    async def put(self, topic: str, records: Sequence[tuple[bytes | None, bytes | None]], *, partition: int = 0) -> None:
        for key, value in records:
            self._producer.produce(topic, value, key, partition=partition)
        assert await asyncio.to_thread(self._producer.flush, PATIENCE_S) == 0

    async def put_in_transactions(self, topic: str, values: Sequence[bytes]) -> None:
        await asyncio.to_thread(self._put_in_transactions, topic, values)

    def _put_in_transactions(self, topic: str, values: Sequence[bytes]) -> None:
        producer = self._begun(unique("writer"))
        for value in values:
            producer.produce(topic, value, partition=0)
            producer.commit_transaction(PATIENCE_S)
            producer.begin_transaction()
            producer.produce(topic, b"aborted", partition=0)
            producer.flush(PATIENCE_S)
            producer.abort_transaction(PATIENCE_S)
            producer.begin_transaction()
        producer.abort_transaction(PATIENCE_S)

    def _begun(self, transactional_id: str) -> Producer:
        producer = Producer({**self.config, "transactional.id": transactional_id, "transaction.timeout.ms": 60_000})
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        return producer

    async def read(self, topic: str) -> list[Record]:
        found = await asyncio.to_thread(lambda: list(KafkaReader(config=self.config).read([topic])))
        return sorted(found, key=lambda record: (record.partition, record.offset))

    async def delete_records(self, partition: TopicPartition, *, before: int) -> None:
        (done,) = self._admin.delete_records([KafkaPartition(partition.topic, partition.partition, before)]).values()
        await asyncio.to_thread(done.result, PATIENCE_S)

    async def commit_foreign(self, group: str, partition: TopicPartition, offset: int, metadata: str) -> None:
        place = KafkaPartition(partition.topic, partition.partition, offset, metadata)
        (done,) = self._admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [place])]).values()
        await asyncio.to_thread(done.result, PATIENCE_S)

    async def die_inside(self, transactional_id: str, commit: Commit) -> None:
        await asyncio.to_thread(self._die_inside, transactional_id, commit)

    def _die_inside(self, transactional_id: str, commit: Commit) -> None:
        producer = self._begun(transactional_id)
        for output in commit.outputs:
            producer.produce(output.topic, output.value, output.key, headers=list(output.headers))
        offsets = [KafkaPartition(p.topic, p.partition, offset, metadata) for p, (offset, metadata) in commit.offsets.items()]
        metadata: Any = commit.snapshot.group_metadata
        producer.send_offsets_to_transaction(offsets, metadata, PATIENCE_S)
        producer.flush(PATIENCE_S)
        self._dead.append(producer)  # its thread goes on, but it says nothing any more

    async def held_for_long(self, consumer: Consumer) -> None:
        assert isinstance(consumer, OwnerThread)
        await until(lambda: consumer._paused)

    def consumer(self, group: str) -> Consumer:
        return OwnerThread(group=group, config=self.config, protocol=self.protocol)

    def transactions(self, transactional_id: str) -> Transactions:
        return KafkaTransactions(transactional_id=transactional_id, config=self.config)

    def publisher(self, codec: AvroCodec) -> Publisher:
        publisher = KafkaPublisher(codec=codec, config={**self.config, "topic.metadata.propagation.max.ms": 1_000})
        self._publishers.append(publisher)
        return publisher

    def retained(self) -> Retained:
        return KafkaRetained(self.config)

    async def close(self) -> None:
        for publisher in self._publishers:
            await publisher.close()


class Recorder(Listener):
    """Writes down what a consumer tells, in order."""

    def __init__(self, revoked: Callable[[Sequence[TopicPartition]], Awaitable[None]] | None = None) -> None:
        self.told: list[tuple[str, tuple[TopicPartition, ...]]] = []
        self.owned: dict[TopicPartition, int] = {}
        self.records: list[Record] = []
        self.epochs: list[int | None] = []
        """Beside each record, the local epoch of its partition in the snapshot that came with it."""
        self.errors: list[Exception] = []
        self._revoked = revoked
        self._happened = asyncio.Event()

    def assigned(self, partitions: Sequence[TopicPartition], snapshot: Snapshot) -> None:
        self.owned.update({partition: snapshot.epochs[partition] for partition in partitions})
        self._note("assigned", partitions)

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._note("revoking", partitions)
        if self._revoked is not None:
            await self._revoked(partitions)
        self._leave("revoked", partitions)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        self._leave("lost", partitions)

    def taken(self, records: Sequence[Record], snapshot: Snapshot) -> None:
        self.records += records
        self.epochs += [snapshot.epochs.get(TopicPartition(record.topic, record.partition)) for record in records]
        self._happened.set()

    def failed(self, error: Exception) -> None:
        self.errors.append(error)
        self._happened.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition on what was told."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                assert not self.errors, self.errors
                self._happened.clear()
                await self._happened.wait()

    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    def _leave(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self.owned.pop(partition, None)
        self._note(what, partitions)

    def _note(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        self.told.append((what, tuple(partitions)))
        self._happened.set()


class Member:
    """A consumer that has joined, and what it was told."""

    def __init__(self, consumer: Consumer, listener: Recorder) -> None:
        self.consumer, self.listener = consumer, listener

    async def owns(self, *partitions: TopicPartition) -> None:
        """Wait until it owns exactly these."""
        await self.listener.until(lambda: set(self.listener.owned) == set(partitions))

    async def go(self, *partitions: TopicPartition) -> None:
        """Hand these out from the committed offset on."""
        await self.consumer.go(dict.fromkeys(partitions))

    async def receives(self, *values: bytes | None) -> None:
        """Wait for as many records; they must be these, in this order."""
        await self.listener.until(lambda: len(self.listener.records) >= len(values))
        assert self.listener.values() == list(values)


class Unanswered:
    """A producer whose end of the transaction is sent, or not, and never answered."""

    def __init__(self, producer: Any, *, sent: bool) -> None:
        self._producer, self._sent = producer, sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def commit_transaction(self, timeout_s: float) -> None:
        if self._sent:
            self._producer.commit_transaction(timeout_s)
            self._sent = False
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer", False, True, False))


@asynccontextmanager
async def joined(
    kit: Kit, group: str, *topics: str, revoked: Callable[[Sequence[TopicPartition]], Awaitable[None]] | None = None
) -> AsyncIterator[Member]:
    """A member of a group, which leaves at the end."""
    member = Member(kit.consumer(group), Recorder(revoked))
    await member.consumer.start(topics, member.listener)
    try:
        yield member
    finally:
        await member.consumer.close()


def offsets(*partitions: TopicPartition, offset: int, metadata: str = "") -> Mapping[TopicPartition, tuple[int, str]]:
    """The same offset of each."""
    return dict.fromkeys(partitions, (offset, metadata))


def outgoing(topic: str, *values: bytes) -> list[Outgoing]:
    """Outputs of one key."""
    return [Outgoing(topic, b"k", value, (("n", b"%d" % number),)) for number, value in enumerate(values)]


@dataclass(frozen=True, slots=True)
class Stage:
    """A producer that has begun, a topic for outputs, and a member that owns the only partition of another topic, with ten records."""

    kit: Kit
    transactions: Transactions
    output_topic: str
    member: Member
    partition: TopicPartition

    async def commit(self, *outputs: bytes, offset: int, under: Snapshot | None = None) -> None:
        """Under the member's present snapshot unless told otherwise."""
        await self.transactions.commit(self.made(*outputs, offset=offset, under=under))

    def made(self, *outputs: bytes, offset: int, under: Snapshot | None = None) -> Commit:
        snapshot = under or self.member.consumer.snapshot()
        return Commit(outgoing(self.output_topic, *outputs), offsets(self.partition, offset=offset), snapshot)

    async def put_out(self) -> list[bytes | None]:
        """What is seen of the outputs."""
        return [record.value for record in await self.kit.read(self.output_topic)]

    async def position(self) -> int:
        return (await self.member.consumer.committed([self.partition]))[self.partition].offset


@asynccontextmanager
async def staged(kit: Kit, transactions: Transactions, output_topic: str) -> AsyncIterator[Stage]:
    """A topic with ten records, and a member that owns it."""
    partition = TopicPartition(unique("topic"), 0)
    await kit.create_topic(partition.topic)
    await kit.put(partition.topic, [(b"k", b"%d" % number) for number in range(10)])
    async with joined(kit, unique("group"), partition.topic) as member:
        await member.owns(partition)
        yield Stage(kit, transactions, output_topic, member, partition)
