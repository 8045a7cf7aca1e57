"""Between one worker and everything outside it: each call takes its time both ways, and traps stand where a test puts them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")

LATENCIES_S = (0.0, 0.0, 0.001, 0.004, 0.03)


class Trap(StrEnum):
    """What happens to a worker as soon as it comes to a point."""

    CRASH = "it crashes there"
    HOLD = "what it has sent, or what it is answered, is held up"
    MOVE = "the same, and its partitions move to others without its knowledge"


SQL = (
    "claim",
    "look",
    "renew",
    "settle",
    "withdraw",
    "give_up",
    "read",
    "take",
    "stops",
    "stop",
    "stretch",
    "unconfirmed",
    "write",
    "advance",
)
KAFKA = ("committed", "go", "retake")
POINTS = (
    *(f"{call} {way}" for call in (*SQL, *KAFKA) for way in ("sent", "done")),
    "transaction sent",
    "transaction open",
    "transaction ended",
    "answer",
    "found",
)
"""Where a worker may be stopped: before and after each call, and inside a transaction."""


class Network:
    """One worker's. What is under way goes on when the worker is gone."""

    def __init__(self, dice: random.Random, sprung: Callable[[Trap], None]) -> None:
        self._dice, self._sprung = dice, sprung
        self._traps: dict[str, Trap] = {}
        self._open = asyncio.Event()
        self._open.set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.is_cut = False
        """Whether the worker is gone: it sends nothing any more, and hears nothing."""

    def set_trap(self, point: str, trap: Trap) -> None:
        """Once."""
        self._traps[point] = trap

    def release(self) -> None:
        """Let everything go on that is held up, and take all traps away."""
        self._traps.clear()
        self._open.set()

    async def hop(self, point: str) -> None:
        """Take some time, and go into a trap."""
        await asyncio.sleep(self._dice.choice(LATENCIES_S))
        trap = self._traps.pop(point, None)
        if trap is None:
            return
        self._sprung(trap)
        if trap is Trap.CRASH:
            await asyncio.Event().wait()
        self._open.clear()
        await self._open.wait()

    async def carry(self, call: str, work: Callable[[], T]) -> T:
        """Have something done outside, whatever becomes of the worker meanwhile."""
        if self.is_cut:
            await asyncio.Event().wait()
        task = asyncio.create_task(self._carry(call, work))
        self.tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it belongs to whoever asked, if anybody still waits

    async def carry_on(self, call: str, work: Callable[[], Awaitable[T]]) -> T:
        """As `carry`, for what takes its own time."""
        if self.is_cut:
            await asyncio.Event().wait()
        task = asyncio.create_task(self._carry_on(call, work))
        self.tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    async def _carry(self, call: str, work: Callable[[], T]) -> T:
        await self.hop(f"{call} sent")
        try:
            return work()
        finally:
            await self.hop(f"{call} done")

    async def _carry_on(self, call: str, work: Callable[[], Awaitable[T]]) -> T:
        await self.hop(f"{call} sent")
        try:
            return await work()
        finally:
            await self.hop(f"{call} done")


def name_of(work: Callable[[], Any]) -> str:
    """`claim` for what `MemoryEffects.claim` has done."""
    return work.__qualname__.split(".")[-3]
