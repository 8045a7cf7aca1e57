"""A fixed pool of coroutines that run lanes, rather than a task for each message. The subscriber loop has one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from integration_fabric.runtime.lanes import Lane, Lanes


class Workers:
    """The pool. While handlers wait for nothing, one worker does everything; where one waits, others take over, more and more of them.

    As many lanes run at once as there are places. A handler that only waits for time to pass steps aside: another lane has its place.
    """

    def __init__(
        self,
        *,
        lanes: Lanes,
        begin: Callable[[], Lane | None],
        handle: Callable[[Lane], Awaitable[None]],
        burst: int,
        failed: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        """Join what they do.

        Args:
            lanes: What they run.
            begin: Starts the next lane; None where there is none.
            handle: Runs what `begin` gave.
            burst: Messages that one worker handles before the event loop is let go.
            failed: Told what `handle` raised in a stand-in.
        """
        self._lanes, self._begin, self._handle, self._burst, self._failed = lanes, begin, handle, burst, failed
        self._idle: deque[asyncio.Future[None]] = deque()
        self._letting_go = 0
        self._places = self._busy = 0
        self._returning: deque[asyncio.Future[None]] = deque()
        self.stand_ins: list[asyncio.Task[None]] = []

    def start(self, places: int) -> list[asyncio.Task[None]]:
        """Begin. Each task runs until it is cancelled, or `handle` raises."""
        self._places = places
        return [asyncio.create_task(self._work()) for _ in range(places)]

    async def aside(self, wait: Awaitable[None]) -> None:
        """Wait without a place, then go on as soon as one is free; called in `handle`."""
        self._leave()
        if not self._idle:
            self.stand_ins.append(task := asyncio.create_task(self._work()))
            task.add_done_callback(self._ended)
        self.wake(1)
        try:
            await wait
        except BaseException:  # it makes no more calls, so it needs no free place
            self._busy += 1
            raise
        await self._come_back()

    def _leave(self) -> None:
        """Give the place to one who comes back, or leave it free."""
        while self._returning:
            future = self._returning.popleft()
            if not future.done():
                future.set_result(None)
                return
        self._busy -= 1

    async def _come_back(self) -> None:
        if self._busy < self._places:
            self._busy += 1
            return
        self._returning.append(future := asyncio.get_running_loop().create_future())
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # it had been given a place
                self._leave()
            self._busy += 1  # whoever handles it gives one back
            raise

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def wake(self, count: int) -> None:
        """Wake up to so many, but no more than have something to do and a place for it. One is enough: where it waits, it calls others."""
        count = min(count, self._lanes.ready, self._places - self._busy)
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
                lane = self._begin() if self._busy < self._places else None
                if lane is None:
                    await self._rest(loop)
                    break
                self._busy += 1
                try:
                    await self._handle(lane)
                finally:
                    self._leave()
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
