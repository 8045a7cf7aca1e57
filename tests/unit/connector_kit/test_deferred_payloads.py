"""A polled payload that names something unknown holds the cursor, but not what comes after it, and not for ever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.publisher import MemoryPublisher
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryCrossReferences, MemoryCursors, MemoryReceipts
from integration_fabric.connector_kit.intake import Canonical, Incoming, Reference
from integration_fabric.connector_kit.polling import PARENT_WAIT, Found, Page, Poller
from integration_fabric.connector_kit.reception import Reception
from integration_fabric.delivery.dead_letters import view
from integration_fabric.messages.errors import MissingParent, Unavailable, VendorDrift
from integration_fabric.messages.ids import LegalEntity, System
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.ports import Codec

PAGE = 3
TOPIC, QUARANTINE = TaxCodeChanged.topic, "dlq.stripe.intake"


class NumberIntake:
    """A payload is a number and the customer that it names, if any."""

    def references(self, payload: bytes) -> Sequence[Reference]:
        return [Reference("customer", name) for name in _read(payload)["customers"]]

    def events(self, payload: bytes, canonical: Canonical) -> Sequence[Incoming]:
        found = _read(payload)
        for name in found["customers"]:
            if Reference("customer", name) not in canonical:
                raise MissingParent(f"customer {name}")
        code = f"T-{found['number']}"
        body = TaxCodeChanged(tax_code=code, name="n", rate=Decimal("0.25"), legal_entity=LegalEntity("no"), aggregate_version=1)
        return [Incoming(body, code, code)]


def _read(payload: bytes) -> dict[str, list[str]]:
    try:
        found: dict[str, list[str]] = json.loads(payload)
    except ValueError as error:
        raise VendorDrift(str(error), path="number") from error
    return found


@dataclass
class Feed:
    """What a vendor tells, in order; a page at a time."""

    payloads: list[bytes] = field(default_factory=list)
    reads: list[str | None] = field(default_factory=list)

    def tell(self, number: int, *customers: str) -> None:
        self.payloads.append(json.dumps({"number": number, "customers": customers}).encode())

    async def read(self, cursor: str | None) -> Page:
        self.reads.append(cursor)
        start = int(cursor or 0)
        end = min(start + PAGE, len(self.payloads))
        found = [Found(payload, str(start + place + 1)) for place, payload in enumerate(self.payloads[start:end])]
        return Page((), str(end), more=end < len(self.payloads), payloads=found)


class Counter:
    """Where payloads come in."""

    def __init__(self, codec: Codec) -> None:
        self.clock, self.feed = FakeClock(), Feed()
        self.broker = MemoryBroker(self.clock)
        for topic in (TOPIC, QUARANTINE):
            self.broker.create_topic(topic)
        self.store = MemoryStore(self.clock)
        self.links, self.cursors = MemoryCrossReferences(self.store), MemoryCursors(self.store)
        self.publisher = MemoryPublisher(broker=self.broker, codec=codec)
        self.poller = self.another()

    def another(self) -> Poller:
        """As after a restart."""
        receipts = MemoryReceipts(self.store)
        reception = Reception(System("stripe"), NumberIntake(), self.links, receipts, self.publisher, self.clock)
        return Poller(name="stripe.changes", source=self.feed, reception=reception, cursors=self.cursors, clock=self.clock)

    def published(self) -> list[str]:
        return [(record.key or b"").decode() for record in self.broker.read(TOPIC)]

    async def cursor(self) -> str | None:
        return await self.cursors.load("stripe.changes")


@pytest.fixture
def counter(codec: Codec) -> Counter:
    return Counter(codec)


async def test_payloads_are_taken_in_order_page_by_page(counter: Counter) -> None:
    for number in range(7):
        counter.feed.tell(number)
    assert await counter.poller.poll() == 7
    assert counter.published() == [f"T-{number}" for number in range(7)]
    assert await counter.cursor() == "7"


async def test_one_that_waits_holds_the_cursor_and_nobody_else(counter: Counter) -> None:
    counter.feed.tell(0)
    counter.feed.tell(1, "cus_1")
    for number in range(2, 8):
        counter.feed.tell(number)
    await counter.poller.poll()
    await counter.poller.poll()

    assert counter.published() == ["T-0", *[f"T-{number}" for number in range(2, 8)]]
    assert await counter.cursor() == "1"

    await counter.links.link("customer", "C-1", "stripe", "cus_1")
    assert await counter.poller.poll() == 1
    assert counter.published()[-1] == "T-1"
    assert await counter.cursor() == "8"


async def test_a_restart_meanwhile_loses_nothing(counter: Counter) -> None:
    counter.feed.tell(0, "cus_1")
    counter.feed.tell(1)
    await counter.poller.poll()
    await counter.links.link("customer", "C-1", "stripe", "cus_1")
    await counter.another().poll()

    assert sorted(set(counter.published())) == ["T-0", "T-1"]
    assert await counter.cursor() == "2"


async def test_it_does_not_wait_for_ever(counter: Counter) -> None:
    counter.feed.tell(0, "cus_1")
    counter.feed.tell(1)
    await counter.poller.poll()
    await counter.clock.advance(PARENT_WAIT.total_seconds())
    await counter.poller.poll()

    assert counter.published() == ["T-1"]
    (record,) = counter.broker.read(QUARANTINE)
    dead = view(record)
    assert (dead.failure, dead.code, dead.value) == ("missing_parent", "missing-parent", counter.feed.payloads[0])
    assert await counter.cursor() == "2"


async def test_drift_holds_up_nobody(counter: Counter) -> None:
    counter.feed.tell(0)
    counter.feed.payloads.append(b"\xff<html>")
    counter.feed.tell(2)
    await counter.poller.poll()

    assert counter.published() == ["T-0", "T-2"]
    assert [record.value for record in counter.broker.read(QUARANTINE)] == [b"\xff<html>"]
    assert await counter.cursor() == "3"


async def test_the_cursor_never_passes_what_was_not_acknowledged(counter: Counter) -> None:
    for number in range(3):
        counter.feed.tell(number)
    counter.publisher.fail_next()
    with pytest.raises(Unavailable):
        await counter.poller.poll()
    assert await counter.cursor() is None

    await counter.poller.poll()
    assert counter.published() == ["T-0", "T-1", "T-2"]
