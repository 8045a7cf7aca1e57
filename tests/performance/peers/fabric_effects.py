"""Commands to the outside, by an action as connectors declare them; its effect log on SQLite or PostgreSQL, or off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from integration_fabric.backends.sql.effects import SqlEffects
from integration_fabric.connector_kit.actions import action
from integration_fabric.connector_kit.http_client import HttpClient, http_client
from integration_fabric.delivery.nothing_kept import NothingKept
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.ids import System
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.context import Context
from tests.performance.contest import Stopwatch, Task
from tests.performance.invoices import BookInvoice, InvoiceBooked
from tests.performance.peers.fabric_worker import handle_with, open_store


class Outside(Protocol):
    """What books invoices."""

    watch: Stopwatch

    async def book(self, command: BookInvoice, key: str) -> str:
        """Book one. Returns the booking's number."""
        ...


class OverHttp(Outside):
    """A server that answers after a while."""

    def __init__(self, client: HttpClient) -> None:
        self.watch, self._client = Stopwatch(), client

    async def book(self, command: BookInvoice, key: str) -> str:
        """One call."""
        body = {"invoice": command.invoice_id, "customer": command.customer_id, "total": str(command.total), "currency": command.currency}
        answer = await self._client.call("POST", "/bookings", json=body, headers={"Idempotency-Key": key})
        return str(answer.json()["id"])


class Bare(Outside):
    """Nothing but the wait, as a client takes more CPU than all the rest."""

    def __init__(self, latency_s: float) -> None:
        self.watch, self._latency_s = Stopwatch(), latency_s

    async def book(self, command: BookInvoice, key: str) -> str:
        """Wait."""
        await asyncio.sleep(self._latency_s)
        return key


@action(Strategy.NATIVE_KEY, in_flight=200)
async def book(command: BookInvoice, context: Context[Outside]) -> InvoiceBooked:
    outside = context.needs
    if not outside.watch.began:
        outside.watch.begin()
    number = await outside.book(command, context.key())
    return InvoiceBooked(customer_id=command.customer_id, invoice_id=command.invoice_id, booking=number, aggregate_version=1)


@book.read_back
async def find(_: BookInvoice, __: Context[Outside]) -> InvoiceBooked | None:
    return None


async def effect(task: Task) -> None:
    async with open_store(task) as database, outside_of(task) as outside:
        book.policy = replace(book.policy, in_flight=task.in_flight)
        effects = SqlEffects(database) if task.store else NothingKept()
        running = book.bind(System(task.name), outside, effects=effects, clock=SystemClock())
        await handle_with(task, running, outside.watch, database)


@asynccontextmanager
async def outside_of(task: Task) -> AsyncIterator[Outside]:
    if not task.downstream:
        yield Bare(task.latency_ms / 1000)
        return
    within = timedelta(seconds=5)
    async with http_client(
        system="outside", base_url=task.downstream, headers={}, answer_within=within, connections=task.in_flight
    ) as client:
        yield OverHttp(client)
