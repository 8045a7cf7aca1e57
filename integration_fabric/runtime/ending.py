"""What runs beside subscribers (pollers, timers, looks at the store) waits between two rounds, and ends with its worker."""

from __future__ import annotations

import asyncio

from integration_fabric.runtime.ports import Clock


async def ended(ending: asyncio.Event, within_s: float) -> bool:
    """Wait so long, or until the end. Returns whether that has come."""
    try:
        await asyncio.wait_for(ending.wait(), within_s)
    except TimeoutError:
        return False
    return True


async def sleep_unless(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Wait so long by a clock, or until the event, whichever comes first."""
    sleeping, hearing = asyncio.ensure_future(clock.sleep(seconds)), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((sleeping, hearing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeping.cancel()
        hearing.cancel()
