"""The outside system that workers call: it does with each call what it is told, and knows what really happened."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from integration_fabric.delivery.effects import Reply
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.errors import DataProblem, Transient, Unavailable, UnknownOutcome, VendorDrift
from integration_fabric.messages.master_data import AccountChanged, TaxCodeChanged
from integration_fabric.runtime.outcomes import Applied
from integration_fabric.runtime.ports import Clock
from integration_fabric.runtime.subscriber import Delivery, Handled

VENDOR_FORGETS_S = timedelta(hours=24).total_seconds()
"""A native key."""
EPSILON_S = 1e-6


class Fate(StrEnum):
    """What becomes of one call."""

    DONE = "done and answered"
    REFUSED = "refused and answered"
    BAD_DATA = "data is missing"
    LOST = "lost on the way, and the connection is reset"
    HANGS = "lost on the way, and it hangs"
    UNANSWERED = "done, and the connection is reset"
    DONE_HANGS = "done, and it hangs"
    LATE = "the connection is reset, and it lands as late as it may"
    LATE_HANGS = "it hangs, and lands as late as it may"
    UNREACHABLE = "nothing listens"
    LOCKED = "a lock of its own, nothing done"
    DEFECT = "done, and our code fails on the answer"
    DRIFT = "done, and the answer makes no sense"


NOT_SENT = {Fate.UNREACHABLE, Fate.LOCKED}
_LATE = {Fate.LATE, Fate.LATE_HANGS}
_NOTHING_DONE = {Fate.REFUSED, Fate.BAD_DATA, Fate.LOST, Fate.HANGS}
_HANGING = {Fate.HANGS, Fate.DONE_HANGS, Fate.LATE_HANGS}
_RESET = {Fate.LOST, Fate.UNANSWERED, Fate.LATE}


class Caller(Protocol):
    """The worker that calls."""

    name: str

    async def hop(self, point: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Position:
    """Where the message stands that a call was made for."""

    partition: int
    key: str
    offset: int

    @property
    def lane(self) -> tuple[int, str]:
        return self.partition, self.key


@dataclass(frozen=True, slots=True)
class Landing:
    """A call that was carried out."""

    message: str
    position: Position


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, in seconds."""

    timeout_s: float = 2.0
    settles_s: float = 3.0
    answer_s: float = 0.01


def position_of(delivery: Delivery) -> Position:
    at = delivery.coordinates
    return Position(at.partition, delivery.envelope.body.key, at.offset)


def effect_of(delivery: Delivery) -> str:
    """Names the effect: a forced redelivery has one of its own."""
    return f"{delivery.envelope.id}#{delivery.forced}" if delivery.forced else delivery.envelope.id


def copied(delivery: Delivery, detail: str = "") -> Handled:
    """One event goes out for each message; it names the message."""
    body = delivery.envelope.body
    assert isinstance(body, TaxCodeChanged)
    copy = AccountChanged(
        account_code=body.tax_code,
        name=delivery.envelope.id,
        legal_entity=body.legal_entity,
        aggregate_version=delivery.coordinates.offset,
    )
    return delivery.settle(Applied((copy,), detail))


