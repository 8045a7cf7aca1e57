"""Pollers: ask a system what is new, publish it, then move the cursor. A cursor never passes what was not published."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from integration_fabric.connector_kit.intake import Incoming
from integration_fabric.connector_kit.ports import Cursors
from integration_fabric.connector_kit.reception import Reception
from integration_fabric.delivery.governor import Gate, NoGate
from integration_fabric.messages.errors import FabricError, MissingParent, Throttled, Unavailable
from integration_fabric.runtime.ending import ended
from integration_fabric.runtime.failures import code_of
from integration_fabric.runtime.ports import Clock
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG

PARENT_WAIT = timedelta(minutes=10)
"""How long a payload waits for what it names to be linked: a subscription is, once its worker has written down that it was made, mostly
before its first invoice is told of, and after a crash as soon as the worker is back. Then it is quarantined, and the cursor goes on."""


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


@dataclass(slots=True)
class _Deferred:
    """A payload that names something which is not linked yet."""

    since_s: float


class Poller:
    """One poller of one system. Several workers may run it: what they publish twice has the same ids.

    A payload that waits for something to be linked holds the cursor, but nobody else: what comes after it is taken meanwhile.
    """

    def __init__(
        self, *, name: str, source: Source, reception: Reception, cursors: Cursors, clock: Clock, gate: Gate | None = None
    ) -> None:
        """Join what it needs; `name` names its cursor."""
        self.name, self._source, self._reception = name, source, reception
        self._cursors, self._clock, self._gate = cursors, clock, gate or NoGate()
        self._seen: set[str] = set()
        self._taken: set[bytes] = set()
        """Payloads behind the first that is deferred: they are read again, and need not be taken again."""
        self._deferred: dict[bytes, _Deferred] = {}

    async def poll(self) -> int:
        """Look once, as far as there is more. Returns how many events and payloads were taken in. Raises FabricError."""
        saved = await self._cursors.load(self.name)
        place = saved
        held = False
        taken = 0
        while True:
            page = await self._read(place)
            taken += await self._take_events(page.events)
            reached, count, held = await self._take_payloads(page, held=held)
            taken += count
            if reached is not None and reached != saved:
                await self._cursors.save(self.name, reached)
                saved = reached
            place = page.cursor
            if not page.more:
                break
        if not held:
            self._taken.clear()
        metrics.POLLED.labels(self.name).inc(taken)
        metrics.DEFERRED.labels(self.name).set(len(self._deferred))
        return taken

    async def _read(self, place: str | None) -> Page:
        """One look, through the same gate as the actions."""
        async with self._gate.turn(self._pause):
            try:
                page = await self._source.read(place)
            except FabricError as error:
                await self._gate.note(error)
                raise
            await self._gate.note(None)
            return page

    async def _pause(self, seconds: float, *, aside: bool = False) -> None:  # noqa: ARG002  a poller has no place
        await self._clock.sleep(seconds)

    async def _take_events(self, events: Sequence[Incoming]) -> int:
        fresh = [event for event in events if event.native_event_id not in self._seen]
        if fresh:
            await self._reception.take_events(fresh)
        # what the next page overlaps with; an id that is forgotten here is published again, and is a duplicate
        self._seen = {event.native_event_id for event in events}
        return len(fresh)

    async def _take_payloads(self, page: Page, *, held: bool) -> tuple[str | None, int, bool]:
        """Take what can be taken.

        Returns:
            How far the cursor may go (None: not beyond where it is), how many were taken, whether something holds the cursor.
        """
        reached: str | None = None
        taken = 0
        for found in page.payloads:
            is_new = found.payload not in self._taken
            if is_new and not await self._take(found.payload):
                held = True
                continue
            taken += is_new
            if held:
                self._taken.add(found.payload)
            else:
                reached = found.cursor
        return reached if held else page.cursor, taken, held

    async def _take(self, payload: bytes) -> bool:
        """Take one payload; False where it is to wait."""
        now_s = self._clock.monotonic_s()
        waiting = self._deferred.get(payload)
        patient = waiting is None or now_s - waiting.since_s < PARENT_WAIT.total_seconds()
        try:
            await self._reception.take(payload, patient=patient)
        except MissingParent as error:
            if waiting is None:
                LOG.event("payload_deferred", poller=self.name, why=str(error))
                self._deferred[payload] = _Deferred(now_s)
            return False
        self._deferred.pop(payload, None)
        return True

    async def run(self, *, every: timedelta, ending: asyncio.Event) -> None:
        """Poll until `ending`; a system that is away is asked again, at growing intervals of at most ten times `every`."""
        failures = 0
        while not ending.is_set():
            asked_for = timedelta()
            try:
                taken = await self.poll()
                failures = 0
                if taken:
                    LOG.event("polled", poller=self.name, taken=taken)
            except Exception as error:  # noqa: BLE001  a poller's defect must not end the worker, and with it every subscriber
                failures += 1
                asked_for = (isinstance(error, (Throttled, Unavailable)) and error.retry_after) or asked_for
                metrics.POLL_FAILURES.labels(self.name, code_of(error)).inc()
                if failures in {1, 10} or failures % 100 == 0:
                    LOG.problem("poll_failed", poller=self.name, failures=failures, code=code_of(error), error=str(error))
            wait = max(every * min(2**failures if failures else 1, 10), asked_for)
            await ended(ending, wait.total_seconds())
