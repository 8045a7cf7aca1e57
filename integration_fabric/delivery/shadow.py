"""A shadow: what a subscriber would make of messages that it has handled, beside what it made of them. It writes nothing (protocol.md, H).

The handler reads from its system as ever. At the first request that would change something it ends, as nobody answers that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from integration_fabric.delivery.ports import EffectLog
from integration_fabric.delivery.withholding import Withheld, withholding_writes
from integration_fabric.messages.base import Message
from integration_fabric.messages.catalogue import BY_TOPIC
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.errors import BadCredential, Unavailable, Undecodable
from integration_fabric.runtime.envelopes import learn_and_decode
from integration_fabric.runtime.executor import DeadLetter, Executor
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Clock, Codec, Fence
from integration_fabric.runtime.records import Outgoing, Record
from integration_fabric.runtime.redelivery import Redelivery
from integration_fabric.runtime.subscriber import Delivery, Handled, OnceMore, Run, Running

AT_ONCE = 4
"""Messages that are looked at together at the most: the workers' calls go first."""
WAITS_S = 30.0
"""For a system that is away, or that nobody may call now: somebody sits before it."""
TELLS_TIME = "aggregate_version"
"""The field of every event that says when it was made: it differs each time, and says nothing about what was done."""
NOTHING = "nothing is known of it"
_LOST = Outgoing("", None, None, ())


class Verdict(StrEnum):
    """How what a message would come to is to what it came to."""

    SAME = "same"
    """It would be answered as it was, or passed over as it was, and nothing would be written."""
    DIFFERS = "differs"
    """It would be answered otherwise."""
    NEW = "new"
    """It would be answered, and nothing is known of an earlier answer."""
    WRITES = "writes"
    """Something would be written to the system."""
    FAILS = "fails"
    """It could not be applied."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of an answer."""

    field: str
    was: Any
    now: Any


@dataclass(frozen=True, slots=True)
class Shadowed:
    """One message."""

    coordinates: Coordinates
    key: bytes | None
    verdict: Verdict
    was: str
    """What became of it, in words."""
    now: str
    """What would become of it."""
    differences: tuple[Difference, ...] = ()


