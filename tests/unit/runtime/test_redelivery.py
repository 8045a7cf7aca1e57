"""What of redeliveries may be committed when: a successor can tell by the serial alone what Kafka has (protocol.md, H)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import booleans, integers

from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.redelivery import Redelivered, Unconfirmed

PARTITION = TopicPartition("a", 0)


class UnconfirmedMachine(RuleBasedStateMachine):
    """A database that gives serials, beside answers that come in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.unconfirmed = Unconfirmed()
        self.serial = self.durable = 0
        self.begun: list[tuple[int, int]] = []
        """Ticket and offset of what is not in the database yet."""
        self.unanswered: list[tuple[int, int, int]] = []
        """Ticket, offset and serial of what is, and whose answer is under way."""
        self.serials: dict[int, int] = {}
        """By offset: what a successor would find."""
        self.committed: set[int] = set()
        self.metadata = 0

    @rule()
    def begin(self) -> None:
        offset = len(self.serials) + len(self.begun)
        self.begun.append((self.unconfirmed.begin(self.durable), offset))

    @precondition(lambda self: self.begun)
    @rule(place=integers(0, 9), together=booleans())
    def becomes_durable(self, place: int, *, together: bool) -> None:
        """Several in one transaction have one serial; they are numbered by the place in which they come."""
        self.serial += 1
        for _ in range(2 if together and len(self.begun) > 1 else 1):
            ticket, offset = self.begun.pop(place % len(self.begun))
            self.serials[offset] = self.serial
            self.unanswered.append((ticket, offset, self.serial))

    @rule()
    def something_live_becomes_durable(self) -> None:
        self.serial += 1
        self.durable = self.serial

    @rule()
    def is_told_how_far_the_database_is(self) -> None:
        self.durable = self.serial

    @precondition(lambda self: self.unanswered)
    @rule(place=integers(0, 9))
    def answer(self, place: int) -> None:
        ticket, offset, serial = self.unanswered.pop(place % len(self.unanswered))
        self.durable = max(self.durable, serial)
        self.unconfirmed.written(ticket, serial, Redelivered(1, PARTITION, offset, "applied", "", (), b""))

    @rule()
    def commit(self) -> None:
        could = self.unconfirmed.releasable
        results, serial = self.unconfirmed.release(self.durable)
        assert could == bool(results)
        assert serial >= self.metadata, "the metadata's serial went down"
        assert not {result.offset for result in results} & self.committed
        self.committed |= {result.offset for result in results}
        self.metadata = serial

    @invariant()
    def a_successor_emits_what_kafka_does_not_have(self) -> None:
        found = {offset for offset, serial in self.serials.items() if serial > self.metadata}
        assert found == self.serials.keys() - self.committed

    def teardown(self) -> None:
        while self.begun:
            self.becomes_durable(0, together=False)
        while self.unanswered:
            self.answer(0)
        self.commit()
        assert self.committed == self.serials.keys(), "something is never committed"


UnconfirmedMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestUnconfirmed = UnconfirmedMachine.TestCase
