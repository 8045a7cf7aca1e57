"""A bench for subscriber loops: broker, store and clock in memory, and what a test asks of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self, TypeVar

from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.consumer import MemoryConsumer
from integration_fabric.backends.memory.redeliveries import MemoryRedeliveries, MemoryRetained
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryLeases
from integration_fabric.backends.memory.transactions import MemoryTransactions
from integration_fabric.delivery.dead_letters import bury, topic_of
from integration_fabric.messages.base import Message
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.fabric import Activity, Transition
from integration_fabric.messages.ids import LegalEntity, deterministic_id
from integration_fabric.messages.master_data import AccountChanged, ProductChanged, TaxCodeChanged
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.envelopes import encode_envelope
from integration_fabric.runtime.offsets import CommitMetadata
from integration_fabric.runtime.outcomes import Applied, Outcome
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import Outgoing, Record, TopicPartition
from integration_fabric.runtime.storm import StormWatch
from integration_fabric.runtime.subscriber import Delivery, Handled, Running

NAME = "copier"
READS: tuple[type[Message], ...] = (TaxCodeChanged,)
PATIENCE_S = 3600.0
"""How long a test waits for something, on the clock of the bench."""

M = TypeVar("M", bound=Message)
Handle = Callable[[Delivery], Awaitable[Outcome | None]]


def tax_code(key: str, version: int) -> TaxCodeChanged:
    return TaxCodeChanged(
        tax_code=key, name=f"version {version}", rate=Decimal("0.25"), legal_entity=LegalEntity("no"), aggregate_version=version
    )


def copy_of(event: Message) -> AccountChanged:
    """What the copier emits: it says which message it was made of."""
    assert isinstance(event, TaxCodeChanged)
    return AccountChanged(
        account_code=event.tax_code, name=event.name, legal_entity=event.legal_entity, aggregate_version=event.aggregate_version
    )


def copier(handle: Handle | None = None, *, policy: Policy | None = None, name: str = NAME) -> Running:
    """A subscriber that emits one event for each; `handle` is what it does before."""

    async def run(delivery: Delivery) -> Handled:
        outcome = await handle(delivery) if handle else None
        return delivery.settle(outcome or Applied((copy_of(delivery.envelope.body),)))

    return Running(name, READS, policy or Policy(), run)


@dataclass(slots=True)
class Member:
    """One worker's loop, and what it runs on."""

    loop: SubscriberLoop
    consumer: MemoryConsumer
    transactions: MemoryTransactions
    task: asyncio.Task[None]

    async def drain(self) -> None:
        self.loop.drain()
        await self.task

    async def kill(self) -> None:
        """As `kill -9`: nothing is finished, nothing handed over."""
        self.consumer.crash()
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def owned(member: Member) -> set[TopicPartition]:
    """What a worker handles."""
    return set(member.loop.partitions())


