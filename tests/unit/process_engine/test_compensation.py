"""Undoing with branches: everything that was done is undone in reverse, whatever the other branches are doing (protocol.md, J)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from office import ACTIVATED, BILLED, BOOKED, CANCELLED, GRANTED, NOT_BILLED, NOT_GRANTED, SUBSCRIPTION, Office, approved, tax_code

from integration_fabric.messages.base import Message
from integration_fabric.messages.entitlements import GrantEntitlements
from integration_fabric.messages.fabric import ProcessState
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder, OrderActivationRejected
from integration_fabric.messages.quotes import QuoteApproved
from integration_fabric.messages.subscriptions import CancelSubscription, StartSubscription, SubscriptionCancelled
from integration_fabric.process_engine.definition import Process, Refusal, Step, on, parallel
from integration_fabric.process_engine.state import StepStatus
from integration_fabric.processes.quote_to_activation import (
    activate_order,
    cancel_order,
    cancel_subscription,
    create_order,
    grant_entitlements,
    quote_of,
    start_subscription,
)
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Codec

BRANCHES = Process(
    name="branches",
    version=1,
    owner="revenue-operations",
    starts=on(QuoteApproved, quote_of),
    sync_window=timedelta(minutes=5),
    steps=(
        Step("book", create_order, undone_by=cancel_order),
        parallel(
            Step("bill", start_subscription, undone_by=cancel_subscription, refusal=Refusal.COMPENSATE),
            Step("grant", grant_entitlements),
            Step("activate", activate_order, refusal=Refusal.COMPENSATE),
        ),
    ),
)
UNBILLED = SubscriptionCancelled(subscription_id=SUBSCRIPTION, order_id=BOOKED.order_id, aggregate_version=9)
NOT_ACTIVATED = OrderActivationRejected(order_id=BOOKED.order_id, problems=NOT_BILLED.problems, aggregate_version=9)


@pytest.fixture
async def office(codec: Codec) -> Office:
    """The order is booked; the three branches are open."""
    office = Office(codec, process=BRANCHES)
    await office.tell(approved())
    await office.answer(CreateOrder, BOOKED)
    assert office.commands() == [CreateOrder, StartSubscription, GrantEntitlements, ActivateOrder]
    return office


def undoing(office: Office) -> list[type[Message]]:
    return office.commands()[4:]


async def test_a_held_branch_does_not_keep_the_others_from_being_undone(office: Office) -> None:
    """Entitlements are held for a tax code when billing refuses: the order is taken back, and the hold is over."""
    await office.answer(GrantEntitlements, NOT_GRANTED)
    await office.answer(ActivateOrder, ACTIVATED)
    await office.answer(StartSubscription, NOT_BILLED)
    assert (undoing(office), office.states()[-1]) == ([CancelOrder], ProcessState.COMPENSATING)
    await office.answer(CancelOrder, CANCELLED)
    assert office.states()[-1] is ProcessState.COMPENSATED


async def test_what_was_held_in_a_compensated_instance_is_not_resumed(office: Office) -> None:
    await office.answer(GrantEntitlements, NOT_GRANTED)
    await office.answer(ActivateOrder, ACTIVATED)
    await office.answer(StartSubscription, NOT_BILLED)
    await office.answer(CancelOrder, CANCELLED)
    await office.clock.advance(1)
    assert (await office.tell(tax_code())).kind is OutcomeKind.FILTERED
    assert undoing(office) == [CancelOrder]


async def test_a_branch_that_is_refused_while_others_are_undone_is_not_held(office: Office) -> None:
    await office.answer(ActivateOrder, ACTIVATED)
    await office.answer(StartSubscription, NOT_BILLED)
    assert undoing(office) == [], "the answer of the open branch is waited for"
    await office.answer(GrantEntitlements, NOT_GRANTED)
    assert (undoing(office), office.states()[-1]) == ([CancelOrder], ProcessState.COMPENSATING)
    await office.answer(CancelOrder, CANCELLED)
    assert office.states()[-1] is ProcessState.COMPENSATED
    await office.clock.advance(1)
    assert (await office.tell(tax_code())).kind is OutcomeKind.FILTERED


async def test_a_branch_that_is_done_while_others_are_refused_is_undone_first(office: Office) -> None:
    """In reverse: the last step that was done comes first, one at a time."""
    await office.answer(ActivateOrder, NOT_ACTIVATED)
    await office.answer(GrantEntitlements, GRANTED)
    await office.answer(StartSubscription, BILLED)
    assert undoing(office) == [CancelSubscription]
    await office.answer(CancelSubscription, UNBILLED)
    in_reverse: list[type[Message]] = [CancelSubscription, CancelOrder]
    assert undoing(office) == in_reverse
    await office.answer(CancelOrder, CANCELLED)
    assert office.states()[-1] is ProcessState.COMPENSATED
    instance = await office.instance()
    assert {name: step.status for name, step in instance.steps.items()} == {
        "book": StepStatus.UNDONE,
        "bill": StepStatus.UNDONE,
        "grant": StepStatus.DONE,
        "activate": StepStatus.REFUSED,
    }


async def test_two_branches_that_refuse_compensate_once(office: Office) -> None:
    await office.answer(GrantEntitlements, GRANTED)
    await office.answer(ActivateOrder, NOT_ACTIVATED)
    await office.answer(StartSubscription, NOT_BILLED)
    assert undoing(office) == [CancelOrder]
    await office.answer(CancelOrder, CANCELLED)
    assert office.states()[-1] is ProcessState.COMPENSATED


async def test_nothing_new_begins_once_something_is_undone(office: Office) -> None:
    await office.answer(ActivateOrder, NOT_ACTIVATED)
    commands = office.commands()
    await office.answer(GrantEntitlements, GRANTED)
    assert office.commands() == commands
