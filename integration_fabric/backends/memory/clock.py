"""A clock that stands still until it is turned, so that a scenario with minutes of waiting runs in milliseconds and always the same way."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from integration_fabric.runtime.ports import Clock

BEGIN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
"""A Monday morning: where a clock begins unless told otherwise."""


class FakeClock(Clock):
    """Implements `runtime.ports.Clock`. Time moves only by `advance`, `advance_to_next` and inside `auto_advance`."""

    def __init__(self, begin: datetime = BEGIN) -> None:
        self._begin = begin
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        """Wall-clock time, aware UTC."""
        return self._begin + timedelta(seconds=self._elapsed_s)

    def monotonic_s(self) -> float:
        """Seconds since the beginning."""
        return self._elapsed_s

    async def pause(self, seconds: float, *, aside: bool = False) -> None:  # noqa: ARG002  the port says it
        """As `sleep`: a lane's `Pause`, where nobody takes its place."""
        await self.sleep(seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait until somebody has moved the time that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._numbers), woken))
        self._slept.set()
        await woken

    @property
    def sleepers(self) -> int:
        """How many wait."""
        return sum(1 for _, _, woken in self._sleepers if not woken.done())

    async def advance(self, seconds: float) -> None:
        """Move the time, sleeper by sleeper: each does what it does at its own moment, before the time moves on."""
        until_s = self._elapsed_s + seconds
        await settle()
        while (due_s := self._next_due_s()) is not None and due_s <= until_s:
            self._wake(due_s)
            await settle()
        self._elapsed_s = until_s

    def advance_to_next(self) -> bool:
        """Jump to the next sleeper's moment and wake those whose moment it is; False where nobody sleeps."""
        due_s = self._next_due_s()
        if due_s is None:
            return False
        self._wake(due_s)
        return True

    @asynccontextmanager
    async def auto_advance(self, *, grace_s: float = 0.0) -> AsyncIterator[None]:
        """While inside, jump to the next sleeper whenever the event loop has nothing else to do.

        Args:
            grace_s: How long to let threads and sockets, which the loop does not see, come up with something first, in real seconds.
        """
        jumping = asyncio.create_task(self._jump_when_idle(grace_s), name="auto-advance")
        try:
            yield
        finally:
            jumping.cancel()

    async def _jump_when_idle(self, grace_s: float) -> None:
        while True:
            await settle()
            if grace_s > 0:
                await asyncio.sleep(grace_s)
                await settle()
            if not self.advance_to_next():
                self._slept.clear()
                await self._slept.wait()

    def _next_due_s(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _wake(self, due_s: float) -> None:
        self._elapsed_s = max(self._elapsed_s, due_s)
        while (next_s := self._next_due_s()) is not None and next_s <= due_s:
            heapq.heappop(self._sleepers)[2].set_result(None)


async def settle() -> None:
    """Wait until nothing on the event loop is ready to run: everything waits for time, a thread, a socket or us.

    One task at a time may do so: two would wait for each other to come to rest.
    """
    ready: Any = getattr(asyncio.get_running_loop(), "_ready", None)  # asyncio has no public name for it
    if ready is None:
        raise RuntimeError("this event loop does not say when it is idle; use asyncio's own")
    await asyncio.sleep(0)
    while ready:  # noqa: ASYNC110  coming to rest is no event of anybody's
        await asyncio.sleep(0)
