"""One subscriber of the fabric, as a worker hosts it: what the measurements of it have in common."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import REGISTRY

from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.owner_thread import OwnerThread
from integration_fabric.backends.kafka.transactions import KafkaTransactions
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.leases import SqlLeases
from integration_fabric.delivery.dead_letters import bury
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.subscriber import Handler, Running, Subscriber
from tests.performance.contest import Stopwatch, Task
from tests.performance.invoices import InvoiceIssued, issued_on, make_codec

LOOK_EVERY_S = 0.01
"""For the counter of what is committed: small beside the seconds that are measured."""


def bound(task: Task, handler: Handler[InvoiceIssued, None]) -> Running:
    """As `subscriber` declares it, but on the topic of the task."""
    return Subscriber(task.name, handler, (issued_on(task.topic),), Policy(in_flight=task.in_flight)).bind(None)


async def handle(task: Task, running: Running, watch: Stopwatch) -> None:
    """Run the subscriber until that many events are committed."""
    async with open_store(task) as database:
        await handle_with(task, running, watch, database)


async def handle_with(task: Task, running: Running, watch: Stopwatch, database: Database) -> None:
    """The same on a store that is open."""
    loop = loop_of(task, running, database)
    running_loop = asyncio.create_task(loop.run())
    while (committed := committed_count(running.name)) < task.events and not running_loop.done():
        await asyncio.sleep(LOOK_EVERY_S)
    watch.end(committed)
    loop.drain()
    await running_loop


def committed_count(name: str) -> int:
    """What the fabric's own metric says."""
    return int(REGISTRY.get_sample_value("fabric_messages_total", {"subscriber": name, "outcome": "applied"}) or 0)


@asynccontextmanager
async def open_store(task: Task) -> AsyncIterator[Database]:
    """The task's, or a fresh SQLite."""
    with TemporaryDirectory() as folder:
        database = Database(task.store or f"sqlite:///{Path(folder) / 'store.db'}")
        database.open()
        yield database
        database.close()


def loop_of(task: Task, running: Running, database: Database) -> SubscriberLoop:
    """Everything real, as `wiring` joins it."""
    config = client_configuration(task.bootstrap)
    backing = Backing(
        consumer=OwnerThread(group=running.name, config=config),
        transactions=KafkaTransactions(transactional_id=task.name, config=config),
        leases=SqlLeases(database),
        codec=make_codec(EmbeddedRegistry(config)),
        clock=SystemClock(),
    )
    gc.freeze()  # as a worker does
    return SubscriberLoop(running=running, worker="bench", backing=backing, bury=bury)
