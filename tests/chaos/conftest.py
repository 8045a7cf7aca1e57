"""Landscapes of processes that can be killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from integration_fabric.local import postgres_programs
from integration_fabric.local.errors import NoPostgres
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
from integration_fabric.wiring.settings import Settings, load

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

    async def kill(self, name: str) -> None:
        """`kill -9`, and start it again."""
        service = local_systems.services()[name]
        assert service.pid is not None
        os.kill(service.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while name in local_systems.services():
                await asyncio.sleep(0.01)
        self.story.append(f"killed {name}")
        if name == GATEWAY:
            local_systems.start_gateway()
        else:
            local_systems.start_worker(name.removeprefix("worker-"))

    async def approve(self, quotes: list[SampleQuote], *, per_s: float) -> None:
        """Approve them one after the other."""
        for quote in quotes:
            await self.drivers.approve(quote)
            await asyncio.sleep(1 / per_s)

    async def completed(self) -> int:
        """How many processes are through."""
        found = await self.instances.find(process="quote-to-activation", state=ProcessState.COMPLETED.value, limit=10_000)
        return len(found)

    async def until(self, true: Callable[[int], bool], within_s: float) -> None:
        """Wait until so many are through."""
        async with asyncio.timeout(within_s):
            while not true(await self.completed()):
                await asyncio.sleep(LOOK_EVERY_S)

    async def settled_balances(self) -> list[Balance]:
        """The sums, once nothing is in flight or a while has passed."""
        for _ in range(40):
            found = await asyncio.to_thread(read_balances, self.settings)
            if not any(balance.in_flight for balance in found):
                break
            await asyncio.sleep(LOOK_EVERY_S)
        return list(found)


@pytest.fixture
def server_store() -> Store:
    """PostgreSQL; SQLite on a machine that has none."""
    try:
        postgres_programs.find()
        postgres_programs.run_as()
    except NoPostgres as error:
        print(f"on SQLite: {error}")
        return Store.SQLITE
    return Store.POSTGRESQL


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A landscape of its own, stopped at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FABRIC_LOCAL_STATE_DIR", str(tmp_path))
        patch.setenv("FABRIC_CONFIG", str(tmp_path / "fabric.toml"))
        try:
            yield tmp_path
        finally:
            local_systems.forget(lambda _: None)


@asynccontextmanager
async def victims(systems: Landscape, seed: int, store: Store) -> AsyncIterator[Victims]:
    """Everything runs, each worker in a process of its own."""
    local_systems.up(systems, lambda _: None, store=store)
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


def expected(quote: SampleQuote) -> Footprint:
    """What each quote leaves in the systems."""
    recurs = any(line.charge_type != "one_off" for line in quote.lines)
    return Footprint(orders=1, subscriptions=int(recurs), entitlements=len(quote.lines), onboardings=1)


async def survive(found: Victims, count: int, *, per_s: float, every_s: float, within_s: float) -> None:
    """Approve quotes while each worker in turn is killed, then count.

    Args:
        found: What runs.
        count: How many quotes.
        per_s: How fast they are approved.
        every_s: Between kills.
        within_s: For the rest, once all are approved.
    """
    quotes = list(sample_quotes(count))
    order = list(WORKERS)
    found.dice.shuffle(order)
    approving = asyncio.create_task(found.approve(quotes, per_s=per_s))
    for name in order:
        await asyncio.sleep(every_s * found.dice.uniform(0.5, 1.0))
        before = await found.completed()
        await found.kill(name)
        found.story.append(f"{before} of {count} were through")
    await approving
    try:
        await found.until(lambda through: through == count, within_s)
    finally:
        print("\n".join([*found.story, f"{await found.completed()} of {count} were through at the end"]))
    counted = await found.drivers.footprints([quote.quote_id for quote in quotes])
    assert {q.quote_id: counted[q.quote_id] for q in quotes} == {q.quote_id: expected(q) for q in quotes}
    uneven = [balance for balance in await found.settled_balances() if not balance.balanced or balance.in_flight]
    assert uneven == []
