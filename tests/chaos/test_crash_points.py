"""A worker is gone at a named point: killed, or stopped for longer than its session lasts and then told to go on; another goes on for it.

Whatever the point, the ledger has each entry once and in order, each was answered once, and every sum is even. All points share one broker
and one store; each has its own ledger, and so its own groups.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from ledger.cut_off import BrokerWire
from ledger.entries import ENTRIES, entries, names
from ledger.landscape import Landscape, landscape, until

from integration_fabric.messages.envelope import Envelope
from integration_fabric.wiring.local_store import Store

SEED = int(os.environ.get("CHAOS_SEED", "7"))
IS_LONG = bool(os.environ.get("CHAOS_MINUTES"))
long = pytest.mark.skipif(not IS_LONG, reason="takes minutes: `make soak MINUTES=n` runs it")
ACCOUNTS, EVENTS = 12, 180
AT_ONCE = int(os.environ.get("CHAOS_AT_ONCE", "4"))
"""Points that are tried at the same time: most of the time they wait for the broker to notice that somebody is gone."""
SESSION_S = 6.0
THROUGH_WITHIN_S = 90.0
COMES_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker is gone."""

    point: str
    count: int = 1
    follows: bool = False
    """Whether somebody has worked before it, so that it takes over what another has left."""


PLACES = (
    Place("epoch_committed", 2, follows=True),
    Place("lease_raised", 2, follows=True),
    Place("stops_voided", 3, follows=True),
    Place("intended", 20),
    Place("before", 1),
    Place("after", 1),
    Place("answered", 20),
    Place("settled", 20),
    Place("outputs_sent", 2),
    Place("offsets_sent", 5),
    Place("end_sent", 5),
    Place("committed", 2),
)
"""In the order in which one message comes to them. `before` and `after` the effect it is the vendor that strikes."""
CHOSEN = [place for place in PLACES if place.point in os.environ.get("CHAOS_POINTS", place.point).split(",")]


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", [Store.SQLITE, pytest.param(Store.POSTGRESQL, marks=long)])
async def test_whoever_is_killed_at_a_named_point_is_replaced(tmp_path: Path, store: Store) -> None:
    async with landscape(tmp_path, SEED, store=store) as found:
        await _everywhere(found, signal.SIGKILL)


@long
@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_zombie_that_stood_still_at_a_named_point_does_no_harm(tmp_path: Path) -> None:
    async with landscape(tmp_path, SEED, store=Store.POSTGRESQL) as found:
        await _everywhere(found, signal.SIGSTOP)


@long
@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_worker_that_is_cut_off_from_the_broker_does_no_harm(tmp_path: Path) -> None:
    """It still reaches the store and the vendor."""
    async with landscape(tmp_path, SEED, store=Store.POSTGRESQL) as found:
        wire = BrokerWire(found.bootstrap)
        given = list(entries(EVENTS, ACCOUNTS))
        await found.publish(given)
        await found.faults(latency_s=0.2)
        lonely = found.hire(found.job(bootstrap=await wire.open()))
        await found.until_known(EVENTS // 6, within_s=COMES_WITHIN_S)
        wire.cut()
        found.tell("cut off")
        found.hire(found.job())
        await found.until_known(EVENTS, within_s=THROUGH_WITHIN_S)
        wire.mend()
        found.tell("back")
        await found.demand_one_of_each(names(given))
        assert lonely.poll() is None
        for name in sorted(found.workers):
            await found.drain(name)
        await wire.close()


async def _everywhere(found: Landscape, number: int) -> None:
    given = list(entries(EVENTS, ACCOUNTS))
    await found.publish(given)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(place: Place) -> str:
        async with places:
            try:
                await _gone(found, place, number, given)
            except (AssertionError, TimeoutError) as error:
                return f"{place.point}: {error!r}"
            return ""

    try:
        problems = await asyncio.gather(*(one(place) for place in CHOSEN))
    finally:
        print("\n".join(found.story))
    assert [problem for problem in problems if problem] == []


async def _gone(found: Landscape, place: Place, number: int, given: list[Envelope]) -> None:
    ledger = place.point
    await found.faults(ledger, latency_s=0.02)
    if place.follows:
        first = found.job(ledger=ledger)
        found.hire(first)
        await found.until_known(EVENTS // 6, within_s=COMES_WITHIN_S, ledger=ledger)
        await found.kill(first.name)
    if place.point in {"before", "after"}:
        victims = {f"{found.dice.choice(ENTRIES).__name__}-3.2": (place.point, int(number))}
        await found.faults(ledger, victims=victims)
    job = found.job(ledger=ledger, point=place.point, count=place.count, signal=int(number))
    process = found.hire(job)
    await until(lambda: _is_gone(process), COMES_WITHIN_S, f"{job.name} comes to {place.point}")
    found.tell(f"{job.name} is gone at {place.point}")
    successor = found.job(ledger=ledger)
    found.hire(successor)
    if number == signal.SIGSTOP:
        await asyncio.sleep(SESSION_S + 2)
        process.send_signal(signal.SIGCONT)
        found.tell(f"{job.name} goes on after {place.point}")
    await found.until_known(EVENTS, within_s=THROUGH_WITHIN_S, ledger=ledger)
    await found.demand_one_of_each(names(given), ledger)
    if number == signal.SIGKILL:
        del found.workers[job.name]
    else:
        await found.drain(job.name)
    await found.drain(successor.name)


def _is_gone(process: subprocess.Popen[bytes]) -> bool:
    """Ended, or stopped (`T` in /proc)."""
    if process.poll() is not None:
        return True
    status = Path(f"/proc/{process.pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "T"
