"""Answers, refusals, duplicates, changes and timers in any order: what an instance did is whole or undone at rest (guarantee G7)."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import integers
from office import (
    ACTIVATED,
    BILLED,
    BOOKED,
    CANCELLED,
    GRANTED,
    NOT_BILLED,
    NOT_BOOKED,
    NOT_GRANTED,
    NOT_STARTED,
    REJECTED,
    STARTED,
    VALIDATED,
    Office,
    Sent,
    approved,
    problem,
    tax_code,
    timer,
)
from test_compensation import BRANCHES, NOT_ACTIVATED, UNBILLED

from integration_fabric.messages.base import Command, Event, Message
from integration_fabric.messages.entitlements import GrantEntitlements
from integration_fabric.messages.fabric import ProcessState
from integration_fabric.messages.onboardings import StartOnboarding
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder
from integration_fabric.messages.quotes import ValidateQuote
from integration_fabric.messages.subscriptions import CancelSubscription, StartSubscription
from integration_fabric.process_engine.definition import Process, Step
from integration_fabric.process_engine.engine import ENDED
from integration_fabric.process_engine.state import Instance, StepStatus
from integration_fabric.processes.quote_to_activation import QUOTE_TO_ACTIVATION
from integration_fabric.runtime.ports import Codec

DONE: dict[type[Message], Event] = {
    ValidateQuote: VALIDATED,
    CreateOrder: BOOKED,
    StartSubscription: BILLED,
    ActivateOrder: ACTIVATED,
    GrantEntitlements: GRANTED,
    StartOnboarding: STARTED,
    CancelOrder: CANCELLED,
    CancelSubscription: UNBILLED,
}
REFUSED: dict[type[Message], Event] = {
    ValidateQuote: REJECTED,
    CreateOrder: NOT_BOOKED,
    StartSubscription: NOT_BILLED,
    ActivateOrder: NOT_ACTIVATED.model_copy(update={"problems": (problem(),)}),
    GrantEntitlements: NOT_GRANTED,
    StartOnboarding: NOT_STARTED,
}
"""What undoes is not refused here: then a person must look, and nothing comes to rest by itself."""


class Systems:
    """Everybody who is asked to do something, and what they have done."""

    def __init__(self, office: Office, dice: random.Random) -> None:
        self.office, self.dice = office, dice
        self.answered: dict[str, tuple[Sent, Event]] = {}
        self.active: list[type[Message]] = []

    def waiting(self) -> list[Sent]:
        return [sent for sent in self.office.sent if isinstance(sent.body, Command) and sent.id not in self.answered]

    async def answer(self, *, may_refuse: bool) -> None:
        """One of those who were asked answers."""
        waiting = self.waiting()
        if not waiting:
            return
        sent = self.dice.choice(waiting)
        kind = type(sent.body)
        refuses = may_refuse and kind in REFUSED and self.dice.random() < 0.4
        reply = (REFUSED if refuses else DONE)[kind]
        if not refuses:
            self.active.append(kind)
        self.answered[sent.id] = (sent, reply)
        await self.office.tell(reply, answers=sent.id)

    async def repeat(self) -> None:
        """An answer comes once more, as a message of its own or as the same one."""
        if self.answered:
            sent, reply = self.dice.choice(list(self.answered.values()))
            await self.office.tell(reply, answers=sent.id)

    async def change(self) -> None:
        await self.office.tell(tax_code())

    async def ring(self) -> None:
        """A timer of any step, due or not."""
        instance = await self.office.instance()
        step = self.dice.choice(list(instance.steps) or ["validate"])
        await self.office.tell(timer(instance.id, step, arm=self.dice.randint(1, 3), process=self.office.process.name))


def check(instance: Instance, process: Process, systems: Systems) -> None:
    """What must hold after each message."""
    ids = [sent.id for sent in systems.office.sent if isinstance(sent.body, Command)]
    assert len(ids) == len(set(ids)), "a command was sent twice under one id"
    open_ids = {step.command_id for step in instance.steps.values() if step.status in {StepStatus.SENT, StepStatus.UNDOING}}
    assert open_ids == {sent.id for sent in systems.waiting()}, "what is open is what was asked and not answered"
    if instance.state is ProcessState.COMPLETED:
        assert all(instance.status(step.name) in {StepStatus.DONE, StepStatus.SKIPPED} for step in process.flat())
    if instance.state is ProcessState.COMPENSATED:
        left = [
            step.name
            for step in process.flat()
            if isinstance(step, Step) and step.undone_by and instance.status(step.name) is StepStatus.DONE
        ]
        assert left == []
        assert not systems.waiting()


@pytest.mark.parametrize("process", [QUOTE_TO_ACTIVATION, BRANCHES], ids=lambda process: process.name)
@given(seed=integers(0, 10**9))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_an_instance_comes_to_rest_whole_or_undone(codec: Codec, process: Process, seed: int) -> None:
    dice = random.Random(seed)
    office = Office(codec, process=process)
    systems = Systems(office, dice)
    await office.tell(approved())
    for _ in range(25):
        step = dice.choice(("answer", "answer", "answer", "repeat", "change", "ring", "again"))
        await office.clock.advance(dice.choice((0, 1)))
        if step == "answer":
            await systems.answer(may_refuse=True)
        elif step == "again":
            await office.tell(approved(version=dice.randint(2, 99)))
        else:
            await getattr(systems, step)()
        check(await office.instance(), process, systems)
    for _ in range(30):
        await office.clock.advance(1)
        await systems.change()
        await systems.answer(may_refuse=False)
    instance = await office.instance()
    check(instance, process, systems)
    assert instance.state in ENDED
    assert instance.state is office.states()[-1]
