"""One message through one subscriber: decode, handle, try again or give up. The subscriber loop calls it for the head of each lane."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import FailureClass, Fenced, Undecodable, UnknownOutcome
from integration_fabric.runtime.envelopes import Outputs, read_envelope
from integration_fabric.runtime.failures import Decision, GiveUp, RetryAfter, classify, decide
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Clock, Codec, Fence
from integration_fabric.runtime.records import Outgoing, Record
from integration_fabric.runtime.subscriber import DONE_BEFORE, Delivery, Handled, OnceMore, Pause, Running
from integration_fabric.telemetry.logs import LOG

E = TypeVar("E")


class Abandoned(Exception):
    """The partition is handed over while the message waited: it stays undone here, and its next owner takes it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One failed attempt, for the dead letter."""

    at: datetime
    code: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be applied, with everything that is known about it."""

    subscriber: str
    record: Record
    failure: FailureClass
    code: str
    message: str
    stack: str
    attempts: tuple[Attempt, ...]
    first_failed_at: datetime
    envelope: Envelope | None
    """None where the message could not be read."""


@dataclass(slots=True, eq=False)
class Result:
    """What became of one message."""

    record: Record
    handled: Handled
    began_at: datetime
    duration_ms: float
    attempts: int
    envelope: Envelope | None = None
    dead_letter: DeadLetter | None = None
    extra: Outgoing | None = None
    """The record for the dead-letter topic."""


@dataclass(slots=True)
class _Tally:
    """How often a message failed in one way: waiting for a parent uses up no attempts of another failure."""

    first_s: float
    """When it first failed so, on the clock of `_Trail.worked_s`."""
    count: int = 0


@dataclass(slots=True)
class _Trail:
    """What happened to one message so far. Most messages have no history, so that is made with the first failure."""

    began_at: datetime
    began_s: float
    attempt_at: datetime
    """When the present attempt began."""
    attempt_s: float
    """The same, on the monotonic clock."""
    attempts: tuple[Attempt, ...] = ()
    tallies: dict[FailureClass, _Tally] | None = None
    waits: int = 0
    waited_s: float = 0.0
    """Spent on systems that were away, the attempts that found it out included, and on waits in other attempts."""
    idle_s: float = 0.0
    """What the present attempt has spent on waiting: for a turn at its system, for the deadline of a call that nobody answered."""
    envelope: Envelope | None = None
    again: OnceMore | None = None

    def worked_s(self, at_s: float) -> float:
        """Since the first attempt, less what was waited before the present one."""
        return at_s - self.began_s - self.waited_s

    def idling(self, pause: Pause, clock: Clock) -> Pause:
        """The same, but what is waited in it counts as no time of trying."""

        async def idle(seconds: float, *, aside: bool = False) -> None:
            began_s = clock.monotonic_s()
            try:
                await pause(seconds, aside=aside)
            finally:
                self.idle_s += clock.monotonic_s() - began_s

        return idle

    def next_attempt(self, now: datetime, now_s: float) -> None:
        """Begin with the next one."""
        self.attempt_at, self.attempt_s, self.idle_s = now, now_s, 0.0

    def failed(self, failure: FailureClass) -> _Tally:
        """The present attempt has failed so."""
        self.tallies = self.tallies or {}
        tally = self.tallies.setdefault(failure, _Tally(self.worked_s(self.attempt_s)))
        tally.count += 1
        return tally


@dataclass(frozen=True, slots=True)
class _Failed:
    """It is not tried again."""

    error: Exception
    decision: GiveUp


async def _never_began(_: Delivery) -> None:
    return None


async def _done_before(_: Delivery) -> Handled:
    return DONE_BEFORE


