"""Pollers: ask a system what is new, publish it, then move the cursor. A cursor never passes what was not published."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from integration_fabric.connector_kit.intake import Incoming, envelope_of
from integration_fabric.connector_kit.ports import Cursors
from integration_fabric.messages.ids import System
from integration_fabric.runtime.failures import code_of
from integration_fabric.runtime.ports import Clock, Publisher
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG


@dataclass(frozen=True, slots=True)
class Found:
    """One payload of a page."""

    payload: bytes
    cursor: str
    """Where the next look begins once this one is published, and nothing after it."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one look at a system found."""

    events: Sequence[Incoming]
    """May overlap with earlier pages: their ids are the same, so those who take them see duplicates."""
    cursor: str
    """Where the next look begins, once everything of this page is published."""
    more: bool = False
    """Whether to look again at once."""
    payloads: Sequence[Found] = ()
    """What the vendor tells as it would by webhook, the oldest first; intake makes events of it."""


class Source(Protocol):
    """What a poller looks at."""

    async def read(self, cursor: str | None) -> Page:
        """What is new since the cursor; from the beginning where it is None. Raises FabricError."""
        ...


class Poller:
    """One poller of one system. Several workers may run it: what they publish twice has the same ids."""

    def __init__(self, *, name: str, system: System, source: Source, cursors: Cursors, publisher: Publisher, clock: Clock) -> None:
        """Join what it needs; `name` names its cursor."""
        self.name, self._system, self._source = name, system, source
        self._cursors, self._publisher, self._clock = cursors, publisher, clock
        self._seen: set[str] = set()

    async def poll(self) -> int:
        """Look once, as far as there is more. Returns how many events were published. Raises FabricError."""
        published = 0
        while True:
            cursor = await self._cursors.load(self.name)
            page = await self._source.read(cursor)
            fresh = [event for event in page.events if event.native_event_id not in self._seen]
            if fresh:
                await self._publisher.publish([envelope_of(event, system=self._system, clock=self._clock) for event in fresh])
                metrics.POLLED.labels(self.name).inc(len(fresh))
                published += len(fresh)
            if page.cursor != cursor:
                await self._cursors.save(self.name, page.cursor)
            # what the next page overlaps with; an id that is forgotten here is published again, and is a duplicate
            self._seen = {event.native_event_id for event in page.events}
            if not page.more:
                return published

    async def run(self, *, every: timedelta, ending: asyncio.Event) -> None:
        """Poll until `ending`; a system that is away is asked again, at growing intervals of at most ten times `every`."""
        failures = 0
        while not ending.is_set():
            try:
                published = await self.poll()
                failures = 0
                if published:
                    LOG.event("polled", poller=self.name, published=published)
            except Exception as error:  # noqa: BLE001  a poller's defect must not end the worker, and with it every subscriber
                failures += 1
                if failures in {1, 10} or failures % 100 == 0:
                    LOG.problem("poll_failed", poller=self.name, failures=failures, code=code_of(error), error=str(error))
            wait = every * min(2**failures if failures else 1, 10)
            try:
                await asyncio.wait_for(ending.wait(), wait.total_seconds())
            except TimeoutError:
                continue