class Destination:
    """One system. What breaks a guarantee goes to `offend`."""

    def __init__(self, *, strategy: Strategy | None, clock: Clock, pace: Pace, offend: Callable[[str], None]) -> None:
        self._strategy, self._clock, self.pace, self._offend = strategy, clock, pace, offend
        self.fates: deque[Fate] = deque()
        self.find_fails = 0
        self.landed: list[Landing] = []
        self.fated: dict[str, Counter[Fate]] = defaultdict(Counter)
        """What became of the calls of each message."""
        self.given_up: set[str] = set()
        """Messages that ended as dead letters: what still lands of them has no order."""
        self._keys: dict[str, float] = {}
        self._intents: dict[tuple[str, int, str], float] = {}
        """By worker, epoch and message: until when it may have a call under way."""
        self._under_way_until: dict[str, float] = {}
        """By message: until when any worker may have one under way that was sent."""
        self._answered: set[tuple[str, int, str, Position]] = set()
        self.trace: list[str] = []
        """What happened, for people."""
        self._taken: set[str] = set()
        self._landing: set[asyncio.Task[None]] = set()

    def intend(self, worker: str, epoch: int, message: str, until_s: float) -> None:
        """An intent stands in the store."""
        self._intents[worker, epoch, message] = until_s

    # -- what a worker calls

    async def send(self, worker: Caller, delivery: Delivery, generation: int) -> Reply:
        """Make a call."""
        who = (worker.name, delivery.fence.epoch, effect_of(delivery))
        self._may_send(who, position_of(delivery))
        fate = self.fates.popleft() if self.fates else Fate.DONE
        if who[2] in self._taken and fate in {Fate.REFUSED, Fate.BAD_DATA}:
            fate = Fate.DONE  # what it has taken before, and may still be about to carry out, it does not refuse
        self.fated[who[2]][fate] += 1
        self.trace.append(f"{self._clock.monotonic_s():.3f} {who} sends for {position_of(delivery)}: {fate}")
        if fate in NOT_SENT:
            raise Unavailable("connection refused") if fate is Fate.UNREACHABLE else Transient("locked")
        until_s = self._intents.get(who, 0.0)
        self._under_way_until[who[2]] = max(until_s, self._under_way_until.get(who[2], 0.0))
        landing = self._carry(fate, delivery, generation)
        if fate in _HANGING:
            await asyncio.Event().wait()
        if fate in _RESET:
            raise UnknownOutcome(f"connection reset: {fate}")
        if landing is not None:
            await asyncio.shield(landing)
        await worker.hop("answer")
        return self._answer(fate, delivery, who)

    async def find(self, worker: Caller, delivery: Delivery, generation: int) -> Reply | None:
        """Read back."""
        message = effect_of(delivery)
        settled_s = self._under_way_until.get(message, 0.0) + self.pace.settles_s
        if self._clock.monotonic_s() < settled_s - EPSILON_S:
            self._offend(f"I8: {message} was read back {settled_s - self._clock.monotonic_s():.3f} s before its calls had settled")
        found = any(landing.message == message for landing in self.landed)
        self.trace.append(f"{self._clock.monotonic_s():.3f} {worker.name} reads {message} back: {found}")
        await worker.hop("found")
        if self.find_fails:
            self.find_fails -= 1
            raise UnknownOutcome("no answer to the question either")
        return Reply(copied(delivery), refused=False) if found else None

    # -- what happens there

    def _may_send(self, who: tuple[str, int, str], position: Position) -> None:
        ends_s = self._clock.monotonic_s() + self.pace.timeout_s
        if ends_s > self._intents.get(who, 0.0) + EPSILON_S:
            self._offend(f"I8: {who} sends a call that may end after the deadline of its intent")
        if (*who, position) in self._answered:
            self._offend(f"K: {who} was answered, and sends again")

    def _carry(self, fate: Fate, delivery: Delivery, generation: int) -> asyncio.Task[None] | None:
        if fate in _NOTHING_DONE:
            return None
        self._taken.add(effect_of(delivery))
        late_s = self.pace.timeout_s + self.pace.settles_s - 0.001
        landing = asyncio.create_task(self._land(delivery, generation, late_s if fate in _LATE else self.pace.answer_s / 2))
        self._landing.add(landing)
        landing.add_done_callback(self._landing.discard)
        return landing

    async def _land(self, delivery: Delivery, generation: int, after_s: float) -> None:
        message, position = effect_of(delivery), position_of(delivery)
        await asyncio.sleep(after_s)
        now_s = self._clock.monotonic_s()
        if self._strategy is Strategy.NATIVE_KEY:
            key = f"{message}.{generation}"
            if now_s - self._keys.get(key, -VENDOR_FORGETS_S - 1) <= VENDOR_FORGETS_S:
                return
            self._keys[key] = now_s
        if self._strategy is not Strategy.UPSERT and any(known.message == message for known in self.landed):
            self._offend(f"I5: the effect of {message} came about twice")
        later = [known for known in self.landed if known.position.lane == position.lane and known.position.offset > position.offset]
        if later and message not in self.given_up and delivery.again is None:
            self._offend(f"I5: {message} landed after {later[0].message}, which comes after it in its lane")
        self.trace.append(f"{now_s:.3f} {message} of {position} lands")
        self.landed.append(Landing(message, position))

    def _answer(self, fate: Fate, delivery: Delivery, who: tuple[str, int, str]) -> Reply:
        if fate is Fate.BAD_DATA:
            raise DataProblem(field="f", value="v", hint="h")
        if fate is Fate.DEFECT:
            raise KeyError("id")
        if fate is Fate.DRIFT:
            raise VendorDrift("the answer is no JSON")
        self._answered.add((*who, position_of(delivery)))
        if fate is Fate.REFUSED:
            return Reply(copied(delivery, "refused"), refused=True)
        return Reply(copied(delivery), refused=False)


def may_end_so(fated: Counter[Fate], code: str, *, max_attempts: int, max_rounds: int) -> bool:
    """Whether a message may end as a dead letter with this code after such calls.

    Args:
        fated: What became of each of them.
        code: Of the dead letter.
        max_attempts: Of one that fails and had no effect.
        max_rounds: After which nobody knows; 0 where nothing is sent again by itself, so that a crash is enough.
    """
    unanswered = sum(count for fate, count in fated.items() if fate in _RESET | _HANGING)
    return {
        "data-problem": fated[Fate.BAD_DATA] > 0,
        "KeyError": fated[Fate.DEFECT] > 0,
        "vendor-drift": fated[Fate.DRIFT] > 0,
        "transient": fated[Fate.LOCKED] >= max_attempts,
        "unknown-outcome": unanswered >= max_rounds,
    }.get(code, False)
