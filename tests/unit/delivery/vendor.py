"""A vendor that does what a test says with each call, and counts what it did: the truth that no answer needs to tell."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryCrossReferences, MemoryEffects, MemoryLeases
from integration_fabric.delivery.effects import Effect, Once, Reply
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.envelope import Coordinates, Envelope
from integration_fabric.messages.errors import (
    BadCredential,
    Conflict,
    DataProblem,
    FabricError,
    MissingParent,
    Throttled,
    Transient,
    Unavailable,
    UnknownOutcome,
    VendorDrift,
)
from integration_fabric.messages.ids import LegalEntity, MessageId
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Fence, TakenLease
from integration_fabric.runtime.records import Outgoing, TopicPartition
from integration_fabric.runtime.subscriber import Delivery, Handled, OnceMore

SUBSCRIBER = "vendor.create"
MESSAGE = MessageId("m-1")
TIMEOUT = timedelta(milliseconds=40)
"""Of one call, in real time where it hangs, on the bench's clock otherwise."""
SETTLES = timedelta(seconds=2)


class Ending(StrEnum):
    """What becomes of one call."""

    DONE = "done and answered"
    REFUSED = "refused and answered"
    DONE_UNANSWERED = "done, and the answer is lost"
    NOT_DONE_UNANSWERED = "lost on the way, and nobody knows"
    DONE_LATE = "no answer, and it lands as late as it may"
    DONE_THEN_HANGS = "done, and it hangs"
    HANGS = "it hangs, and nothing is done"
    DONE_THEN_DEFECT = "done, and our code fails on the answer"
    DONE_THEN_DRIFT = "done, and the answer makes no sense"
    UNREACHABLE = "nothing listens"
    THROTTLED = "asked to wait"
    UNKNOWN_CREDENTIAL = "not let in"
    LOCKED = "a lock of its own, nothing done"
    NO_PARENT = "something must come first"
    BAD_DATA = "data is missing"
    CONFLICT = "in another state"


NOT_SENT: dict[Ending, FabricError] = {
    Ending.UNREACHABLE: Unavailable("connection refused"),
    Ending.THROTTLED: Throttled("429"),
    Ending.UNKNOWN_CREDENTIAL: BadCredential("401"),
    Ending.LOCKED: Transient("locked"),
    Ending.NO_PARENT: MissingParent("no invoice"),
}
"""Nothing was done, and the message is tried again."""
TURNED_DOWN: dict[Ending, FabricError] = {
    Ending.BAD_DATA: DataProblem(field="f", value="v", hint="h"),
    Ending.CONFLICT: Conflict("cancelled"),
}
"""Nothing was done, and a person must act."""
UNANSWERED = frozenset({Ending.DONE_UNANSWERED, Ending.NOT_DONE_UNANSWERED, Ending.DONE_LATE, Ending.DONE_THEN_HANGS, Ending.HANGS})
"""Nobody knows."""


def handled(text: str = "booked") -> Handled:
    return Handled(OutcomeKind.APPLIED, (Outgoing("out", b"k", text.encode(), ()),), text, ("out",))


