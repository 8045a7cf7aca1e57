"""The one place where parts are joined: ports to backends, roles to connectors. Workers, the gateway and tools open a fabric here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.kafka.admin import KafkaAdmin, WantedTopic
from integration_fabric.backends.kafka.inquiry import KafkaInquiry
from integration_fabric.backends.kafka.owner_thread import OwnerThread
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.kafka.reader import KafkaReader
from integration_fabric.backends.kafka.retained import KafkaRetained
from integration_fabric.backends.kafka.transactions import KafkaTransactions
from integration_fabric.backends.sql.cross_references import SqlCrossReferences
from integration_fabric.backends.sql.cursors import SqlCursors
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.effects import SqlEffects
from integration_fabric.backends.sql.instances import SqlInstances
from integration_fabric.backends.sql.leases import SqlLeases
from integration_fabric.backends.sql.orders import SqlOrders
from integration_fabric.backends.sql.receipts import SqlReceipts
from integration_fabric.backends.sql.redeliveries import SqlRedeliveries
from integration_fabric.backends.sql.system_states import SqlSystemStates
from integration_fabric.canonical.ports import CrossReferences
from integration_fabric.canonical.routing import Routes
from integration_fabric.connector_kit.polling import Poller
from integration_fabric.connector_kit.ports import Cursors, Receipts
from integration_fabric.connector_kit.reception import Reception
from integration_fabric.delivery.dead_letters import bury
from integration_fabric.delivery.governor import Governors
from integration_fabric.delivery.nothing_kept import NothingKept
from integration_fabric.delivery.ports import EffectLog, SystemStates
from integration_fabric.delivery.pruning import Prune, Pruner
from integration_fabric.delivery.shadow import Shadow
from integration_fabric.messages.ids import System
from integration_fabric.operations.ports import TopicReader
from integration_fabric.process_engine import subscriber as process_subscriber
from integration_fabric.process_engine.ports import Instances
from integration_fabric.process_engine.timers import TimerPoller
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.ports import Clock, Codec, Fence, Leases, Orders, Publisher, Redeliveries
from integration_fabric.runtime.storm import StormWatch
from integration_fabric.runtime.subscriber import Running
from integration_fabric.wiring import landscape
from integration_fabric.wiring.kafka import client_config, open_registry
from integration_fabric.wiring.settings import Settings, SystemSettings, require_store
from integration_fabric.wiring.vendors import Vendor


@dataclass(frozen=True, slots=True)
class OpenSystem:
    """One running system with its client."""

    name: System
    settings: SystemSettings
    vendor: Vendor
    client: Any
    """The connector's own."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What is kept in SQL, or in memory."""

    leases: Leases
    effects: EffectLog
    instances: Instances
    cross_references: CrossReferences
    cursors: Cursors
    receipts: Receipts
    system_states: SystemStates
    orders: Orders
    redeliveries: Redeliveries


@dataclass(frozen=True, slots=True)
class Fabric:
    """Everything that is shared by the subscribers of one worker."""

    settings: Settings
    clock: Clock
    codec: Codec
    publisher: Publisher
    stores: Stores
    systems: Mapping[str, OpenSystem]
    governors: Governors
    routes: Routes
    reader: TopicReader
    backing: Callable[[str], Backing]
    """Makes what one subscriber's loop runs on, by the subscriber's name."""
    make_topics: Callable[[Sequence[str]], None]
    """Makes topics that are missing. Blocks."""

    def subscribers(self, names: Sequence[str]) -> Sequence[Running]:
        """The subscribers of these parts, with everything that they need."""
        wanted = landscape.select(self.settings, names)
        processes = [
            process_subscriber.running(process, instances=self.stores.instances, routes=self.routes) for process in landscape.PROCESSES
        ]
        actions = [running for system in self.systems.values() for running in self._actions(system)]
        found = [running for running in (*processes, *actions) if running.name in wanted]
        return [replace(running, policy=landscape.policy(self.settings, running.name, running.policy)) for running in found]

    def _actions(self, system: OpenSystem, *, effects: EffectLog | None = None) -> Sequence[Running]:
        connector = system.vendor.connector
        gate = self.governors.by_system[system.name]
        return connector.subscribers(system.name, system.client, effects=effects or self.stores.effects, clock=self.clock, gate=gate)

    def shadow(self, name: str) -> Shadow:
        """What one subscriber of a system that is open would make of messages."""
        actions = [running for system in self.systems.values() for running in self._actions(system, effects=NothingKept())]
        (running,) = [running for running in actions if running.name == name]
        policy = landscape.policy(self.settings, name, running.policy)
        return Shadow(replace(running, policy=policy), self.codec, self.clock, self.stores.effects)

    def loop(self, running: Running, *, worker: str, watch: StormWatch | None = None) -> SubscriberLoop:
        """A loop for one subscriber; a new one each time that it is started, with the `watch` of the one before."""
        worker_settings = self.settings.worker
        bounds = Bounds(
            high_messages=worker_settings.queued_messages,
            low_messages=worker_settings.queued_messages // 2,
            high_bytes=worker_settings.queued_mib * 2**20,
            drain=worker_settings.drain,
            remembered=self.settings.store.remembered,
        )
        return SubscriberLoop(running=running, worker=worker, backing=self.backing(running.name), bury=bury, bounds=bounds, watch=watch)

    def pruner(self, running: Running, bases: Callable[[], Mapping[Fence, int]]) -> Pruner:
        """Forgets what one subscriber remembers for too long, of the partitions that `bases` tells."""
        return Pruner(subscriber=running.name, prune=self._prune_of(running), older_than=self.settings.store.remembered, bases=bases)

    def _prune_of(self, running: Running) -> Prune:
        for process in landscape.PROCESSES:
            if process_subscriber.subscriber_name(process) == running.name:
                return partial(self.stores.instances.prune, process=process.name)
        return self.stores.effects.prune

    def pollers(self, names: Sequence[str]) -> Sequence[tuple[Poller, SystemSettings]]:
        """The pollers of the systems in these parts."""
        mine = landscape.systems_of(self.settings, names)
        return [(poller, system.settings) for name, system in self.systems.items() if name in mine and (poller := self._poller(system))]

    def _poller(self, system: OpenSystem) -> Poller | None:
        if system.vendor.source is None:
            return None
        return Poller(
            name=f"{system.name}.changes",
            source=system.vendor.source(system.client, system.settings),
            reception=self.reception(system.name, system.vendor),
            cursors=self.stores.cursors,
            clock=self.clock,
            gate=self.governors.by_system[system.name],
        )

    def reception(self, name: System, vendor: Vendor) -> Reception:
        """The way in of one system."""
        stores = self.stores
        intake = vendor.connector.intake
        return Reception(name, intake, stores.cross_references, stores.receipts, self.publisher, self.clock)

    def timers(self, names: Sequence[str]) -> Sequence[TimerPoller]:
        """The timer pollers of the processes in these parts."""
        wanted = landscape.select(self.settings, names)
        return [
            TimerPoller(process=process.name, instances=self.stores.instances, publisher=self.publisher, clock=self.clock)
            for process in landscape.PROCESSES
            if process_subscriber.subscriber_name(process) in wanted
        ]


