"""The fabric itself, wired as in a worker: real Kafka, real SQL for its leases, the activity log on."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import REGISTRY

from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.owner_thread import OwnerThread
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.kafka.transactions import KafkaTransactions
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.leases import SqlLeases
from integration_fabric.delivery.dead_letters import bury
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.outcomes import Applied, Outcome
from integration_fabric.runtime.subscriber import Running, subscriber
from integration_fabric.telemetry import logs
from tests.performance.contest import Stopwatch, Task, Work, read_task
from tests.performance.invoices import InvoiceCopied, InvoiceIssued, InvoicePublished, envelopes, make_codec
from tests.performance.workload import DISTINCT

IN_FLIGHT = 100
LOOK_EVERY_S = 0.01
"""For the counter of what is committed: small beside the seconds that are measured."""
BATCH = 10_000
"""Envelopes for one `publish`, and so for one wait for acknowledgements."""


async def consume(task: Task) -> None:
    watch, name = Stopwatch(), task.name

    @subscriber(name, in_flight=IN_FLIGHT)
    async def take(_: InvoiceIssued, __: Context[None]) -> Outcome:
        if not watch.began:
            watch.begin()
        return Applied()

    await handle(task, take.bind(None), watch)


async def pipe(task: Task) -> None:
    watch, name = Stopwatch(), task.name

    @subscriber(name, in_flight=IN_FLIGHT)
    async def copy(event: InvoiceIssued, _: Context[None]) -> Outcome:
        if not watch.began:
            watch.begin()
        return Applied((copied(event),))

    await handle(task, copy.bind(None), watch)


def copied(event: InvoiceIssued) -> InvoiceCopied:
    """As people write it, field by field."""
    return InvoiceCopied(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        correlation_id=event.correlation_id,
        tenant=event.tenant,
        invoice_id=event.invoice_id,
        order_id=event.order_id,
        contract_id=event.contract_id,
        customer_id=event.customer_id,
        currency=event.currency,
        total=event.total,
        due_on=event.due_on,
        lines=event.lines,
    )


async def publish(task: Task) -> None:
    config = client_configuration(task.bootstrap)
    publisher = KafkaPublisher(codec=make_codec(EmbeddedRegistry(config)), config=config)
    source = envelopes(InvoicePublished)
    batches = [list(islice(source, BATCH)) for _ in range(DISTINCT // BATCH)]
    await publisher.publish(batches[0][:1])  # connected, as a publisher in a worker is
    watch, rounds = Stopwatch(), task.events // BATCH
    watch.begin()
    for number in range(rounds):
        await publisher.publish(batches[number % len(batches)])
    watch.end(rounds * BATCH)
    await publisher.close()


async def handle(task: Task, running: Running, watch: Stopwatch) -> None:
    """Run the subscriber until that many events are committed."""
    async with backing_of(task, running.name) as backing:
        gc.freeze()  # as a worker does
        loop = SubscriberLoop(running=running, worker="bench", backing=backing, bury=bury)
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
async def backing_of(task: Task, name: str) -> AsyncIterator[Backing]:
    config = client_configuration(task.bootstrap)
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'store.db'}")
        database.open()
        yield Backing(
            consumer=OwnerThread(group=name, config=config),
            transactions=KafkaTransactions(transactional_id=task.name, config=config),
            leases=SqlLeases(database),
            codec=make_codec(EmbeddedRegistry(config)),
            clock=SystemClock(),
        )
        database.close()


if __name__ == "__main__":
    logs.set_up(level="WARNING")
    given = read_task()
    asyncio.run({Work.CONSUME: consume, Work.PIPE: pipe, Work.PUBLISH: publish}[given.work](given))
