"""A worker: runs subscribers, pollers and timers until it is told to end, and answers for its health."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from starlette.applications import Starlette

from integration_fabric.apps.serving import health_routes, listen, serving
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import FabricError, Unreachable, UsageProblem
from integration_fabric.messages.fabric import SubscriberAnnounced
from integration_fabric.messages.ids import deterministic_id
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.ending import ended
from integration_fabric.runtime.held_up import HeldUpWatch
from integration_fabric.runtime.lag import Lag, LoopState
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.stall import STALLED, StallWatch
from integration_fabric.runtime.steersman import Steersman
from integration_fabric.runtime.storm import StormWatch
from integration_fabric.runtime.subscriber import Running
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG
from integration_fabric.wiring.fabric import Fabric, open_fabric
from integration_fabric.wiring.settings import Settings

TIMER_EVERY = timedelta(seconds=1)
PRUNE_EVERY = timedelta(minutes=10)
"""It is for months, so it has time."""
STALL_LOOK_S = 10.0
ANSWER_WITHIN_S = 5.0
"""A consumer's thread obeys within a turn of 50 ms; one that does not is stuck."""
FIRST_RESTART_S = 0.5
LAST_RESTART_S = 15.0


@dataclass(slots=True)
class Hosted:
    """One subscriber in this worker: its loop is made anew whenever it fails."""

    running: Running
    watch: StormWatch
    """Over its dead letters, whichever loop they come from: starting a loop anew mends nothing."""
    stall: StallWatch = field(default_factory=StallWatch)
    loop: SubscriberLoop | None = None
    failures: int = 0
    last_error: str = ""

    @property
    def state(self) -> str:
        """What it is doing."""
        if self.stall.is_stalled:
            return STALLED
        return self.loop.state.value if self.loop else LoopState.STARTING.value

    def bases(self) -> Mapping[Fence, int]:
        """The committed base of each partition that it handles."""
        return self.loop.bases() if self.loop else {}


