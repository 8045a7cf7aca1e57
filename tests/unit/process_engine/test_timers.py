"""Timers enter a process as messages, at least once, and act once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from office import VALIDATED, Office, approved

from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.backends.memory.publisher import MemoryPublisher
from integration_fabric.messages.envelope import text_headers
from integration_fabric.messages.errors import Unavailable
from integration_fabric.messages.fabric import ProcessAction, ProcessChanged
from integration_fabric.messages.quotes import ValidateQuote
from integration_fabric.process_engine.timers import TimerPoller
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Codec


class Clockwork:
    """An office whose timers are polled."""

    def __init__(self, codec: Codec) -> None:
        self.office = Office(codec)
        self.broker = MemoryBroker(self.office.clock)
        self.broker.create_topic(ProcessAction.topic)
        self.publisher = MemoryPublisher(broker=self.broker, codec=codec)

    def poller(self) -> TimerPoller:
        return TimerPoller(
            process=self.office.process.name, instances=self.office.instances, publisher=self.publisher, clock=self.office.clock
        )

    def published(self) -> list[tuple[str, ProcessAction]]:
        """Ids and bodies, in order."""
        found = []
        for record in self.broker.read(ProcessAction.topic):
            body = self.office.codec.decode(record.value or b"", ProcessAction)
            assert isinstance(body, ProcessAction)
            found.append((text_headers(record.headers)["ce_id"], body))
        return found


@pytest.fixture
async def clockwork(codec: Codec) -> Clockwork:
    """A quote waits for its validation, due in two minutes."""
    clockwork = Clockwork(codec)
    await clockwork.office.tell(approved())
    return clockwork


async def test_nothing_is_published_before_its_time(clockwork: Clockwork) -> None:
    await clockwork.office.clock.advance(119)
    assert await clockwork.poller().poll() == 0
    assert clockwork.published() == []


async def test_a_due_timer_is_published_once_and_tells_that_the_step_is_late(clockwork: Clockwork) -> None:
    await clockwork.office.clock.advance(120)
    assert await clockwork.poller().poll() == 1
    assert await clockwork.poller().poll() == 0
    ((message_id, action),) = clockwork.published()
    assert (action.step, action.arm, action.process) == ("validate", 1, "quote-to-activation")
    assert (await clockwork.office.tell(action, message_id=message_id)).kind is OutcomeKind.APPLIED
    assert clockwork.office.bodies(ProcessChanged)[-1].problems[0].code == "no-answer"


async def test_two_pollers_publish_one_message_twice(clockwork: Clockwork) -> None:
    """Each looked before the other had taken the timer off. The ids are the same, so the second is a duplicate."""
    await clockwork.office.clock.advance(120)
    await asyncio.gather(clockwork.poller().poll(), clockwork.poller().poll())
    (first_id, action), (second_id, _) = clockwork.published()
    assert first_id == second_id
    await clockwork.office.tell(action, message_id=first_id)
    assert (await clockwork.office.tell(action, message_id=second_id)).kind is OutcomeKind.DUPLICATE


async def test_a_timer_that_was_not_acknowledged_stays(clockwork: Clockwork) -> None:
    await clockwork.office.clock.advance(120)
    clockwork.publisher.fail_next()
    with pytest.raises(Unavailable):
        await clockwork.poller().poll()
    assert await clockwork.poller().poll() == 1


async def test_a_step_that_was_answered_has_no_timer(clockwork: Clockwork) -> None:
    await clockwork.office.answer(ValidateQuote, VALIDATED)
    await clockwork.office.clock.advance(250)
    assert await clockwork.poller().poll() == 0, "the next step's is due later"


async def test_a_store_that_is_away_is_asked_again(clockwork: Clockwork) -> None:
    ending = asyncio.Event()
    await clockwork.office.clock.advance(120)
    clockwork.office.store.fail_next(2)
    running = asyncio.create_task(clockwork.poller().run(every=timedelta(milliseconds=5), ending=ending))
    async with asyncio.timeout(5):
        while not clockwork.published():
            await asyncio.sleep(0.001)
    ending.set()
    await running
