"""The stores that the suites run on, and what several suites say to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import delete

from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.instances import MemoryInstances
from integration_fabric.backends.memory.redeliveries import MemoryRedeliveries
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
from integration_fabric.backends.sql.tables import METADATA, STORE
from integration_fabric.canonical.ports import CrossReferences
from integration_fabric.connector_kit.ports import Cursors, Receipts
from integration_fabric.delivery.ports import EffectLog, SystemStates
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.process_engine.ports import Instances
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Fence, Leases, Orders, Redeliveries, TakenLease
from integration_fabric.runtime.records import Outgoing, TopicPartition
from integration_fabric.runtime.subscriber import Handled

SUBSCRIBER = "tryton.create-order"
PARTITION = TopicPartition("erp.create-order.v1", 3)
TOPIC_ID = "topic-1"
FENCE = Fence(SUBSCRIBER, TOPIC_ID, PARTITION.partition, 5)
"""What `taken` makes valid."""
STALE = Fence(SUBSCRIBER, TOPIC_ID, PARTITION.partition, 4)
"""A predecessor's."""
HERE = Coordinates(PARTITION.topic, PARTITION.partition, 7)
ELSEWHERE = Coordinates(PARTITION.topic, PARTITION.partition, 8)
HANDLED = Handled(
    OutcomeKind.APPLIED,
    (
        Outgoing("erp.order-booked.v1", b"SO-1", b"\x00\x00\x00\x00\x07\xff", (("ce_id", b"m-2"), ("odd", b"\xff\x00"))),
        Outgoing("erp.other.v1", None, None, ()),
    ),
    "created",
    ("erp.v1.OrderBooked", "erp.v1.Other"),
)


@dataclass(frozen=True, slots=True)
class Stores:
    """Every port that a store implements, on one store."""

    leases: Leases
    effects: EffectLog
    instances: Instances
    cross_references: CrossReferences
    cursors: Cursors
    receipts: Receipts
    system_states: SystemStates
    orders: Orders
    redeliveries: Redeliveries

    async def take(self, fence: Fence = FENCE, owner: str = "worker-1") -> None:
        """Raise the lease to the fence's epoch."""
        lease = TakenLease(TopicPartition(PARTITION.topic, fence.partition), fence.topic_id, fence.epoch)
        assert list(await self.leases.take(fence.subscriber, [lease], owner)) == [True]


def memory_stores() -> Stores:
    """In memory, on a clock that stands still."""
    store = MemoryStore(FakeClock())
    links = MemoryCrossReferences(store)
    return Stores(
        MemoryLeases(store),
        MemoryEffects(store, links),
        MemoryInstances(store),
        links,
        MemoryCursors(store),
        MemoryReceipts(store),
        MemorySystemStates(store),
        MemoryOrders(store),
        MemoryRedeliveries(store),
    )


def sql_stores(database: Database) -> Stores:
    """On one connection to a database."""
    links = SqlCrossReferences(database)
    return Stores(
        SqlLeases(database),
        SqlEffects(database),
        SqlInstances(database),
        links,
        SqlCursors(database),
        SqlReceipts(database),
        SqlSystemStates(database),
        SqlOrders(database),
        SqlRedeliveries(database),
    )


@contextmanager
def open_database(url: str) -> Iterator[Database]:
    """A database with its tables."""
    database = Database(url)
    database.open()
    try:
        yield database
    finally:
        database.close()


def empty(url: str) -> None:
    """Take out every row, but leave the store its name."""
    with open_database(url) as database, database.engine.begin() as connection:
        for table in METADATA.tables.values():
            if table is not STORE:
                connection.execute(delete(table))
