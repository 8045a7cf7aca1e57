"""A landscape of its own for the quote benchmark, quotes approved in it, and when the process of each was completed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path

from confluent_kafka import Consumer

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.errors import FabricError
from integration_fabric.messages.fabric import ProcessChanged, ProcessState
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.wiring import local_systems
from integration_fabric.wiring.contracts import apply_topics, push_schemas
from integration_fabric.wiring.drivers import Drivers, open_drivers
from integration_fabric.wiring.kafka import client_config, open_registry
from integration_fabric.wiring.landscape import select
from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.local_systems import Landscape
from integration_fabric.wiring.samples import SampleQuote, landscape, sample_quote
from integration_fabric.wiring.settings import LOCAL_CONFIG, Settings, load
from tests.performance.cpu_time import cores, snapshot
from tests.performance.quote_report import Steady, Sustained

VENDORS = ("salesforce", "stripe", "gainsight", "zendesk", "tryton")
PROCESS = "quote-to-activation"
POLL_S = 0.05
ERP_IN_FLIGHT = 16
REST_WITHIN_S = 60.0


@dataclass(slots=True)
class QuoteLoad:
    """Approves quotes and notices their completion."""

    settings: Settings
    drivers: Drivers
    approved_s: dict[str, float] = field(default_factory=dict)
    """When the approval of each began, on the monotonic clock."""
    completed_s: dict[str, float] = field(default_factory=dict)
    """When the record of its completion could be read."""
    not_taken: int = 0
    """Approvals that the CPQ itself did not answer."""
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def open_count(self) -> int:
        """Approved and not yet through."""
        return len(self.approved_s) - len(self.completed_s)

    async def approve(self) -> None:
        """One quote: two recurring lines and a one-off one."""
        quote = _later(sample_quote(recurring=2, one_off=1))
        self.approved_s[quote.quote_id] = time.monotonic()
        try:
            await self.drivers.approve(quote)
        except FabricError:  # the CPQ is too busy to take it in time: it is told apart from what was approved and is not through
            del self.approved_s[quote.quote_id]
            self.not_taken += 1

    async def sustain(self, *, in_flight: int, warm_up_s: float, seconds: float) -> Sustained:
        """Keep so many open, and count how many are through in a while."""
        async with asyncio.TaskGroup() as tasks:
            pressing = [tasks.create_task(self._press(in_flight)) for _ in range(min(32, in_flight))]
            await asyncio.sleep(warm_up_s)
            before, began_s, cpu = len(self.completed_s), time.monotonic(), snapshot(roots())
            await asyncio.sleep(seconds)
            completed, took_s = len(self.completed_s) - before, time.monotonic() - began_s
            spent = cores(cpu, snapshot(roots()), took_s)
            for task in pressing:
                task.cancel()
        await self.rest()
        return Sustained(completed, took_s, spent, os.getloadavg()[0])

    async def _press(self, in_flight: int) -> None:
        while True:
            async with self.moved:
                await self.moved.wait_for(lambda: self.open_count < in_flight)
            await self.approve()

    async def go_steadily(self, *, per_s: float, warm_up_s: float, seconds: float) -> Steady:
        """Approve at a fixed rate, and say how long each took that was approved after the warm-up."""
        began_s = time.monotonic()
        known, not_taken = set(self.approved_s), self.not_taken
        cpu: Mapping[str, float] = {}
        async with asyncio.TaskGroup() as tasks:
            for number in count():
                due_s = began_s + number / per_s
                if due_s > began_s + warm_up_s + seconds:
                    break
                if not cpu and due_s > began_s + warm_up_s:
                    cpu, measured_s = snapshot(roots()), time.monotonic()
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                tasks.create_task(self.approve())
        spent = cores(cpu, snapshot(roots()), time.monotonic() - measured_s)
        await self.rest()
        mine = [quote for quote, at_s in self.approved_s.items() if quote not in known and at_s >= began_s + warm_up_s]
        took = [self.completed_s[quote] - self.approved_s[quote] for quote in mine if quote in self.completed_s]
        return Steady(per_s, took, len(mine), spent, os.getloadavg()[0], self.not_taken - not_taken)

    async def rest(self) -> None:
        """Wait until all are through, for a minute at the most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_WITHIN_S), self.moved:
                await self.moved.wait_for(lambda: self.open_count <= 0)

    async def watch(self) -> None:
        """Read what becomes of processes, as anybody may who subscribes to it."""
        codec = AvroCodec(open_registry(self.settings, client_config(self.settings)))
        await asyncio.to_thread(codec.prepare, [ProcessChanged])
        consumer = Consumer(
            {
                **client_config(self.settings),
                "group.id": f"quote-load-{os.getpid()}-{time.monotonic_ns()}",
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
            }
        )
        consumer.subscribe([ProcessChanged.topic])
        try:
            while True:
                messages = await asyncio.to_thread(consumer.consume, 500, POLL_S)
                now_s, through = time.monotonic(), 0
                for message in messages:
                    value = message.value()
                    body = codec.decode(value, ProcessChanged) if isinstance(value, bytes) and message.error() is None else None
                    if isinstance(body, ProcessChanged) and body.process == PROCESS and body.state is ProcessState.COMPLETED:
                        through += self._note(body, now_s)
                if through:
                    async with self.moved:
                        self.moved.notify_all()
        finally:
            consumer.close()

    def _note(self, body: ProcessChanged, now_s: float) -> int:
        quote = body.business_keys.get("quote", "")
        if quote not in self.approved_s or quote in self.completed_s:
            return 0
        self.completed_s[quote] = now_s
        return 1


