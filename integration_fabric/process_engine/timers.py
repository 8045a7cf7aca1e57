"""Timers enter a process as messages: a poller publishes those that are due; only the engine's transaction decides what they mean."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.fabric import ProcessAction, ProcessActionKind
from integration_fabric.messages.ids import deterministic_id
from integration_fabric.process_engine.ports import DueTimer, Instances
from integration_fabric.runtime.ending import ended
from integration_fabric.runtime.failures import code_of
from integration_fabric.runtime.ports import Clock, Publisher
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG

PAGE = 500
"""Timers published at once: after an outage there may be many."""


class TimerPoller:
    """Publishes the due timers of one process. Several may run: a timer's message has the same id from each."""

    def __init__(self, *, process: str, instances: Instances, publisher: Publisher, clock: Clock) -> None:
        self._process, self._instances, self._publisher, self._clock = process, instances, publisher, clock

    async def poll(self) -> int:
        """Publish what is due, then take it off. Returns how many. Raises FabricError."""
        due = await self._instances.due(self._process, self._clock.now(), PAGE)
        if due:
            await self._publisher.publish([self._envelope(timer) for timer in due])
            for timer in due:
                await self._instances.disarm(timer)
            metrics.TIMERS.labels(self._process).inc(len(due))
        return len(due)

    async def run(self, *, every: timedelta, ending: asyncio.Event) -> None:
        """Poll until `ending`."""
        while not ending.is_set():
            try:
                await self.poll()
            except Exception as error:  # noqa: BLE001  a defect here must not end the worker, and with it every subscriber
                LOG.problem("timer_poll_failed", process=self._process, code=code_of(error), error=str(error))
            await ended(ending, every.total_seconds())

    def _envelope(self, timer: DueTimer) -> Envelope:
        now = self._clock.now()
        body = ProcessAction(
            instance_id=timer.instance_id,
            process=self._process,
            action=ProcessActionKind.TIMER,
            step=timer.timer.step,
            arm=timer.timer.arm,
            due_at=timer.timer.due_at,
            requested_by="timer",
            aggregate_version=int(now.timestamp() * 1_000_000),
        )
        due = timer.timer.due_at.isoformat()
        return Envelope(
            body=body,
            id=deterministic_id("timer", timer.instance_id, timer.timer.step, str(timer.timer.arm), due),
            source=f"/processes/{self._process}",
            time=now,
            correlation_id=timer.key,
        )
