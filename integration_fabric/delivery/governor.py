"""What stands before one system: how many calls run at once, how many are made a second, and whether any at all (guarantee G4).

Each worker has one for each system that it calls; what it learns is shared through `SystemStates`, so that all of them stop and go on
together. It waits only for what is short. Where a system is away it raises instead, so that the wait is the lane's and counts against no
message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from integration_fabric.delivery.deadline import counting
from integration_fabric.delivery.maintenance import Window, left_of
from integration_fabric.delivery.ports import Flow, SystemState, SystemStates
from integration_fabric.messages.errors import BadCredential, Throttled, Transient, Unavailable, UnknownOutcome
from integration_fabric.runtime.ending import ended
from integration_fabric.runtime.failures import code_of
from integration_fabric.runtime.ports import Clock
from integration_fabric.runtime.subscriber import Pause
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG

LOOK_S = 0.5
"""How often the shared states are read."""
BREAK_AFTER = 5
"""Calls in a row that were not answered: then the system counts as away."""
REFUSE_AFTER = 3
"""Calls in a row that were refused for our credential."""
FIRST_PROBE = timedelta(seconds=1)
LAST_PROBE = timedelta(seconds=30)
"""Between calls that ask whether a system is back: twice as long each time, up to this."""
THROTTLE = timedelta(seconds=1)
"""Where a system asks for less and does not say for how long."""
SHORT = timedelta(seconds=1)
"""What is waited for in the call itself; longer waits are the lane's."""
_NOT_ANSWERED = (Unavailable, UnknownOutcome, Transient, TimeoutError)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a system is given at the most."""

    concurrency: int | None = None
    """Calls at once, of one worker; as many as its subscribers make where it is None."""
    per_s: float | None = None
    """Calls a second, of all workers together."""
    maintenance: Sequence[Window] = ()
    """When it is not called."""


class Gate(Protocol):
    """As actions and pollers see it."""

    answered: int
    """How many calls the system has answered in this worker."""

    def turn(self, pause: Pause, *, spare: bool = False) -> AbstractAsyncContextManager[None]:
        """Inside, one action may make its calls.

        Args:
            pause: Waits in its lane.
            spare: Whether it takes only what nobody else asks for: redeliveries, so that live traffic never waits for them.

        Raises:
            Unavailable: none may be made now; nothing was sent.
            Throttled: as above.
        """
        ...

    async def note(self, error: BaseException | None) -> None:
        """Learn from a call how the system is; None where it answered."""
        ...


@dataclass(slots=True)
class _Learnt:
    """Of one turn."""

    anything: bool = False


_LEARNT: ContextVar[_Learnt | None] = ContextVar("learnt", default=None)


class NoGate(Gate):
    """No gate: for systems that need none, and unit tests."""

    @asynccontextmanager
    async def turn(self, pause: Pause, *, spare: bool = False) -> AsyncIterator[None]:  # noqa: ARG002  the port says it
        """At once."""
        yield

    def __init__(self) -> None:
        self.answered = 0

    async def note(self, error: BaseException | None) -> None:
        """Counts answers."""
        self.answered += error is None


class Governor(Gate):
    """One system's, in one worker."""

    def __init__(self, *, system: str, limits: Limits, states: SystemStates, clock: Clock) -> None:
        """Join what it needs."""
        self.system, self.limits = system, limits
        self._states, self._clock = states, clock
        self._state, self._read_s = SystemState(), clock.monotonic_s()
        self._failed = self._refused = 0
        self._running = 0
        self._most: float = limits.concurrency or float("inf")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._waiting_spare: deque[asyncio.Future[None]] = deque()
        self._halved_s = float("-inf")
        self._answered = 0
        self.answered = 0
        """Calls, in this worker."""
        self._calls, self._from_s = 0, 0.0
        self._reserving: asyncio.Lock = asyncio.Lock()

    # -- what is known

    def learn(self, state: SystemState) -> None:
        """What the shared state says now."""
        if state.flow is Flow.THROTTLED and state.remaining <= timedelta():
            state = SystemState()
        if state.flow is not self._state.flow:
            LOG.system(self.system, flow=state.flow.value, why=state.why)
        if state.flow is Flow.FLOWING and self._state.flow in {Flow.AWAY, Flow.REFUSING}:
            self._failed = self._refused = 0
        self._state, self._read_s = state, self._clock.monotonic_s()
        for flow in Flow:
            metrics.SYSTEM_FLOW.labels(self.system, flow.value).set(flow is state.flow)

    @property
    def state(self) -> SystemState:
        """As it was last read."""
        return self._state

    @property
    def running(self) -> int:
        """Actions that make calls now."""
        return self._running

    @property
    def most(self) -> int | None:
        """How many may do so at once now; None without a bound."""
        return None if self._most == float("inf") else int(self._most)

    def closed_for(self) -> timedelta:
        """How long no call is made yet; not above zero where one may be, be it to ask whether the system is back."""
        maintenance = left_of(self.limits.maintenance, self._clock.now())
        if self._state.flow is Flow.FLOWING:
            return maintenance
        spent = timedelta(seconds=self._clock.monotonic_s() - self._read_s)
        return max(maintenance, self._state.remaining - spent)

    # -- going through

    @asynccontextmanager
    async def turn(self, pause: Pause, *, spare: bool = False) -> AsyncIterator[None]:
        """Inside, one action may make its calls."""
        is_probe = await self._admit()
        learnt = _Learnt()
        token = _LEARNT.set(learnt)
        try:
            await self._place(pause, self._waiting_spare if spare else self._waiting)
            try:
                await self._rate(pause, spare=spare)
                with counting() as calls:
                    yield
                self._calls -= max(0, calls.count - 1)  # paid for by whoever comes next
            finally:
                self._leave()
        finally:
            _LEARNT.reset(token)
            if is_probe and not learnt.anything:
                await self._return_probe()

    async def _return_probe(self) -> None:
        """Nothing was asked.

        Where every lane waits for an unknown outcome, each turn that only looks into the effect log would use up a probe, and the system
        would count as away for ever.
        """
        with suppress(Unavailable):
            await self._states.return_probe(self.system)

    async def _admit(self) -> bool:
        """Returns whether this turn is to find out if the system is back. Raises Unavailable."""
        closed = self.closed_for()
        if closed > timedelta():
            raise Unavailable(f"{self.system} is not called: {self._reason()}", retry_after=min(closed, timedelta(seconds=LOOK_S * 4)))
        if self._state.flow not in {Flow.AWAY, Flow.REFUSING}:
            return False
        if not await self._states.claim_probe(self.system, _pace(self._state.failures)):
            raise Unavailable(f"{self.system} is not called: {self._reason()}", retry_after=timedelta(seconds=LOOK_S))
        return True

    def _reason(self) -> str:
        if left_of(self.limits.maintenance, self._clock.now()) > timedelta():
            return "its maintenance window is open"
        return f"it is {self._state.flow.value} ({self._state.why})" if self._state.why else f"it is {self._state.flow.value}"

    async def _place(self, pause: Pause, queue: deque[asyncio.Future[None]]) -> None:
        if self._running < self._most and not self._waiting and not (queue is self._waiting_spare and queue):
            self._running += 1
            return
        queue.append(mine := asyncio.get_running_loop().create_future())
        try:
            while not mine.done():
                looking = asyncio.ensure_future(pause(LOOK_S))  # raises where the partition is handed over
                await asyncio.wait((mine, looking), return_when=asyncio.FIRST_COMPLETED)
                if not looking.done():
                    looking.cancel()
                    with suppress(asyncio.CancelledError):
                        await looking
                elif not mine.done():
                    looking.result()
        except BaseException:
            if mine.done() and not mine.cancelled():
                self._leave()
            mine.cancel()
            raise

    def _leave(self) -> None:
        """Give the place to whoever waits for it, as far as there may be so many; what is live goes first."""
        self._running -= 1
        while (queue := self._waiting or self._waiting_spare) and self._running < self._most:
            future = queue.popleft()
            if not future.done():
                self._running += 1
                future.set_result(None)

    async def _rate(self, pause: Pause, *, spare: bool) -> None:
        """Take one call of the rate that all workers share; taken from the store for a tenth of a second at a time.

        What is spare is taken singly, and only while nobody has taken any in advance.
        """
        per_s = self.limits.per_s
        if per_s is None:
            return
        if spare:
            if (taken := await self._states.reserve(self.system, 1, per_s=per_s, spare=True)) > timedelta():
                raise Throttled(f"{self.system}: live traffic needs all of its {per_s:g} calls a second", retry_after=taken)
            return
        async with self._reserving:
            if self._calls <= 0:
                count = max(1, int(per_s / 10))
                wait = await self._states.reserve(self.system, count - self._calls, per_s=per_s)
                self._calls, self._from_s = count, self._clock.monotonic_s() + wait.total_seconds()
            self._calls -= 1
            left_s = self._from_s - self._clock.monotonic_s()
        if left_s > SHORT.total_seconds():
            self._calls += 1
            raise Throttled(f"{self.system} is given {per_s:g} calls a second at the most", retry_after=timedelta(seconds=left_s))
        if left_s > 0:
            await pause(left_s)

    # -- learning

    async def note(self, error: BaseException | None) -> None:
        """Learn from a call how the system is."""
        if (learnt := _LEARNT.get()) is not None:
            learnt.anything = True
        metrics.SYSTEM_CALLS.labels(self.system, "answered" if error is None else code_of(error)).inc()
        if isinstance(error, Throttled):
            self._slow_down()
            await self._tell(Flow.THROTTLED, error.retry_after or THROTTLE, str(error))
        elif isinstance(error, BadCredential):
            self._refused += 1
            if self._refused >= REFUSE_AFTER or self._state.flow is Flow.REFUSING:
                await self._break(Flow.REFUSING, str(error))
        elif isinstance(error, _NOT_ANSWERED):
            self._failed += 1
            if self._failed >= BREAK_AFTER or self._state.flow is Flow.AWAY:
                await self._break(Flow.AWAY, str(error) or type(error).__name__)
        else:  # whatever it said, it answered
            await self._answer()

    async def _answer(self) -> None:
        self.answered += 1
        self._failed = self._refused = 0
        if self._most != float("inf"):
            self._answered += 1
            if self._answered >= self._most and self._most < (self.limits.concurrency or float("inf")):
                self._answered, self._most = 0, self._most + 1
        if self._state.flow in {Flow.AWAY, Flow.REFUSING}:
            with suppress(Unavailable):  # another probe will say so
                await self._states.flows(self.system)
                self.learn(SystemState())

    def _slow_down(self) -> None:
        """Half as many at once, once a second at the most: calls that were under way together are refused together."""
        if self._clock.monotonic_s() - self._halved_s >= 1:
            self._halved_s, self._answered = self._clock.monotonic_s(), 0
            self._most = max(1, min(self._most, self._running) // 2)

    async def _break(self, flow: Flow, why: str) -> None:
        failures = self._state.failures + 1 if self._state.flow is flow else 0
        await self._tell(flow, _pace(failures), why, failures=failures)

    async def _tell(self, flow: Flow, within: timedelta, why: str, *, failures: int = 0) -> None:
        """Tell everybody, ourselves at once: a store that is away must not let more calls through."""
        if self._state.flow is not Flow.PAUSED:
            self.learn(SystemState(flow, within, why[:200], failures=failures))
        with suppress(Unavailable):
            await self._states.turn_away(self.system, flow, within, why=why[:200], failures=failures)


def _pace(failures: int) -> timedelta:
    """Until the next call may ask whether a system is back that was asked in vain so often."""
    return min(FIRST_PROBE * (1 << min(failures, 10)), LAST_PROBE)


class Governors:
    """All of one worker's."""

    def __init__(self, limits: Mapping[str, Limits], *, states: SystemStates, clock: Clock) -> None:
        """One for each system."""
        self._states = states
        self.by_system = {name: Governor(system=name, limits=each, states=states, clock=clock) for name, each in limits.items()}

    async def look(self) -> None:
        """Read how all systems stand. Raises Unavailable."""
        found = await self._states.read()
        for name, governor in self.by_system.items():
            governor.learn(found.get(name, SystemState()))

    async def run(self, ending: asyncio.Event) -> None:
        """Look again and again until `ending`; while the store is away, what was known last holds."""
        while not ending.is_set():
            with suppress(Unavailable):
                await self.look()
            await ended(ending, LOOK_S)