@dataclass(slots=True)
class Worker:
    """All that one process runs."""

    name: str
    fabric: Fabric
    parts: Sequence[str]
    started_at: datetime
    hosted: list[Hosted] = field(default_factory=list)
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    held_up: HeldUpWatch = field(default_factory=HeldUpWatch)

    async def run(self, address: str) -> None:
        """Run until `ending`."""
        self.hosted = [Hosted(running, StormWatch(running.policy)) for running in self.fabric.subscribers(self.parts)]
        steersman = Steersman(
            orders=self.fabric.stores.orders,
            loops=lambda: [hosted.loop for hosted in self.hosted if hosted.loop is not None],
            redeliveries=self.fabric.stores.redeliveries,
        )
        async with asyncio.TaskGroup() as tasks:
            for hosted in self.hosted:
                tasks.create_task(self._host(hosted, steersman))
                pruner = self.fabric.pruner(hosted.running, hosted.bases)
                tasks.create_task(pruner.run(every=PRUNE_EVERY, ending=self.ending))
            for poller, settings in self.fabric.pollers(self.parts):
                tasks.create_task(poller.run(every=settings.poll_every, ending=self.ending))
            for timers in self.fabric.timers(self.parts):
                tasks.create_task(timers.run(every=TIMER_EVERY, ending=self.ending))
            tasks.create_task(self.fabric.governors.run(self.ending))
            tasks.create_task(steersman.run(self.ending))
            tasks.create_task(self._watch_stalls())
            tasks.create_task(self._announce(address))
            tasks.create_task(self._drain())

    async def _host(self, hosted: Hosted, steersman: Steersman) -> None:
        """Run a subscriber, again and again: what fails is started anew, ever more slowly. Nothing is begun before orders were read."""
        await steersman.ready()
        while not self.ending.is_set():
            hosted.loop = self.fabric.loop(hosted.running, worker=self.name, watch=hosted.watch)
            steersman.steer(hosted.loop)
            try:
                await hosted.loop.run()
                if self.ending.is_set():
                    return
            except Exception as error:
                if isinstance(error, UsageProblem) and not isinstance(error, Unreachable):  # a broker that is away comes back
                    raise
                hosted.failures += 1
                hosted.last_error = str(error) or type(error).__name__
                delay_s = min(FIRST_RESTART_S * 2 ** min(hosted.failures - 1, 10), LAST_RESTART_S)
                LOG.failed(hosted.running.name, error, delay_s=delay_s)
                await ended(self.ending, delay_s)

    async def _drain(self) -> None:
        await self.ending.wait()
        for hosted in self.hosted:
            if hosted.loop is not None:
                hosted.loop.drain()

    async def _announce(self, address: str) -> None:
        """Say where this worker answers; a broker that is away is no reason not to run."""
        now = self.fabric.clock.now()
        bodies = [
            SubscriberAnnounced(
                subscriber=hosted.running.name,
                worker=self.name,
                address=address,
                topics=tuple(kind.topic for kind in hosted.running.reads),
                started_at=now,
                aggregate_version=int(now.timestamp() * 1_000_000),
            )
            for hosted in self.hosted
        ]
        envelopes = [
            Envelope(
                body=body,
                id=deterministic_id("announced", body.subscriber, self.name, now.isoformat()),
                source=f"/workers/{self.name}",
                time=now,
                correlation_id=self.name,
            )
            for body in bodies
        ]
        try:
            await self.fabric.publisher.publish(envelopes)
        except FabricError as error:
            LOG.problem("announce_failed", worker=self.name, code=error.code, error=str(error))

    async def _watch_stalls(self) -> None:
        """A subscriber that has messages, of which none comes to an end, says so. Where the broker is away nothing is known."""
        while not await ended(self.ending, STALL_LOOK_S):
            ends = await self._ends()
            lags = await self._lags(ends)
            await self._look_at_hanging(ends or {})
            for hosted in self.hosted:
                self._look_at(hosted, lags.get(hosted.running.name))
                if hosted.loop is not None and ends:
                    await self._look_at_feeding(hosted.loop, ends)

    async def _look_at_hanging(self, readable: Mapping[TopicPartition, int]) -> None:
        """What hangs in the broker holds up readers who see no lag: nobody else would say so."""
        written = await self._ends(committed=False) if readable else {}
        hanging = self.held_up.look(self.fabric.clock.monotonic_s(), readable=readable, written=written or {})
        metrics.HELD_UP.set(len(self.held_up.hanging))
        for partition in hanging:
            LOG.held_up(topic=partition.topic, partition=partition.partition, offset=readable[partition])

    @staticmethod
    async def _look_at_feeding(loop: SubscriberLoop, ends: Mapping[TopicPartition, int]) -> None:
        with suppress(FabricError, TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await loop.look_at_feeding(ends)

    def _look_at(self, hosted: Hosted, lag: Lag | None) -> None:
        loop = hosted.loop
        if loop is None:
            return
        has_work = lag is not None and loop.has_work(lag)
        if hosted.stall.look(self.fabric.clock.monotonic_s(), has_work=has_work, retired=loop.retired):
            found = lag or Lag(loop.state, 0, 0, settling=False)
            LOG.stalled(loop.name, is_stalled=hosted.stall.is_stalled, behind=found.behind, open_count=found.open)

    async def status(self) -> dict[str, object]:
        """As `health`, with how far each subscriber is behind; None where that cannot be asked now."""
        found = self.health()
        lags = await self._lags(await self._ends())
        for item in cast("list[dict[str, object]]", found["subscribers"]):
            lag = lags.get(str(item["name"]))
            item["lag_messages"] = lag.behind + lag.open if lag else None
        return found

    async def _ends(self, *, committed: bool = True) -> Mapping[TopicPartition, int] | None:
        """Of the partitions of all topics that are read here; None where the broker cannot be asked now."""
        topics = {topic for hosted in self.hosted if hosted.loop is not None for topic in hosted.loop.topics}
        with suppress(FabricError):
            return await asyncio.to_thread(self.fabric.reader.ends, sorted(topics), committed=committed)
        return None

    async def _lags(self, ends: Mapping[TopicPartition, int] | None) -> dict[str, Lag]:
        """Of each subscriber that can be asked now."""
        found: dict[str, Lag] = {}
        if ends is None:
            return found
        for loop in [hosted.loop for hosted in self.hosted if hosted.loop is not None]:
            with suppress(FabricError):  # it is being started anew
                found[loop.name] = await self._lag_of(loop, ends)
        return found

    @staticmethod
    async def _lag_of(loop: SubscriberLoop, ends: Mapping[TopicPartition, int]) -> Lag:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await loop.lag(ends)
        except TimeoutError:  # how far it is nobody knows, but there it stands
            return Lag(loop.state, 0, 0, settling=True)

    def health(self) -> dict[str, object]:
        """What `fabric status` shows of it. A subscriber that stands still is healthy, and says so; one that stalls is not."""
        subscribers = [
            {
                "name": hosted.running.name,
                "state": hosted.state,
                "partitions": len(hosted.loop.partitions()) if hosted.loop else 0,
                "busy": hosted.loop.busy if hosted.loop else True,
                "failures": hosted.failures,
                "last_error": hosted.last_error,
                "stopped_at": _stopped_at(hosted),
                "storm": str(hosted.watch.storm) if hosted.watch.storm else None,
            }
            for hosted in self.hosted
        ]
        return {
            "name": self.name,
            "parts": list(self.parts),
            "started_at": self.started_at.isoformat(),
            "draining": self.ending.is_set(),
            "systems": [
                {"name": name, "flow": governor.state.flow.value, "running": governor.running, "most": governor.most}
                for name, governor in self.fabric.governors.by_system.items()
            ],
            "ready": not any(item["state"] in {LoopState.STARTING.value, STALLED} for item in subscribers),
            "subscribers": subscribers,
        }


def _stopped_at(hosted: Hosted) -> dict[str, object] | None:
    stop = hosted.loop.stop if hosted.loop else None
    if stop is None:
        return None
    key = stop.key.decode("utf-8", "replace")
    return {"topic": stop.partition.topic, "partition": stop.partition.partition, "offset": stop.offset, "key": key, "code": stop.code}


def end_on_signals(ending: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT asks to end; the second ends at once."""
    loop = asyncio.get_running_loop()

    def ask(number: int) -> None:
        if ending.is_set():
            LOG.problem("ended_at_once", signal=signal.Signals(number).name)
            os._exit(128 + number)
        LOG.event("ending", signal=signal.Signals(number).name)
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)


async def run_worker(settings: Settings, parts: Sequence[str], *, name: str, ready: Callable[[str], None]) -> None:
    """Run parts of the landscape in this process until a signal ends it.

    Args:
        settings: All of them.
        parts: What to run.
        name: Of this process, for people and the activity log.
        ready: Told the address of its health endpoints.

    Raises:
        UsageProblem: it cannot begin.
    """
    bound = listen(settings.worker, "worker")
    async with open_fabric(settings, parts=parts) as fabric:
        worker = Worker(name=name, fabric=fabric, parts=parts, started_at=fabric.clock.now())
        end_on_signals(worker.ending)
        async with serving(Starlette(routes=health_routes(worker.health, worker.status)), bound) as address:
            ready(address)
            LOG.event("worker_started", worker=name, parts=list(parts), address=address)
            try:
                await worker.run(address)
            except BaseExceptionGroup as group:
                raise _first_usage_problem(group) from group
            LOG.event("worker_ended", worker=name)


def _first_usage_problem(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found = group.subgroup(UsageProblem)
    error: BaseException = found if found is not None else group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
