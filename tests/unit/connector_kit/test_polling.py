"""A cursor never passes what was not published, whatever fails and however often it is looked."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import integers

from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.publisher import MemoryPublisher
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryCrossReferences, MemoryCursors, MemoryReceipts
from integration_fabric.connector_kit.intake import Incoming
from integration_fabric.connector_kit.polling import Page, Poller
from integration_fabric.connector_kit.reception import Reception
from integration_fabric.messages.envelope import text_headers
from integration_fabric.messages.errors import FabricError, Unavailable
from integration_fabric.messages.ids import LegalEntity, System
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.ports import Codec

PAGE = 3


@dataclass
class Ledger:
    """A system whose changes have numbers. A page begins a little before the cursor, as one by time must."""

    changes: int = 0
    failures: list[FabricError] = field(default_factory=list)
    overlap: int = 1

    async def read(self, cursor: str | None) -> Page:
        if self.failures:
            raise self.failures.pop(0)
        start = int(cursor or 0)
        found = list(range(max(0, start - self.overlap), min(self.changes, start + PAGE)))
        end = found[-1] + 1 if found else start
        return Page([incoming(number) for number in found], str(end), more=end < self.changes)


def incoming(number: int) -> Incoming:
    body = TaxCodeChanged(tax_code=f"T-{number}", name="n", rate=Decimal("0.25"), legal_entity=LegalEntity("no"), aggregate_version=number)
    return Incoming(body, f"change-{number}", f"tax-code-{number}")


class Desk:
    """A poller with everything that it needs."""

    def __init__(self, codec: Codec) -> None:
        clock = FakeClock()
        self.codec, self.ledger = codec, Ledger()
        self.broker = MemoryBroker(clock)
        self.broker.create_topic(TaxCodeChanged.topic)
        self.publisher = MemoryPublisher(broker=self.broker, codec=codec)
        self.store = MemoryStore(clock)
        self.cursors, self.clock = MemoryCursors(self.store), clock

    def poller(self) -> Poller:
        return Poller(
            name="tryton.changes",
            source=self.ledger,
            reception=Reception(
                System("tryton"), None, MemoryCrossReferences(self.store), MemoryReceipts(self.store), self.publisher, self.clock
            ),
            cursors=self.cursors,
            clock=self.clock,
        )

    def published(self) -> list[tuple[str, str]]:
        """Ids and keys of all that stands in the topic."""
        records = self.broker.read(TaxCodeChanged.topic)
        return [(text_headers(record.headers)["ce_id"], (record.key or b"").decode()) for record in records]

    def missing(self, below: int) -> set[str]:
        """Changes below a cursor that were never published."""
        return {f"T-{number}" for number in range(below)} - {key for _, key in self.published()}


@pytest.fixture
def desk(codec: Codec) -> Desk:
    return Desk(codec)


async def test_everything_that_is_new_is_published_page_by_page(desk: Desk) -> None:
    desk.ledger.changes = 8
    assert await desk.poller().poll() == 8
    assert [key for _, key in desk.published()] == [f"T-{number}" for number in range(8)]
    assert await desk.cursors.load("tryton.changes") == "8"


async def test_where_nothing_is_new_nothing_is_published(desk: Desk) -> None:
    desk.ledger.changes = 4
    poller = desk.poller()
    await poller.poll()
    assert [await poller.poll(), await poller.poll()] == [0, 0]
    assert len(desk.published()) == 4


async def test_a_restart_goes_on_from_the_cursor(desk: Desk) -> None:
    """What its first page overlaps with is published again, under the same id: a duplicate to those who take it."""
    desk.ledger.changes = 4
    await desk.poller().poll()
    desk.ledger.changes = 6
    await desk.poller().poll()
    ids = [message_id for message_id, _ in desk.published()]
    assert len(set(ids)) == 6
    assert len(ids) == 7


async def test_what_was_not_acknowledged_is_published_again_and_the_cursor_waits(desk: Desk) -> None:
    desk.ledger.changes = 3
    poller = desk.poller()
    desk.publisher.fail_next(after=1)
    with pytest.raises(Unavailable):
        await poller.poll()
    assert await desk.cursors.load("tryton.changes") is None
    await poller.poll()
    ids = [message_id for message_id, _ in desk.published()]
    assert (len(ids), len(set(ids)), desk.missing(3)) == (4, 3, set())


async def test_a_cursor_that_could_not_be_kept_costs_duplicates_only(desk: Desk) -> None:
    desk.ledger.changes = 3
    poller, save = desk.poller(), desk.cursors.save

    async def lose(poller: str, cursor: str) -> None:
        desk.cursors.save = save  # type: ignore[method-assign]
        raise Unavailable("store: gone for a moment")

    desk.cursors.save = lose  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await poller.poll()
    await poller.poll()
    assert desk.missing(3) == set()
    assert len({message_id for message_id, _ in desk.published()}) == 3


async def test_two_workers_publish_the_same_ids(desk: Desk) -> None:
    desk.ledger.changes = 6
    await asyncio.gather(desk.poller().poll(), desk.poller().poll())
    assert len({message_id for message_id, _ in desk.published()}) == 6
    assert desk.missing(6) == set()


async def test_an_event_carries_who_it_is_from(desk: Desk) -> None:
    desk.ledger.changes = 1
    await desk.poller().poll()
    headers = text_headers(desk.broker.read(TaxCodeChanged.topic)[0].headers)
    assert (headers["ce_source"], headers["ce_system"], headers["ce_correlationid"]) == ("/systems/tryton", "tryton", "tax-code-0")


@given(seed=integers(0, 10**6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_fails_the_cursor_passes_nothing_that_was_not_published(codec: Codec, seed: int) -> None:
    dice, desk = random.Random(seed), Desk(codec)
    desk.ledger.overlap = dice.randint(0, 2)
    pollers = [desk.poller(), desk.poller()]
    for _ in range(15):
        desk.ledger.changes += dice.randint(0, 4)
        fault = dice.choice(("none", "source", "publisher", "store", "answer"))
        if fault == "source":
            desk.ledger.failures = [Unavailable("down")]
        elif fault == "publisher":
            desk.publisher.fail_next(after=dice.randint(0, 2))
        elif fault == "store":
            desk.store.fail_next()
        elif fault == "answer":
            desk.store.lose_answer_next()
        if dice.random() < 0.2:
            pollers[0] = desk.poller()
        await asyncio.gather(*(poller.poll() for poller in pollers), return_exceptions=True)
        assert desk.missing(int(await load(desk) or 0)) == set()
    while True:  # what is left of the faults comes first
        with suppress(Unavailable):
            await desk.poller().poll()
            break
    assert desk.missing(desk.ledger.changes) == set()


async def load(desk: Desk) -> str | None:
    while True:
        try:
            return await desk.cursors.load("tryton.changes")
        except Unavailable:
            continue


async def test_a_system_that_is_away_is_asked_again_until_the_end(desk: Desk) -> None:
    desk.ledger.changes = 2
    desk.ledger.failures = [Unavailable("down")] * 3
    ending = asyncio.Event()
    running = asyncio.create_task(desk.poller().run(every=timedelta(milliseconds=1), ending=ending))
    async with asyncio.timeout(5):
        while not desk.published():
            await asyncio.sleep(0.001)
    ending.set()
    await running
    assert desk.missing(2) == set()
