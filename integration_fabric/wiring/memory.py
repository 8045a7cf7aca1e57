"""A fabric in memory, for fast tests: the same runtime, engine and connectors on a broker, a store and a registry of one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.backends.memory.consumer import MemoryConsumer
from integration_fabric.backends.memory.instances import MemoryInstances
from integration_fabric.backends.memory.publisher import MemoryPublisher
from integration_fabric.backends.memory.reader import MemoryReader
from integration_fabric.backends.memory.redeliveries import MemoryRedeliveries, MemoryRetained
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import (
    MemoryCrossReferences,
    MemoryCursors,
    MemoryEffects,
    MemoryLeases,
    MemoryOrders,
    MemoryReceipts,
    MemorySystemStates,
)
from integration_fabric.backends.memory.transactions import MemoryTransactions
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.governance.schema_files import read_all
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.ports import Clock
from integration_fabric.wiring import landscape
from integration_fabric.wiring.fabric import Fabric, Stores, governors_of, open_system
from integration_fabric.wiring.settings import Settings


@asynccontextmanager
async def open_memory_fabric(settings: Settings, *, clock: Clock) -> AsyncIterator[Fabric]:
    """Open a fabric that forgets everything at its end. Its systems are those of the settings: real ones, or simulators."""
    broker, store, registry = MemoryBroker(clock), MemoryStore(clock), MemoryRegistry()
    for file in read_all():
        registry.register(f"{file.topic}-value", file.text)
    for spec in landscape.topics(settings):
        broker.create_topic(spec.name, spec.partitions)
    codec = AvroCodec(registry)
    codec.prepare(landscape.written(settings))
    cross_references = MemoryCrossReferences(store)
    leases, redeliveries = MemoryLeases(store), MemoryRedeliveries(store)

    def backing(subscriber: str) -> Backing:
        return Backing(
            consumer=MemoryConsumer(broker=broker, group=subscriber),
            transactions=MemoryTransactions(broker=broker, transactional_id=f"{subscriber}-{uuid4().hex[:12]}"),
            leases=leases,
            codec=codec,
            clock=clock,
            redeliveries=redeliveries,
            retained=MemoryRetained(broker),
        )

    states = MemorySystemStates(store)
    async with AsyncExitStack() as stack:
        systems = {name: await open_system(name, system, stack) for name, system in settings.systems.items()}
        yield Fabric(
            settings=settings,
            clock=clock,
            codec=codec,
            publisher=MemoryPublisher(broker=broker, codec=codec),
            stores=Stores(
                leases=leases,
                effects=MemoryEffects(store, cross_references),
                instances=MemoryInstances(store),
                cross_references=cross_references,
                cursors=MemoryCursors(store),
                receipts=MemoryReceipts(store),
                system_states=states,
                orders=MemoryOrders(store),
                redeliveries=redeliveries,
            ),
            systems=systems,
            governors=governors_of(systems, states, clock),
            routes=landscape.routes(settings),
            reader=MemoryReader(broker),
            backing=backing,
            make_topics=lambda names: broker.ensure_topics(names, landscape.PARTITIONS),
        )