def roots() -> Mapping[str, int]:
    """Every process of the landscape, and this one, which approves."""
    return {"approving": os.getpid(), **{name: service.pid for name, service in local_systems.services().items() if service.pid}}


@contextmanager
def _own_folder(folder: Path) -> Iterator[None]:
    ours = {"FABRIC_LOCAL_STATE_DIR": str(folder), "FABRIC_CONFIG": str(folder / "fabric.toml"), "FABRIC_LOG_LEVEL": "WARNING"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@asynccontextmanager
async def quote_load(folder: Path, store: Store, *, latency_ms: float) -> AsyncIterator[QuoteLoad]:
    """Everything runs, each worker in a process of its own, as `fabric` runs it; gone at the end."""
    with _own_folder(folder):
        try:
            await asyncio.to_thread(_start, store)
            settings = load()
            async with AsyncExitStack() as stack:
                drivers = await stack.enter_async_context(open_drivers(settings))
                await drivers.load_master_data(landscape())
                for vendor in VENDORS:
                    await drivers.control.set_faults(vendor, latency_ms=latency_ms)
                load_ = QuoteLoad(settings, drivers)
                watching = asyncio.create_task(load_.watch())
                try:
                    yield load_
                finally:
                    watching.cancel()
                    with suppress(asyncio.CancelledError):
                        await watching
        finally:
            await asyncio.to_thread(local_systems.forget, lambda _: None)


def _start(store: Store) -> None:
    local_systems.up(Landscape.SIMULATORS, lambda _: None, store=store)
    settings = load()
    apply_topics(settings)
    push_schemas(settings)
    _unleash(settings)
    local_systems.start_workers(lambda _: None)


def _unleash(settings: Settings) -> None:
    """As many calls at once as a simulator takes: our connector bounds them for a real Tryton, which does six orders a second."""
    bounded = [name for name in select(settings, ["erp"]) if "." in name]
    with (LocalSettings().state_dir / LOCAL_CONFIG.name).open("a") as file:
        file.writelines(f'\n[subscribers."{name}"]\nin_flight = {ERP_IN_FLIGHT}\n' for name in sorted(bounded))


def _later(quote: SampleQuote) -> SampleQuote:
    """The same with its service beginning in a month, so that billing charges nothing yet: invoices are no part of this."""
    starts_on = SystemClock().now().date() + timedelta(days=30)
    year = timedelta(days=364)
    lines = tuple(replace(line, starts_on=starts_on, ends_on=line.ends_on and starts_on + year) for line in quote.lines)
    return replace(quote, lines=lines)
