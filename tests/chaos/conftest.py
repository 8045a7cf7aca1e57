"""Landscapes of processes that can be killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from integration_fabric.apps.demo.story import expected_footprint, expected_invoices
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.errors import FabricError
from integration_fabric.messages.fabric import ProcessState
from integration_fabric.operations.conservation import Balance
from integration_fabric.process_engine.ports import Instances
from integration_fabric.wiring import local_systems
from integration_fabric.wiring.contracts import apply_topics, push_schemas
from integration_fabric.wiring.drivers import Drivers, Footprint, open_drivers
from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.local_systems import GATEWAY, WORKER_PARTS
from integration_fabric.wiring.local_vendors import Landscape
from integration_fabric.wiring.operations import open_instances, read_balances
from integration_fabric.wiring.samples import SampleQuote, landscape, sample_quotes
from integration_fabric.wiring.settings import LOCAL_CONFIG, Settings, load

WORKERS = (*(f"worker-{part}" for part in WORKER_PARTS), GATEWAY)
LOOK_EVERY_S = 0.5


@dataclass(slots=True)
class Victims:
    """A running landscape of which each process can be killed."""

    settings: Settings
    drivers: Drivers
    instances: Instances
    dice: random.Random
    story: list[str] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)

    def tell(self, line: str) -> None:
        """Write down what happened, and when."""
        self.story.append(f"{time.monotonic() - self.began_s:6.1f} s  {line}")

    async def kill(self, name: str) -> None:
        """`kill -9`, and start it again."""
        service = local_systems.services()[name]
        assert service.pid is not None
        os.kill(service.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while name in local_systems.services():
                await asyncio.sleep(0.01)
        self.tell(f"killed {name}")
        if name == GATEWAY:
            local_systems.start_gateway()
        else:
            local_systems.start_worker(name.removeprefix("worker-"))

    async def approve(self, quotes: Sequence[SampleQuote], *, per_s: float) -> None:
        """Approve them one after the other."""
        for quote in quotes:
            await self._through_faults(lambda quote=quote: self.drivers.write(quote))
            await self._through_faults(lambda quote=quote: self.drivers.approve_written(quote.quote_id))
            await asyncio.sleep(1 / per_s)

    async def _through_faults(self, do: Callable[[], Awaitable[None]]) -> None:
        """What a person does who is shown an error: do it again; what is refused then has been done by the first attempt."""
        failures = 0
        async with asyncio.timeout(60):
            while True:
                try:
                    return await do()
                except Exception as error:
                    failures += 1
                    if type(error).__name__ == "SalesforceRefused" and failures > 1:
                        return None
                    if not isinstance(error, FabricError):
                        raise
                    await asyncio.sleep(0.2)

    async def completed(self, process: str = "quote-to-activation") -> int:
        """How many instances are through."""
        return len(await self.instances.find(process=process, state=ProcessState.COMPLETED.value, limit=100_000))

    async def until_all(self, wanted: dict[str, int], within_s: float) -> None:
        """Wait until so many instances of each process are through."""
        found: dict[str, int] = {}
        try:
            async with asyncio.timeout(within_s):
                while any(found.get(process, 0) < count for process, count in wanted.items()):
                    found = {process: await self.completed(process) for process in wanted}
                    await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self.tell("through: " + ", ".join(f"{process} {count} of {wanted[process]}" for process, count in found.items()))

    async def settled_balances(self) -> list[Balance]:
        """The sums, once nothing is in flight or a while has passed."""
        for _ in range(40):
            found = await asyncio.to_thread(read_balances, self.settings)
            if not any(balance.in_flight for balance in found):
                break
            await asyncio.sleep(LOOK_EVERY_S)
        return list(found)


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A landscape of its own, stopped at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FABRIC_LOCAL_STATE_DIR", str(tmp_path))
        patch.setenv("FABRIC_CONFIG", str(tmp_path / "fabric.toml"))
        try:
            yield tmp_path
        finally:
            local_systems.down(lambda _: None)


@asynccontextmanager
async def victims(systems: Landscape, seed: int, *, store: Store = Store.SQLITE) -> AsyncIterator[Victims]:
    """Everything runs, each worker in a process of its own."""
    local_systems.up(systems, lambda _: None, store=store)
    if systems is Landscape.SIMULATORS:
        _let_the_erp_work_in_parallel()
    settings = load()
    apply_topics(settings)
    push_schemas(settings)
    local_systems.start_workers(lambda _: None)
    async with AsyncExitStack() as stack:
        drivers = await stack.enter_async_context(open_drivers(settings))
        await drivers.load_master_data(landscape())
        for tax in landscape().tax_codes:
            if tax.missing_at_start:
                await drivers.add_tax_code(tax)
        yield Victims(settings, drivers, await open_instances(settings, stack), random.Random(seed))


def _let_the_erp_work_in_parallel() -> None:
    """Give its actions more lanes than the two writers that a real Tryton bears.

    An unknown outcome takes its lane half a minute, and would keep one of two places for so long.
    """
    path = LocalSettings().state_dir / LOCAL_CONFIG.name
    actions = ("validate-quote", "create-order", "activate-order", "post-invoice", "apply-payment", "update-receivable")
    sections = [f'[subscribers."tryton.{action}"]\nin_flight = 48\n' for action in actions]
    path.write_text("\n".join([path.read_text(), *sections]))


async def unruly(found: Victims, rate: float) -> None:
    """Every fault that a vendor can produce, at this rate, on every system that can be told to."""
    for role in found.drivers.simulated:
        await found.drivers.set_faults(
            role,
            latency_ms=2,
            latency_jitter_ms=10,
            error_rate=rate,
            effect_then_error_rate=rate,
            effect_then_timeout_rate=rate,
            hang_ms=9_000,
            throttle_rate=rate,
            retry_after_s=1,
        )
    for role in found.drivers.sending:
        await found.drivers.set_faults(
            role,
            webhook_loss_rate=rate,
            webhook_duplicate_rate=rate,
            webhook_delay_jitter_ms=200,
            webhook_reorder_rate=rate,
            webhook_corrupt_rate=rate,
        )


async def survive(found: Victims, count: int, *, per_s: float, every_s: float, within_s: float, failing: int) -> None:
    """Approve quotes while each worker in turn is killed, let payments fail and be made good, then count.

    Args:
        found: What runs.
        count: How many quotes.
        per_s: How fast they are approved.
        every_s: Between kills.
        within_s: For the rest, once all are approved.
        failing: Of how many quotes a second invoice is declined first.
    """
    quotes = list(sample_quotes(count))
    order = list(WORKERS)
    found.dice.shuffle(order)
    approving = asyncio.create_task(found.approve(quotes, per_s=per_s))
    try:
        for name in order:
            await asyncio.sleep(every_s * found.dice.uniform(0.5, 1.0))
            before = await found.completed()
            await found.kill(name)
            found.tell(f"{before} of {count} were through")
        await approving
        invoices = sum(expected_invoices(quote) for quote in quotes)
        wanted = {"quote-to-activation": count, "invoice-posting": invoices, "payment-application": invoices}
        await found.until_all(wanted, within_s)
        again = await _fail_and_make_good(found, [quote for quote in quotes if expected_invoices(quote)][:failing], order[0], within_s)
        more = {process: number + len(again) for process, number in wanted.items() if process != "quote-to-activation"}
        await found.until_all({**more, "payment-failure": len(again)}, within_s)
    finally:
        approving.cancel()
        print("\n".join(found.story))
    await _count(found, quotes, again)


async def _fail_and_make_good(found: Victims, quotes: Sequence[SampleQuote], victim: str, within_s: float) -> list[str]:
    """The payers' cards are declined for their next invoice, a worker is killed, and then they are charged after all."""
    if "billing" in found.drivers.simulated:  # what people do there is not what is tried; its webhooks go on being lost and doubled
        await found.drivers.set_faults("billing", error_rate=0, effect_then_error_rate=0, effect_then_timeout_rate=0, throttle_rate=0)
    payers = sorted({quote.bill_to for quote in quotes})
    again = [await found.drivers.bill_again(quote.quote_id) for quote in quotes]
    for works in (False, True):
        for payer in payers:
            await found.drivers.card(payer, works=works)
        for invoice in again:
            await found.drivers.collect(invoice)
        if not works:
            await found.kill(victim)
            async with asyncio.timeout(within_s):
                while not await _all_open(found, again):
                    await asyncio.sleep(LOOK_EVERY_S)
            found.tell(f"{len(again)} payments failed, and somebody was asked about each")
    return again