@asynccontextmanager
async def open_fabric(settings: Settings, *, parts: Sequence[str] = (), clock: Clock | None = None) -> AsyncIterator[Fabric]:
    """Open what these parts need, and close it at the end.

    Args:
        settings: All of them.
        parts: Of the landscape, as `fabric worker run` takes them; none for tools and the gateway.
        clock: Another one than the machine's, for scenarios.

    Raises:
        UsageProblem: a setting is wrong, or schemas or topics are missing.
        Unreachable: broker, registry or store do not answer.
    """
    async with AsyncExitStack() as stack:
        clock = clock or SystemClock()
        config = await asyncio.to_thread(client_config, settings)
        registry = open_registry(settings, config)
        codec = AvroCodec(registry)
        await asyncio.to_thread(codec.prepare, landscape.written(settings))
        database = await open_database(settings, stack)
        publisher = KafkaPublisher(codec=codec, config=config)
        stack.push_async_callback(publisher.close)
        systems = (
            {name: await open_system(name, settings.systems[name], stack) for name in landscape.systems_of(settings, parts)}
            if parts
            else {}
        )
        stores = sql_stores(database)
        inquiry = KafkaInquiry(config)
        protocol = settings.kafka.group_protocol

        def backing(subscriber: str) -> Backing:
            return Backing(
                consumer=OwnerThread(group=subscriber, config=config, protocol=protocol, inquiry=inquiry),
                transactions=KafkaTransactions(transactional_id=f"{subscriber}-{uuid4().hex[:12]}", config=config),
                leases=stores.leases,
                codec=codec,
                clock=clock,
                redeliveries=stores.redeliveries,
                retained=KafkaRetained(config),
            )

        yield Fabric(
            settings=settings,
            clock=clock,
            codec=codec,
            publisher=publisher,
            stores=stores,
            systems=systems,
            governors=governors_of(systems, stores.system_states, clock),
            routes=landscape.routes(settings),
            reader=KafkaReader(config=config, inquiry=inquiry),
            backing=backing,
            make_topics=lambda names: _make_topics(config, names),
        )


def governors_of(systems: Mapping[str, OpenSystem], states: SystemStates, clock: Clock) -> Governors:
    """One governor for each system that is open."""
    return Governors({name: system.settings.limits for name, system in systems.items()}, states=states, clock=clock)


def _make_topics(config: Mapping[str, Any], names: Sequence[str]) -> None:
    KafkaAdmin(config).apply([WantedTopic(name) for name in names])


def sql_stores(database: Database) -> Stores:
    """What is kept, all of it in one database."""
    return Stores(
        leases=SqlLeases(database),
        effects=SqlEffects(database),
        instances=SqlInstances(database),
        cross_references=SqlCrossReferences(database),
        cursors=SqlCursors(database),
        receipts=SqlReceipts(database),
        system_states=SqlSystemStates(database),
        orders=SqlOrders(database),
        redeliveries=SqlRedeliveries(database),
    )


async def open_database(settings: Settings, stack: AsyncExitStack) -> Database:
    """Open the store; it is closed with the stack."""
    database = Database(require_store(settings))
    await asyncio.to_thread(database.open)
    stack.callback(database.close)
    return database


async def open_system(name: str, settings: SystemSettings, stack: AsyncExitStack) -> OpenSystem:
    """Open the client of one system; it is closed with the stack."""
    vendor = landscape.vendor_of(name, settings)
    client = await stack.enter_async_context(vendor.open(System(name), settings))
    return OpenSystem(System(name), settings, vendor, client)
