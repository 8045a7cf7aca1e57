"""A fixed pool of coroutines that run lanes, rather than a task for each message. The subscriber loop has one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from integration_fabric.runtime.lanes import Lane, Lanes


class Workers:
    """The pool. While handlers wait for nothing, one worker does everything; where one waits, others take over, more and more of them."""

    def __init__(self, *, lanes: Lanes, begin: Callable[[], Lane | None], handle: Callable[[Lane], Awaitable[None]], burst: int) -> None:
        """Join what they do.

        Args:
            lanes: What they run.
            begin: Starts the next lane; None where there is none.
            handle: Runs what `begin` gave.
            burst: Messages that one worker handles before the event loop is let go.
        """
        self._lanes, self._begin, self._handle, self._burst = lanes, begin, handle, burst
        self._idle: deque[asyncio.Future[None]] = deque()
        self._letting_go = 0

    def start(self, count: int) -> list[asyncio.Task[None]]:
        """Begin. Each task runs until it is cancelled, or `handle` raises."""
        return [asyncio.create_task(self._work()) for _ in range(count)]

    def wake(self, count: int) -> None:
        """Wake up to so many, but no more than have something to do. One is enough: where it waits, it calls others."""
        count = min(count, self._lanes.ready)
        while count > 0 and self._idle:
            future = self._idle.popleft()
            if not future.done():
                future.set_result(None)
                count -= 1

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            loop.call_soon(self._relieve)  # its turn comes when this worker waits or lets go
            for _ in range(self._burst):
                lane = self._begin()
                if lane is None:
                    await self._rest(loop)
                    break
                await self._handle(lane)
            else:
                self._letting_go += 1
                await asyncio.sleep(0)
                self._letting_go -= 1

    def _relieve(self) -> None:
        """A worker has stopped. One that only lets go will go on by itself."""
        if not self._letting_go:
            self.wake(2)

    async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        future = loop.create_future()
        self._idle.append(future)
        await future