async def _all_open(found: Victims, invoices: Sequence[str]) -> bool:
    """Whether somebody is asked about each, once."""
    try:
        seen = await found.drivers.interventions(invoices)
    except FabricError:  # the reader meets faults, too
        return False
    return all(list(states) == ["open"] for states in seen.values())


async def _count(found: Victims, quotes: Sequence[SampleQuote], again: Sequence[str]) -> None:
    """Exactly one of each in every system, the same money on both sides, every sum even."""
    for role in found.drivers.simulated:
        await found.drivers.control.clear_faults(found.drivers.vendor(role))
    ids = [quote.quote_id for quote in quotes]
    counted: dict[str, Footprint] = dict(await found.drivers.footprints(ids))
    assert counted == {quote.quote_id: expected_footprint(quote) for quote in quotes}
    money = await found.drivers.money(ids)
    assert [text for each in money.values() for text in each.differences] == []
    billed = [invoice for each in money.values() for invoice in each.billed]
    assert len(billed) == sum(expected_invoices(quote) for quote in quotes) + len(again)
    posted = [record for each in money.values() for records in each.posted.values() for record in records]
    for currency in {invoice.currency for invoice in billed}:
        theirs = sum((invoice.total for invoice in billed if invoice.currency == currency), Decimal(0))
        ours = sum((record.total for record in posted if record.currency == currency), Decimal(0))
        assert theirs == ours > 0
        print(f"{currency}: {ours} billed and posted")
    assert [record for record in posted if record.is_overdue] == []
    assert {invoice: list(states) for invoice, states in (await found.drivers.interventions(again)).items()} == {
        invoice: ["closed"] for invoice in again
    }
    uneven = [balance for balance in await found.settled_balances() if not balance.balanced or balance.in_flight]
    assert uneven == []