class Executor:
    """Runs the messages of one subscriber."""

    def __init__(
        self, *, running: Running, codec: Codec, clock: Clock, bury: Callable[[DeadLetter], Outgoing], seed: int | None = None
    ) -> None:
        """Join what it needs.

        Args:
            running: The subscriber.
            codec: Reads and writes bodies.
            clock: For times and waits.
            bury: Makes the record for the dead-letter topic; must not fail.
            seed: Of the jitter.
        """
        self._running, self._codec, self._clock, self._bury = running, codec, clock, bury
        self._kinds = {kind.topic: kind for kind in running.reads}
        self._outputs = Outputs(subscriber=running.name, codec=codec, clock=clock)
        self._dice = random.Random(seed)  # noqa: S311  jitter

    async def execute(self, record: Record, fence: Fence, pause: Pause, again: OnceMore | None = None) -> Result:
        """Handle one message until it has an outcome.

        Args:
            record: The message.
            fence: Of its partition.
            pause: Waits in its lane.
            again: Where it is redelivered.

        Raises:
            Fenced: another worker owns the partition.
            Abandoned: the partition is handed over.
        """
        trail = self._new_trail()
        trail.again = again
        # where all outcomes are Kafka's, what is done is known by its offset alone
        is_done = again is not None and not again.redelivery.force and self._running.conclude is None
        ended = await self._try(record, fence, trail, pause, run=_done_before if is_done else self._running.run)
        if isinstance(ended, _Failed):
            return self._give_up(record, trail, ended.error, ended.decision)
        return self._result(record, trail, ended)

    async def pass_over(self, record: Record, fence: Fence, pause: Pause, *, why: str) -> Result:
        """What becomes of a message that a person passes over: where it has begun, that is found out first; else nothing is done.

        Where it cannot be found out it is a dead letter: an effect that may be there is not discarded unseen.

        Raises:
            Fenced: another worker owns the partition.
            Abandoned: the partition is handed over.
        """
        trail = self._new_trail()
        ended = await self._try(record, fence, trail, pause, run=self._running.conclude or _never_began)
        if isinstance(ended, Handled):
            return self._result(record, trail, ended)
        if isinstance(ended, _Failed) and ended.decision.failure is not FailureClass.UNDECODABLE:
            return self._give_up(record, trail, ended.error, ended.decision)
        return self._result(record, trail, Handled(OutcomeKind.DISCARDED, detail=_in_whole_letters(why)))

    async def _try(
        self, record: Record, fence: Fence, trail: _Trail, pause: Pause, *, run: Callable[[Delivery], Awaitable[E]]
    ) -> E | _Failed:
        """Again and again, until it ends or its policy says that it is enough."""
        while True:
            try:
                return await run(await self._delivery(record, fence, trail, trail.idling(pause, self._clock)))
            except (Fenced, Abandoned):
                raise
            except Exception as raised:  # noqa: BLE001  every failure has a policy, a defect's too
                error = self._named(raised)
                decision = self._decide(error, trail)
                if isinstance(decision, GiveUp):
                    return _Failed(error, decision)
                await self._wait(decision, trail, error, pause)
                trail.next_attempt(self._clock.now(), self._clock.monotonic_s())

    def _new_trail(self) -> _Trail:
        now, now_s = self._clock.now(), self._clock.monotonic_s()
        return _Trail(now, now_s, now, now_s)

    async def _delivery(self, record: Record, fence: Fence, trail: _Trail, pause: Pause) -> Delivery:
        envelope = trail.envelope
        if envelope is None:
            try:
                envelope = read_envelope(record, self._codec, self._kinds)
            except Undecodable:
                envelope = await self._learn_and_read(record)
            trail.envelope = envelope
        coordinates = envelope.position or record.coordinates
        return Delivery(envelope, coordinates, fence, len(trail.attempts) + 1, trail.attempt_at, self._outputs, pause, trail.again)

    async def _learn_and_read(self, record: Record) -> Envelope:
        """It may be that its schema was never met here."""
        unknown = self._codec.unknown_schema(record.value)
        if unknown is not None:
            await asyncio.to_thread(self._codec.learn, unknown)
        return read_envelope(record, self._codec, self._kinds)

    def _named(self, error: Exception) -> Exception:
        return UnknownOutcome(f"no answer within {self._running.policy.call_timeout}") if isinstance(error, TimeoutError) else error

    def _decide(self, error: Exception, trail: _Trail) -> Decision:
        failure = classify(error)
        tally = trail.failed(failure)
        return decide(
            error,
            policy=self._running.policy,
            attempts=tally.count,
            waits=trail.waits,
            elapsed=timedelta(seconds=trail.worked_s(self._clock.monotonic_s()) - trail.idle_s - tally.first_s),
            dice=self._dice,
        )

    async def _wait(self, decision: Decision, trail: _Trail, error: Exception, pause: Pause) -> None:
        assert not isinstance(decision, GiveUp)
        seconds = decision.delay.total_seconds()
        if isinstance(decision, RetryAfter):
            trail.attempts += (Attempt(self._clock.now(), getattr(error, "code", type(error).__name__)),)
            trail.waits = 0
            LOG.retried(self._running.name, trail.envelope, error, attempt=len(trail.attempts), delay_s=seconds)
        else:
            trail.waits += 1
            LOG.waiting(self._running.name, trail.envelope, error, waits=trail.waits, delay_s=seconds)
        await pause(seconds, aside=isinstance(decision, RetryAfter) and decision.aside)
        is_away = not isinstance(decision, RetryAfter)
        trail.waited_s += self._clock.monotonic_s() - trail.attempt_s if is_away else trail.idle_s

    def _give_up(self, record: Record, trail: _Trail, error: Exception, decision: GiveUp) -> Result:
        code = _in_whole_letters(decision.code)
        attempts = (*trail.attempts, Attempt(self._clock.now(), code))
        dead = DeadLetter(
            subscriber=self._running.name,
            record=record,
            failure=decision.failure,
            code=code,
            message=_in_whole_letters(str(error)) or type(error).__name__,
            stack="".join(traceback.format_exception(error)) if decision.failure is FailureClass.DEFECT else "",
            attempts=attempts,
            first_failed_at=attempts[0].at,
            envelope=trail.envelope,
        )
        handled = Handled(OutcomeKind.DEAD_LETTERED, detail=dead.message)
        return self._result(record, trail, handled, dead)

    def _result(self, record: Record, trail: _Trail, handled: Handled, dead: DeadLetter | None = None) -> Result:
        duration_ms = (self._clock.monotonic_s() - trail.began_s) * 1000
        extra = self._bury(dead) if dead else None
        return Result(record, handled, trail.began_at, duration_ms, len(trail.attempts) + 1, trail.envelope, dead, extra)


def _in_whole_letters(text: str) -> str:
    """Vendors cut texts inside a surrogate pair, and JSON lets half of it through; no record, log or database takes it."""
    return text.encode("utf-8", "replace").decode()
