"""The fabric itself, wired as in a worker: real Kafka, real SQL for its leases, the activity log on."""

from __future__ import annotations

import asyncio
import importlib
from itertools import islice

from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.outcomes import Applied, Outcome
from integration_fabric.telemetry import logs
from tests.performance.contest import Stopwatch, Task, Work, read_task
from tests.performance.invoices import InvoiceCopied, InvoiceIssued, InvoicePublished, envelopes, make_codec
from tests.performance.peers.fabric_effects import effect
from tests.performance.peers.fabric_worker import bound, handle
from tests.performance.workload import DISTINCT

BATCH = 10_000
"""Envelopes for one `publish`, and so for one wait for acknowledgements."""


async def consume(task: Task) -> None:
    watch = Stopwatch()

    async def take(_: InvoiceIssued, __: Context[None]) -> Outcome:
        if not watch.began:
            watch.begin()
        return Applied()

    await handle(task, bound(task, take), watch)


async def wait(task: Task) -> None:
    watch, latency_s = Stopwatch(), task.latency_ms / 1000

    async def take(_: InvoiceIssued, __: Context[None]) -> Outcome:
        if not watch.began:
            watch.begin()
        await asyncio.sleep(latency_s)
        return Applied()

    await handle(task, bound(task, take), watch)


async def pipe(task: Task) -> None:
    watch = Stopwatch()

    async def copy(event: InvoiceIssued, _: Context[None]) -> Outcome:
        if not watch.began:
            watch.begin()
        return Applied((copied(event),))

    await handle(task, bound(task, copy), watch)


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


def main(task: Task) -> None:
    logs.set_up(level="WARNING")
    if task.whole_worker:
        importlib.import_module("integration_fabric.apps.worker")
    works = {Work.CONSUME: consume, Work.PIPE: pipe, Work.PUBLISH: publish, Work.WAIT: wait, Work.EFFECT: effect}
    asyncio.run(works[task.work](task))


if __name__ == "__main__":
    main(read_task())
