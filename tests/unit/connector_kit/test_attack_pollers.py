"""Attack of a defect: a poller that fails in a way that has no name must not take the worker's subscribers down with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.publisher import MemoryPublisher
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryCrossReferences, MemoryCursors, MemoryReceipts
from integration_fabric.connector_kit.polling import Page, Poller
from integration_fabric.connector_kit.reception import Reception
from integration_fabric.messages.ids import System
from integration_fabric.runtime.ports import Codec


class Broken:
    """A source with a bug."""

    def __init__(self) -> None:
        self.looks = 0
        self.looked_twice = asyncio.Event()

    async def read(self, cursor: str | None) -> Page:
        self.looks += 1
        if self.looks == 2:
            self.looked_twice.set()
        raise KeyError(cursor)


async def test_a_defect_in_a_source_is_polled_again(codec: Codec) -> None:
    clock, source, ending = FakeClock(), Broken(), asyncio.Event()
    publisher = MemoryPublisher(broker=MemoryBroker(clock), codec=codec)
    store = MemoryStore(clock)
    reception = Reception(System("s"), None, MemoryCrossReferences(store), MemoryReceipts(store), publisher, clock)
    poller = Poller(name="p", source=source, reception=reception, cursors=MemoryCursors(store), clock=clock)
    running = asyncio.create_task(poller.run(every=timedelta(milliseconds=1), ending=ending))
    async with asyncio.timeout(5):
        await source.looked_twice.wait()
        ending.set()
        await running
