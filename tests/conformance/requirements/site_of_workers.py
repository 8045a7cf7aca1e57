"""A site for the tests of requirements: subscriber loops as in a worker, on a real Kafka and a SQLite of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

from broker_kit import PATIENCE_S, KafkaKit, unique
from prometheus_client import REGISTRY

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.kafka.owner_thread import OwnerThread
from integration_fabric.backends.kafka.reader import KafkaReader
from integration_fabric.backends.kafka.transactions import KafkaTransactions
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.leases import SqlLeases
from integration_fabric.delivery.dead_letters import bury, topic_of
from integration_fabric.governance.ports import subject_of
from integration_fabric.governance.schema_files import read
from integration_fabric.messages.base import Event, Message
from integration_fabric.messages.fabric import Activity
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.outcomes import Applied
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Commit, CommittedOffset
from integration_fabric.runtime.records import Record, TopicPartition
from integration_fabric.runtime.subscriber import Delivery, Handled, Running

LOOK_S = 0.02
"""Between two looks at a broker."""
SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "Job",
        "namespace": "requirements.v1",
        "fields": [{"name": "job", "type": "string"}, *({"name": name, "type": "long"} for name in ("number", "aggregate_version"))],
    }
)


class Job(Event):
    """What all these subscribers read and put out; each site has topics of its own for it."""

    schema_name: ClassVar[str] = "requirements.v1.Job"
    key_field: ClassVar[str] = "job"

    job: str
    number: int


Handle = Callable[[Job], Awaitable[None]]
_NUMBERS = count()


class WatchedTransactions(KafkaTransactions):
    """A producer that writes down what it is asked to commit, and waits or fails where a test says so."""

    def __init__(self, *, transactional_id: str, config: Mapping[str, Any]) -> None:
        super().__init__(transactional_id=transactional_id, config=config)
        self.asked: list[Commit] = []
        self.fail_with: list[Exception] = []
        """The next ones fail so, with nothing sent."""
        self.open = asyncio.Event()
        self.open.set()
        """Cleared, commits wait before anything of them is sent."""

    async def commit(self, commit: Commit) -> None:
        self.asked.append(commit)
        await self.open.wait()
        if self.fail_with:
            raise self.fail_with.pop(0)
        await super().commit(commit)


@dataclass(slots=True)
class Worker:
    """One worker's loop, and what it runs on."""

    loop: SubscriberLoop
    consumer: OwnerThread
    transactions: WatchedTransactions
    task: asyncio.Task[None]

    def owned(self) -> set[TopicPartition]:
        """What it handles."""
        return set(self.loop.partitions())

    async def drain(self) -> None:
        self.loop.drain()
        await self.task