@dataclass
class Bench:
    """Everything of one test."""

    codec: Codec
    partitions: int = 1
    clock: FakeClock = field(default_factory=FakeClock)
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.clock)
        self.broker.ensure_topics([kind.topic for kind in (TaxCodeChanged, ProductChanged, AccountChanged, Activity)], self.partitions)
        self.broker.ensure_topics([topic_of(NAME)])
        self.store = MemoryStore(self.clock)
        self.leases = MemoryLeases(self.store)
        self.redeliveries = MemoryRedeliveries(self.store)

    # -- putting in

    def publish(self, event: Message, *, message_id: str | None = None, partition: int | None = None) -> Record:
        identity = (
            deterministic_id(event.topic, event.key, str(getattr(event, "aggregate_version", 0))) if message_id is None else message_id
        )
        envelope = Envelope(body=event, id=identity, source="/test", time=self.clock.now(), correlation_id=event.key)  # type: ignore[arg-type]
        return self.broker.append(encode_envelope(envelope, self.codec), partition=partition)

    def publish_many(self, keys: Sequence[str], each: int) -> None:
        for version in range(each):
            for key in keys:
                self.publish(tax_code(key, version))

    def append(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> Record:
        return self.broker.append(Outgoing(TaxCodeChanged.topic, key, value, tuple(headers)))

    # -- running

    def start(
        self,
        running: Running,
        *,
        bounds: Bounds | None = None,
        worker: str = "worker",
        latency_s: float = 0.0,
        batch: int = 1000,
        watch: StormWatch | None = None,
    ) -> Member:
        number = len(self.members)
        consumer = MemoryConsumer(broker=self.broker, group=running.name, batch=batch)
        transactions = MemoryTransactions(
            broker=self.broker, transactional_id=f"{running.name}-{number}", clock=self.clock, latency_s=latency_s
        )
        retained = MemoryRetained(self.broker)
        backing = Backing(consumer, transactions, self.leases, self.codec, self.clock, self.redeliveries, retained)
        loop = SubscriberLoop(running=running, worker=f"{worker}-{number}", backing=backing, bury=bury, bounds=bounds, watch=watch)
        member = Member(loop, consumer, transactions, asyncio.create_task(loop.run()))
        self.members.append(member)
        return member

    @asynccontextmanager
    async def running(
        self,
        running: Running,
        *,
        bounds: Bounds | None = None,
        latency_s: float = 0.0,
        batch: int = 1000,
        watch: StormWatch | None = None,
    ) -> AsyncIterator[Member]:
        member = self.start(running, bounds=bounds, latency_s=latency_s, batch=batch, watch=watch)
        yield member
        await member.drain()

    async def until(self, condition: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
        """Wait for a condition, on the bench's clock, which must be advancing."""
        began_s = self.clock.monotonic_s()
        while not condition():
            failed = [
                member.task for member in self.members if member.task.done() and not member.task.cancelled() and member.task.exception()
            ]
            for task in failed:
                task.result()
            waited_s = self.clock.monotonic_s() - began_s
            assert waited_s < within_s, "waited in vain"
            await self.clock.sleep(0.01 if waited_s < 2 else 0.25)

    async def until_committed(self, group: str = NAME) -> None:
        """Wait until every record of what is read is committed."""
        await self.until(lambda: self.is_committed(group))

    # -- looking

    def lag(self, group: str = NAME) -> int:
        """Records that are not below the committed offset."""
        return sum(len(self._rest(partition, group, None)) for kind in READS for partition in self.broker.partitions(kind.topic))

    def is_committed(self, group: str = NAME) -> bool:
        return not any(self._rest(partition, group, 1) for kind in READS for partition in self.broker.partitions(kind.topic))

    def _rest(self, partition: TopicPartition, group: str, limit: int | None) -> list[Record]:
        return self.broker.take(partition, self.broker.position(group, partition).offset, limit)[0]

    def copies(self) -> list[AccountChanged]:
        """What copiers have put out, committed."""
        return [self._decode(record, AccountChanged) for record in self.broker.read(AccountChanged.topic)]

    def versions(self, key: str) -> list[int]:
        """The versions of one key that came out, in order."""
        return [copy.aggregate_version for copy in self.copies() if copy.account_code == key]

    def transitions(self) -> list[Transition]:
        """Everything in the activity log."""
        return [transition for record in self.broker.read(Activity.topic) for transition in self._decode(record, Activity).transitions]

    def outcomes(self) -> dict[int, list[str]]:
        """The outcomes of each offset of partition 0, as the activity log tells them."""
        found: dict[int, list[str]] = {}
        for transition in self.transitions():
            found.setdefault(transition.offset, []).append(transition.outcome)
        return found

    def dead_letters(self, name: str = NAME) -> list[Record]:
        return self.broker.read(topic_of(name))

    def metadata(self, partition: TopicPartition, group: str = NAME) -> CommitMetadata | None:
        return self.broker.position(group, partition).metadata

    def _decode(self, record: Record, kind: type[M]) -> M:
        assert record.value is not None
        found = self.codec.decode(record.value, kind)
        assert isinstance(found, kind)
        return found

    async def __aenter__(self) -> Self:
        self._advancing = self.clock.auto_advance()
        await self._advancing.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for member in self.members:
            if not member.task.done():
                await member.kill()
        await self._advancing.__aexit__(None, None, None)