@dataclass(slots=True)
class _Attempt:
    """One message in the shadow."""

    run: Run
    clock: Clock
    write: Withheld | None = None
    not_called: Unavailable | BadCredential | None = None
    """Why the last attempt reached nobody."""
    waited_s: float = 0.0
    """For a system that is not reached."""

    async def __call__(self, delivery: Delivery) -> Handled:
        self.not_called = None
        try:
            with withholding_writes():
                return await self.run(delivery)
        except Withheld as write:
            self.write = write
            return Handled(OutcomeKind.FILTERED)
        except (Unavailable, BadCredential) as error:
            self.not_called = error
            raise

    async def pause(self, seconds: float, *, aside: bool = False) -> None:  # noqa: ARG002  there is no lane
        """Wait. Raises Unavailable where a system was not reached for too long."""
        if self.not_called is not None:
            self.waited_s += seconds
            if self.waited_s > WAITS_S:
                raise Unavailable(f"it was waited for {WAITS_S:.0f} s: {self.not_called}") from self.not_called
        await self.clock.sleep(seconds)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a message would come to: one of the three."""

    message_id: str | None
    handled: Handled | None = None
    write: Withheld | None = None
    failure: DeadLetter | None = None


@dataclass(frozen=True, slots=True)
class Shadow:
    """One subscriber's.

    Args:
        running: The subscriber, bound to its system and to `NothingKept`.
        codec: Reads and writes bodies.
        clock: For times and waits.
        effects: Where it is written what became of the messages.
    """

    running: Running
    codec: Codec
    clock: Clock
    effects: EffectLog
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def of(self, records: Sequence[Record]) -> Sequence[Shadowed]:
        """What would become of some messages.

        Raises:
            Unavailable: the store does not answer, or the system did not for `WAITS_S`.
        """
        trying = [asyncio.create_task(self._try(record)) for record in records]
        try:
            outcomes = await asyncio.gather(*trying)
        finally:
            for task in trying:
                task.cancel()
        known = await self.effects.recall(self.running.name, [outcome.message_id for outcome in outcomes if outcome.message_id])
        return [self._compare(record, outcome, known) for record, outcome in zip(records, outcomes, strict=True)]

    async def _try(self, record: Record) -> _Outcome:
        attempt = _Attempt(self.running.run, self.clock)
        policy = replace(self.running.policy, parent_wait=timedelta())
        executor = Executor(
            running=replace(self.running, run=attempt, policy=policy), codec=self.codec, clock=self.clock, bury=lambda _: _LOST
        )
        # forced, or it would be known as done by its offset alone; with the number of none, its keys are those of the first time
        again = OnceMore(Redelivery(0, self.running.name, force=True, key=None, by="", why=""), is_forgotten=False)
        async with self._places:
            result = await executor.execute(record, Fence(self.running.name, "", record.partition, 0), attempt.pause, again)
        message_id = result.envelope.id if result.envelope else None
        if result.dead_letter is not None:
            return _Outcome(message_id, failure=result.dead_letter)
        return _Outcome(message_id, write=attempt.write) if attempt.write else _Outcome(message_id, result.handled)

    def _compare(self, record: Record, outcome: _Outcome, known: Mapping[str, Handled | None]) -> Shadowed:
        is_known = outcome.message_id in known
        was = known.get(outcome.message_id or "")
        told = NOTHING if not is_known else in_words(was) if was else "it has begun, and nobody knows how it ended"

        def shadowed(verdict: Verdict, now: str, differences: Sequence[Difference] = ()) -> Shadowed:
            return Shadowed(record.coordinates, record.key, verdict, told, now, tuple(differences))

        if outcome.failure is not None:
            return shadowed(Verdict.FAILS, f"{outcome.failure.code}: {outcome.failure.message}")
        if outcome.write is not None:
            return shadowed(Verdict.WRITES, f"{outcome.write}, {outcome.write.size_bytes} bytes")
        assert outcome.handled is not None
        if was is None:
            passed_over = not is_known and outcome.handled.kind is not OutcomeKind.APPLIED
            return shadowed(Verdict.SAME if passed_over else Verdict.NEW, in_words(outcome.handled))
        differences = list(self._differences(was, outcome.handled))
        return shadowed(Verdict.DIFFERS if differences else Verdict.SAME, in_words(outcome.handled), differences)

    def _differences(self, was: Handled, now: Handled) -> Iterator[Difference]:
        if was.kind is not now.kind:
            yield Difference("outcome", was.kind.value, now.kind.value)
        for before, after in zip_longest(was.outputs, now.outputs):
            yield from self._between(before, after)

    def _between(self, before: Outgoing | None, after: Outgoing | None) -> Iterator[Difference]:
        was, now = self._read(before), self._read(after)
        if was is None or now is None or type(was) is not type(now):
            if before != after:
                yield Difference("event", _named(before, was), _named(after, now))
            return
        for place, one, other in differences("", was.model_dump(mode="json"), now.model_dump(mode="json")):
            if place != TELLS_TIME:
                yield Difference(f"{was.schema_name} {place}", one, other)

    def _read(self, output: Outgoing | None) -> Message | None:
        kind = BY_TOPIC.get(output.topic) if output is not None else None
        if output is None or kind is None or output.value is None:
            return None
        try:
            return learn_and_decode(output.value, kind, self.codec)
        except Undecodable:
            return None


def in_words(handled: Handled) -> str:
    """What became of a message."""
    return ": ".join(part for part in (handled.kind.value, handled.detail or ", ".join(handled.output_types)) if part)


def differences(place: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ: a path such as `lines.0.tax_code`, and what stands there in each."""
    if isinstance(was, dict) and isinstance(now, dict):
        pairs = [(name, was.get(name), now.get(name)) for name in {**was, **now}]
    elif isinstance(was, list) and isinstance(now, list):
        pairs = [(str(number), one, other) for number, (one, other) in enumerate(zip_longest(was, now))]
    else:
        if was != now:
            yield place, was, now
        return
    for name, one, other in pairs:
        yield from differences(f"{place}.{name}" if place else name, one, other)


def _named(output: Outgoing | None, read: Message | None) -> str | None:
    if read is not None:
        return read.schema_name
    return output.topic if output is not None else None