@dataclass
class Site:
    """Everything of one test: a topic that is read, one that is written, a group, a store."""

    kit: KafkaKit
    database: Database
    partitions: int = 2
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = unique("site")
        kinds = [type(f"{kind}{next(_NUMBERS)}", (Job,), {"topic": unique(kind)}) for kind in ("Taken", "Made")]
        self.reads: type[Job] = kinds[0]
        self.writes: type[Job] = kinds[1]
        registry = MemoryRegistry()
        for kind in (*kinds, Activity):
            registry.register(subject_of(kind), _schema(kind))
        self.codec = AvroCodec(registry, schema_text=_schema)
        self.codec.prepare((*kinds, Activity))
        self.reader = KafkaReader(config=self.kit.config)
        self.put_count = dict.fromkeys(range(self.partitions), 0)

    async def make_topics(self, *, dead_letters: bool = True) -> None:
        await self.kit.create_topic(self.reads.topic, self.partitions)
        await self.kit.create_topic(self.writes.topic)
        if dead_letters:
            await self.kit.create_topic(topic_of(self.name))
        await self.kit.ensure_topic(Activity.topic)

    def partition(self, number: int) -> TopicPartition:
        return TopicPartition(self.reads.topic, number)

    def all_partitions(self) -> set[TopicPartition]:
        return {self.partition(number) for number in range(self.partitions)}

    # -- putting in

    def encoded(self, key: str, number: int) -> bytes:
        return self.codec.encode(self.reads(job=key, number=number, aggregate_version=number))

    async def put(self, keys: Sequence[str], numbers: Sequence[int], *, partition: int | None = None) -> None:
        """A job of each number for each key, round after round; keys go round the partitions unless they are told where to go."""
        by_partition: dict[int, list[tuple[bytes | None, bytes | None]]] = {}
        for number in numbers:
            for place, key in enumerate(keys):
                at = place % self.partitions if partition is None else partition
                by_partition.setdefault(at, []).append((key.encode(), self.encoded(key, number)))
        for at, records in by_partition.items():
            await self.put_records(records, partition=at)

    async def put_records(self, records: Sequence[tuple[bytes | None, bytes | None]], *, partition: int) -> None:
        await self.kit.put(self.reads.topic, records, partition=partition)
        self.put_count[partition] += len(records)

    # -- running

    def running(self, handle: Handle | None = None, *, policy: Policy | None = None) -> Running:
        async def run(delivery: Delivery) -> Handled:
            job = delivery.envelope.body
            assert isinstance(job, Job)
            if handle is not None:
                await handle(job)
            return delivery.settle(Applied((self.writes(job=job.job, number=job.number, aggregate_version=job.number),)))

        return Running(self.name, (self.reads,), policy or Policy(), run)

    def start(
        self,
        handle: Handle | None = None,
        *,
        policy: Policy | None = None,
        bounds: Bounds | None = None,
        consumer: OwnerThread | None = None,
        transactions: WatchedTransactions | None = None,
    ) -> Worker:
        """Start a worker's loop."""
        consumer = consumer or OwnerThread(group=self.name, config=self.kit.config, protocol=self.kit.protocol)
        transactions = transactions or WatchedTransactions(transactional_id=unique(self.name), config=self.kit.config)
        backing = Backing(consumer, transactions, SqlLeases(self.database), self.codec, SystemClock())
        running = self.running(handle, policy=policy)
        loop = SubscriberLoop(running=running, worker=f"worker-{len(self.workers)}", backing=backing, bury=bury, bounds=bounds)
        worker = Worker(loop, consumer, transactions, asyncio.create_task(loop.run()))
        self.workers.append(worker)
        return worker

    async def until(self, condition: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
        """Wait until something is so; a loop that fails meanwhile fails the test."""
        async with asyncio.timeout(within_s):
            while not condition():
                for worker in self.workers:
                    if worker.task.done() and not worker.task.cancelled():
                        worker.task.result()
                await asyncio.sleep(LOOK_S)

    async def until_owned(self, worker: Worker, count: int) -> None:
        """Wait until a worker handles so many partitions."""
        await self.until(lambda: len(worker.owned()) == count)

    async def until_committed(self, *, within_s: float = PATIENCE_S) -> None:
        """Wait until all that was put in is below the committed offset."""
        async with asyncio.timeout(within_s):
            while any(at is None or at.offset < self.put_count[p.partition] for p, at in (await self.committed()).items()):
                await self.until(lambda: True)
                await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        for worker in self.workers:
            if not worker.task.done():
                worker.loop.drain()
        async with asyncio.timeout(2 * PATIENCE_S):
            await asyncio.gather(*(worker.task for worker in self.workers), return_exceptions=True)
        for worker in self.workers:
            if not worker.task.done():
                worker.task.cancel()
                with suppress(asyncio.CancelledError):
                    await worker.task

    # -- looking

    async def committed(self) -> Mapping[TopicPartition, CommittedOffset | None]:
        """What the group has committed."""
        return await asyncio.to_thread(self.reader.committed, self.name, [self.reads.topic])

    async def ends(self) -> Mapping[TopicPartition, int]:
        return await asyncio.to_thread(self.reader.ends, [self.reads.topic])

    async def made(self) -> list[tuple[str, int]]:
        """What was put out and committed, in order."""
        found = []
        for record in await self.kit.read(self.writes.topic):
            assert record.value is not None
            job = self.codec.decode(record.value, self.writes)
            assert isinstance(job, Job)
            found.append((job.job, job.number))
        return found

    async def made_by_key(self) -> dict[str, list[int]]:
        """The same, the numbers of each key."""
        found: dict[str, list[int]] = {}
        for key, number in await self.made():
            found.setdefault(key, []).append(number)
        return found

    async def dead_letters(self) -> list[Record]:
        return await self.kit.read(topic_of(self.name))

    def metric(self, name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"subscriber": self.name, **labels}) or 0.0


def _schema(kind: type[Message]) -> str:
    return SCHEMA if issubclass(kind, Job) else read(kind).text
