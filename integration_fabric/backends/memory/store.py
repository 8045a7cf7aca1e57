"""What is kept in memory instead of in SQL. Each piece of work happens wholly or not at all, and a test can take the store away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from integration_fabric.messages.errors import Fenced, Unavailable
from integration_fabric.runtime.ports import Clock, Fence, Lease

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

LeaseKey = tuple[str, str, int]
"""Subscriber, topic id, partition."""


class MemoryStore:
    """One store, shared by the `Memory…` ports that are made on it. Its clock is the database's clock."""

    def __init__(self, clock: Clock, *, store_id: str = "memory") -> None:
        self.clock: Final = clock
        self.store_id: Final = store_id
        self.leases: Final[dict[LeaseKey, Lease]] = {}
        self.serials: Final[dict[LeaseKey, int]] = {}
        """The highest of each partition that is known: what a process remembers, not what the store holds."""
        self.is_down = False
        self.latency_s = 0.0
        """How long after the work its answer comes, by the clock: the worst that a slow store can do."""
        self._failing = 0
        self._losing = 0
        self._undo: list[Callable[[], None]] = []

    # -- what a test does to it

    def fail_next(self, times: int = 1) -> None:
        """So many pieces of work fail, and nothing of them happens."""
        self._failing += times

    def lose_answer_next(self, times: int = 1) -> None:
        """So many pieces of work are done, and the answer is lost."""
        self._losing += times

    # -- what the ports call

    async def run(self, work: Callable[[], T]) -> T:
        """Do one piece of work.

        Raises:
            Unavailable: nothing of it happened, unless a test has had the answer lost.
        """
        await asyncio.sleep(0)
        if self.is_down:
            raise Unavailable("store: it is down")
        if self._failing:
            self._failing -= 1
            raise Unavailable("store: told to fail")
        result = self._do(work)
        if self.latency_s > 0:
            await self.clock.sleep(self.latency_s)
        if self._losing:
            self._losing -= 1
            raise Unavailable("store: told to lose the answer")
        return result

    def _do(self, work: Callable[[], T]) -> T:
        self._undo.clear()
        try:
            return work()
        except BaseException:
            for step in reversed(self._undo):
                step()
            raise

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Write a row; taken back where the piece of work fails."""
        self._remember(table, key)
        table[key] = value

    def drop(self, table: dict[K, V], key: K) -> None:
        """Delete a row if it is there; taken back where the piece of work fails."""
        if key in table:
            self._remember(table, key)
            del table[key]

    def _remember(self, table: dict[K, V], key: K) -> None:
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.__delitem__(key))

    def hold_fence(self, fence: Fence) -> None:
        """Begin a piece of work for a partition. Raises Fenced where it is another's, or where the store is an older copy."""
        key = (fence.subscriber, fence.topic_id, fence.partition)
        lease = self.leases.get(key)
        if lease is None or lease.epoch != fence.epoch or lease.serial < self.serials.get(key, 0):
            raise Fenced(f"{fence.subscriber}, partition {fence.partition} of topic {fence.topic_id}: epoch {fence.epoch} is over")
        self.put(self.leases, key, replace(lease, serial=lease.serial + 1))
        self.put(self.serials, key, lease.serial + 1)
