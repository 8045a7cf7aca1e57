"""An event loop that never waits: where nothing is ready, its time jumps to the next timer. What it runs happens always the same way."""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import Any

from integration_fabric.runtime.ports import Clock

BEGIN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Has no threads and no sockets; a timeout of an hour takes no longer than one of a millisecond."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now_s


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "nothing is left that could happen"
        self._loop.now_s += max(0.0, timeout)
        return []


class LoopClock(Clock):
    """The loop's time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self._loop.now_s)

    def monotonic_s(self) -> float:
        return self._loop.now_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