@dataclass
class Desk:
    """A vendor, a log, and the subscriber between them."""

    strategy: Strategy
    endings: list[Ending] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)
    timeout: timedelta = TIMEOUT
    forgets_after: timedelta | None = None
    """How long the vendor remembers a key; for ever if None."""

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.log = MemoryEffects(self.store, MemoryCrossReferences(self.store))
        self.leases = MemoryLeases(self.store)
        self.fence = Fence(SUBSCRIBER, "topic-1", 0, 0)
        self.keys: dict[str, datetime] = {}
        self.done: list[datetime] = []
        """When each effect came about: more than one is what must never be."""
        self.sends: list[datetime] = []
        self.finds: list[datetime] = []
        self.find_fails = 0
        self._landing: set[asyncio.Task[None]] = set()

    async def take_over(self) -> None:
        """The next owner: a higher epoch and a new `Once` on the same log."""
        self.fence = Fence(SUBSCRIBER, "topic-1", 0, self.fence.epoch + 1)
        lease = TakenLease(TopicPartition("in", 0), "topic-1", self.fence.epoch)
        assert list(await self.leases.take(SUBSCRIBER, [lease], "w")) == [True]

    def once(self) -> Once:
        return Once(effect=self.effect(), log=self.log, clock=self.clock)

    def effect(self) -> Effect:
        find = None if self.strategy is Strategy.UPSERT else self.find
        return Effect(self.strategy, self.send, find, self.timeout, SETTLES)

    def delivery(self, offset: int = 7, attempt: int = 1, again: OnceMore | None = None) -> Delivery:
        body = TaxCodeChanged(tax_code="k", name="n", rate=Decimal(1), legal_entity=LegalEntity("no"), aggregate_version=1)
        envelope = Envelope(body, MESSAGE, "/test", self.clock.now(), "c-1")
        return Delivery(envelope, Coordinates("in", 0, offset), self.fence, attempt, self.clock.now(), _never, self.clock.pause, again)

    async def handle(self, offset: int = 7, again: OnceMore | None = None) -> Handled | Exception:
        """As a lane does: again and again until there is an outcome. Returns what a dead letter would be made of."""
        for attempt in range(1, 50):
            try:
                return await self.once().run(self.delivery(offset, attempt, again))
            except (Unavailable, Throttled, BadCredential, Transient, MissingParent):
                await self.clock.sleep(1)
            except Exception as error:  # noqa: BLE001  whatever a dead letter would be made of
                return error
        raise AssertionError("never an outcome")

    # -- the vendor

    async def send(self, delivery: Delivery, generation: int) -> Reply:
        """Make the call."""
        self.look_at_the_deadline(delivery)
        self.sends.append(self.clock.now())
        ending = self.endings.pop(0) if self.endings else Ending.DONE
        key = delivery.envelope.id if generation == 0 else f"{delivery.envelope.id}.{generation}"
        if error := NOT_SENT.get(ending) or TURNED_DOWN.get(ending):
            raise error
        if ending is Ending.REFUSED:
            return Reply(handled("refused"), refused=True)
        if ending is Ending.DONE_LATE:
            self._land_late(key)
        elif ending not in {Ending.NOT_DONE_UNANSWERED, Ending.HANGS}:
            self._do(key)
        return await self._answer(ending)

    async def _answer(self, ending: Ending) -> Reply:
        if ending in {Ending.HANGS, Ending.DONE_THEN_HANGS}:
            await asyncio.Event().wait()
        if ending in UNANSWERED:
            raise UnknownOutcome(f"connection reset: {ending}")
        if ending is Ending.DONE_THEN_DEFECT:
            raise KeyError("id")
        if ending is Ending.DONE_THEN_DRIFT:
            raise VendorDrift("the answer is no JSON")
        return Reply(handled(), refused=False)

    def look_at_the_deadline(self, delivery: Delivery) -> None:
        """No send may end after its intent's deadline (protocol.md, I8)."""
        row = self.log._rows[SUBSCRIBER, f"{MESSAGE}#{delivery.forced}" if delivery.forced else MESSAGE]
        assert row.deadline_at is not None
        assert self.clock.now() + self.timeout <= row.deadline_at, "sent so late that it can end after the deadline"

    def _do(self, key: str) -> None:
        known_at = self.keys.get(key)
        forgotten = known_at is not None and self.forgets_after is not None and self.clock.now() - known_at > self.forgets_after
        if self.strategy is Strategy.NATIVE_KEY and known_at is not None and not forgotten:
            return
        if self.strategy is Strategy.UPSERT and self.done:
            return
        self.keys[key] = self.clock.now()
        self.done.append(self.clock.now())

    def _land_late(self, key: str) -> None:
        """At the last moment at which it still may: the call's own timeout and what the action declares."""

        async def land() -> None:
            await self.clock.sleep((self.timeout + SETTLES).total_seconds() - 0.001)
            self._do(key)

        self._landing.add(asyncio.create_task(land()))

    async def find(self, delivery: Delivery, generation: int) -> Reply | None:
        """Read back."""
        self.finds.append(self.clock.now())
        if self.find_fails:
            self.find_fails -= 1
            raise UnknownOutcome("no answer to the question either")
        return Reply(handled(), refused=False) if self.done else None


def _never(*_: object) -> tuple[tuple[Outgoing, ...], tuple[str, ...]]:
    raise AssertionError("the vendor's replies are made here")
