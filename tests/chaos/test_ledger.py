"""The runtime under everything at once: 1,000 accounts, each with entries in order, on a vendor that misbehaves.

Workers are killed, stopped and told to go on, hired and drained every few seconds; the broker is killed; the vendor is away, asks for
less, answers wrongly, late or not at all. In the end the vendor has each entry once, in the order of its account.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from ledger.entries import entries, names
from ledger.landscape import Landscape, landscape

from integration_fabric.messages.envelope import Envelope
from integration_fabric.wiring.local_store import Store

SEED = int(os.environ.get("CHAOS_SEED", "7"))
EVENTS = int(os.environ.get("CHAOS_EVENTS", "6000"))
MINUTES = float(os.environ.get("CHAOS_MINUTES", "0"))
"""Seed after seed for so long, with 20,000 events each; 0 for one seed."""
LONG_EVENTS = 20_000
ACCOUNTS = 1_000
WORKERS = 3
SESSION_S = 6.0
"""After which the broker gives a silent member's partitions to others."""
RATE = 0.02
PORTIONS, PUBLISHED_EVERY_S = 200, 0.4


async def kill_one(found: Landscape) -> None:
    """`kill -9` of a worker, and another in its place."""
    await found.kill(found.dice.choice(sorted(found.workers)))
    found.hire(found.job())


async def freeze_one(found: Landscape) -> None:
    """A worker stands still for longer than its session lasts, and goes on as if nothing had been."""
    name = found.dice.choice(sorted(found.workers))
    process = found.workers[name]
    process.send_signal(signal.SIGSTOP)
    found.tell(f"stopped {name}")
    await asyncio.sleep(SESSION_S + found.dice.uniform(1, 4))
    process.send_signal(signal.SIGCONT)
    found.tell(f"{name} goes on")


async def hire_and_drain(found: Landscape) -> None:
    """Partitions move again and again."""
    for _ in range(2):
        job = found.job()
        found.hire(job)
        found.tell(f"hired {job.name}")
        await asyncio.sleep(found.dice.uniform(2, 4))
        await found.drain(found.dice.choice(sorted(found.workers)))


async def kill_broker(found: Landscape) -> None:
    """`kill -9` of the broker."""
    await found.kill_broker()


async def throttle(found: Landscape) -> None:
    """429 for everybody."""
    await found.faults(throttled=True)
    found.tell("the ledger asks for less")
    await asyncio.sleep(found.dice.uniform(3, 6))
    await found.faults(throttled=False)
    found.tell("the ledger takes everything")


async def be_away(found: Landscape) -> None:
    """The vendor answers nobody."""
    length_s = 60 if MINUTES else found.dice.uniform(8, 15)
    await found.faults(away=True)
    found.tell("the ledger is away")
    await asyncio.sleep(length_s)
    await found.faults(away=False)
    found.tell(f"the ledger is back after {length_s:.0f} s")


MISHAPS: tuple[Callable[[Landscape], Awaitable[None]], ...] = (kill_one, freeze_one, hire_and_drain, kill_broker, throttle, be_away)


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(max(1_200, 60 * MINUTES + 1_800))
async def test_entries_survive_everything_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    began_s, seed = time.monotonic(), SEED
    while True:
        folder = tmp_path_factory.mktemp(f"seed-{seed}")
        await survive(folder, seed, LONG_EVENTS if MINUTES else EVENTS)
        seed += 1
        if time.monotonic() - began_s >= 60 * MINUTES:
            return


async def survive(folder: Path, seed: int, events: int) -> None:
    """One run on everything new, with the mishaps in an order that the seed decides."""
    print(f"\nCHAOS_SEED={seed} CHAOS_EVENTS={events}")
    async with landscape(folder, seed, store=Store.POSTGRESQL) as found:
        try:
            await _survive(found, events)
        finally:
            print("\n".join(found.story))


async def _survive(found: Landscape, events: int) -> None:
    everything = list(entries(events, max(10, min(ACCOUNTS, events // 20))))
    await found.faults(error=RATE, effect_then_error=RATE, effect_then_hang=RATE, hang_then_effect=RATE)
    for _ in range(WORKERS):
        found.hire(found.job())
    publishing = asyncio.create_task(_publish(found, everything))
    try:
        while not publishing.done():
            for mishap in found.dice.sample(MISHAPS, len(MISHAPS)):
                await asyncio.sleep(found.dice.uniform(2, 5))
                await mishap(found)
                found.tell(f"{await found.known()} of {events} are through")
        await publishing
    finally:
        publishing.cancel()
    await found.faults(error=0, effect_then_error=0, effect_then_hang=0, hang_then_effect=0)
    await found.until_known(events, within_s=600)
    await found.demand_one_of_each(names(everything))
    for name in sorted(found.workers):
        await found.drain(name)


async def _publish(found: Landscape, everything: Sequence[Envelope]) -> None:
    """A few at a time, so that something is under way whatever happens, and each mishap comes at least once."""
    portion = max(1, len(everything) // PORTIONS)
    for start in range(0, len(everything), portion):
        await found.publish(everything[start : start + portion])
        await asyncio.sleep(PUBLISHED_EVERY_S)
