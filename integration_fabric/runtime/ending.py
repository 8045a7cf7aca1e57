"""What runs beside subscribers (pollers, timers, looks at the store) waits between two rounds, and ends with its worker."""

from __future__ import annotations

import asyncio


async def ended(ending: asyncio.Event, within_s: float) -> bool:
    """Wait so long, or until the end. Returns whether that has come."""
    try:
        await asyncio.wait_for(ending.wait(), within_s)
    except TimeoutError:
        return False
    return True
