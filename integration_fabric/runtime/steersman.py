"""Reads what people have ordered and asked for, again and again, and has subscriber loops follow it; a worker has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from integration_fabric.messages.errors import FabricError
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.ending import ended
from integration_fabric.runtime.ports import Orders, Redeliveries
from integration_fabric.runtime.redelivery import Redelivery
from integration_fabric.runtime.steering import Order, Steering

LOOK_S = 0.5
"""An order takes effect within a second."""


class Steersman:
    """Follows the orders of one store."""

    def __init__(self, *, orders: Orders, redeliveries: Redeliveries, loops: Callable[[], Iterable[SubscriberLoop]]) -> None:
        """Join what it needs; `loops` gives those that run at that moment."""
        self._orders, self._loops, self._redeliveries = orders, loops, redeliveries
        self._standing: Sequence[Order] = ()
        self._wanted: Sequence[Redelivery] = ()
        self._known = asyncio.Event()

    async def ready(self) -> None:
        """Wait until orders were read for the first time: before that no loop is to be started."""
        await self._known.wait()

    def steer(self, loop: SubscriberLoop) -> None:
        """Have one loop do what was ordered; before it is started, and whenever orders were read."""
        loop.steer(Steering.of(loop.name, self._standing))
        loop.redeliver(self._wanted)

    async def look(self) -> None:
        """Read the orders, and steer. Raises Unavailable."""
        self._standing = await self._orders.read()
        self._wanted = await self._redeliveries.open()
        self._known.set()
        for loop in self._loops():
            self.steer(loop)

    async def run(self, ending: asyncio.Event) -> None:
        """Look until `ending`; while the store is away, the orders that were read last hold."""
        while not ending.is_set():
            with suppress(FabricError):
                await self.look()
            await ended(ending, LOOK_S)
        self._known.set()
