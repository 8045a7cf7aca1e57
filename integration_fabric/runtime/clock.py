"""The one place that asks what time it is. Everything else is given a clock, so that a test can turn it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from integration_fabric.runtime.ports import Clock


class SystemClock(Clock):
    """The machine's clocks."""

    def now(self) -> datetime:
        """Wall-clock time, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251  this is the one place

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
