"""Every path of quote-to-activation, from the events that come in to the commands that go out."""

from __future__ import annotations

import pytest
from office import (
    ACTIVATED,
    BILLED,
    BOOKED,
    CANCELLED,
    GRANTED,
    NOT_BILLED,
    NOT_BOOKED,
    NOT_CANCELLED,
    NOT_GRANTED,
    REJECTED,
    ROUTES,
    STARTED,
    VALIDATED,
    Office,
    approved,
    line,
    problem,
    tax_code,
    timer,
    until_activation,
)

from integration_fabric.canonical.routing import Routes
from integration_fabric.messages.base import Command, Event
from integration_fabric.messages.contracts import ContractActivated
from integration_fabric.messages.entitlements import GrantEntitlements
from integration_fabric.messages.fabric import ProcessChanged, ProcessState
from integration_fabric.messages.ids import LegalEntity, MessageId, System
from integration_fabric.messages.master_data import LegalEntityChanged
from integration_fabric.messages.onboardings import StartOnboarding
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder
from integration_fabric.messages.quotes import ChargeType, ValidateQuote
from integration_fabric.messages.subscriptions import StartSubscription
from integration_fabric.process_engine.state import StepStatus
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Codec

ALL = [ValidateQuote, CreateOrder, StartSubscription, ActivateOrder, GrantEntitlements, StartOnboarding]


@pytest.fixture
def office(codec: Codec) -> Office:
    return Office(codec)


# -- everything goes well


async def test_a_quote_becomes_an_order_a_subscription_a_contract_entitlements_and_an_onboarding(office: Office) -> None:
    await until_activation(office)
    await office.answer(StartOnboarding, STARTED)
    await office.answer(GrantEntitlements, GRANTED)
    assert office.commands() == ALL
    assert [sent.system for sent in office.sent if isinstance(sent.body, Command)] == [
        "tryton", "tryton", "stripe", "tryton", "zendesk", "gainsight",
    ]  # fmt: skip
    assert office.states()[-1] is ProcessState.COMPLETED
    (contract,) = office.bodies(ContractActivated)
    assert (contract.contract_id, contract.order_id, contract.subscription_id) == ("CT-Q-1", "SO-Q-1", "SUB-Q-1")


async def test_each_step_waits_for_the_answer_of_the_one_before(office: Office) -> None:
    await office.tell(approved())
    assert office.commands() == ALL[:1]
    answers: list[tuple[type[Command], Event]] = [(ValidateQuote, VALIDATED), (CreateOrder, BOOKED), (StartSubscription, BILLED)]
    for number, (command, reply) in enumerate(answers, start=2):
        await office.answer(command, reply)
        assert office.commands() == ALL[:number]
    await office.answer(ActivateOrder, ACTIVATED)
    assert office.commands() == ALL


async def test_what_is_sent_carries_the_journey_and_every_key_that_is_known(office: Office) -> None:
    await until_activation(office)
    sent = office.last(GrantEntitlements)
    assert sent.headers["ce_correlationid"] == "journey-1"
    assert sent.headers["ce_legalentity"] == "no"
    keys = dict(pair.split("=") for pair in sent.headers["ce_businesskeys"].split(";"))
    assert keys == {"quote": "Q-1", "customer": "C-1", "order": "SO-Q-1", "subscription": "SUB-Q-1", "contract": "CT-Q-1"}


async def test_one_off_lines_need_no_subscription(office: Office) -> None:
    await office.tell(approved(line("1", ChargeType.ONE_OFF)))
    await office.answer(ValidateQuote, VALIDATED)
    await office.answer(CreateOrder, BOOKED)
    assert office.commands() == [ValidateQuote, CreateOrder, ActivateOrder]
    await office.answer(ActivateOrder, ACTIVATED)
    await office.answer(GrantEntitlements, GRANTED)
    await office.answer(StartOnboarding, STARTED)
    assert office.states()[-1] is ProcessState.COMPLETED
    assert (await office.instance()).status("start subscription") is StepStatus.SKIPPED
    assert office.bodies(ContractActivated)[0].subscription_id is None


async def test_support_goes_on_while_customer_success_is_away(office: Office) -> None:
    """The branches do not wait for each other (guarantee G8)."""
    await until_activation(office)
    await office.answer(GrantEntitlements, GRANTED)
    assert office.states()[-1] is ProcessState.RUNNING
    assert office.bodies(ProcessChanged)[-1].step == "onboarding"
    await office.answer(StartOnboarding, STARTED)
    assert office.states()[-1] is ProcessState.COMPLETED


# -- refusals


async def test_a_missing_tax_code_holds_the_quote_until_it_is_there(office: Office) -> None:
    await office.tell(approved())
    await office.answer(ValidateQuote, REJECTED)
    assert office.states()[-1] is ProcessState.HELD
    assert office.bodies(ProcessChanged)[-1].problems == (problem(),)
    assert office.commands() == [ValidateQuote], "nothing goes on, nothing is undone"

    assert (await office.tell(tax_code("VAT0"))).kind is OutcomeKind.FILTERED
    assert (await office.tell(tax_code())).kind is OutcomeKind.APPLIED
    assert office.commands() == [ValidateQuote, ValidateQuote]
    first, second = [sent.id for sent in office.sent if isinstance(sent.body, ValidateQuote)]
    assert first != second, "after a refusal it is another attempt, with an id of its own"
    await office.answer(ValidateQuote, VALIDATED)
    assert office.commands()[-1] is CreateOrder


async def test_a_hold_that_is_not_mended_holds_again(office: Office) -> None:
    """Three changes that mend nothing: the quote is tried a few times, each time under an id of its own, and is held at the end."""
    await office.tell(approved())
    for _ in range(3):
        while office.states()[-1] is not ProcessState.HELD:
            await office.clock.advance(1)
            await office.answer(ValidateQuote, REJECTED)
        await office.clock.advance(1)
        await office.tell(tax_code())
    attempts = [sent.id for sent in office.sent if isinstance(sent.body, ValidateQuote)]
    assert len(attempts) == len(set(attempts))
    assert 4 <= len(attempts) <= 7


async def test_a_refusal_that_arrives_after_the_change_that_mends_it_does_not_hold(office: Office) -> None:
    """The tax code was added while the refusal was under way: its change came by first, and no other will come."""
    await office.tell(approved())
    await office.clock.advance(1)
    await office.tell(tax_code())
    await office.clock.advance(1)
    await office.answer(ValidateQuote, REJECTED)
    assert office.commands() == [ValidateQuote, ValidateQuote]
    assert office.states()[-1] is ProcessState.RUNNING


async def test_a_change_before_the_command_was_sent_mends_nothing(office: Office) -> None:
    """The ERP knew the change and refused all the same."""
    await office.tell(tax_code())
    await office.clock.advance(1)
    await office.tell(approved())
    await office.clock.advance(1)
    await office.answer(ValidateQuote, REJECTED)
    assert office.states()[-1] is ProcessState.HELD


async def test_one_change_resumes_every_quote_that_waits_for_it_the_oldest_first(office: Office) -> None:
    for number in range(3):
        await office.tell(approved(quote=f"Q-{number}"))
        await office.answer(ValidateQuote, REJECTED.model_copy(update={"quote_id": f"Q-{number}"}))
        await office.clock.advance(1)
    await office.tell(tax_code())
    resumed = [sent.body.key for sent in office.sent if isinstance(sent.body, ValidateQuote)][3:]
    assert resumed == ["Q-0", "Q-1", "Q-2"]


async def test_an_order_that_the_erp_refuses_is_held_too(office: Office) -> None:
    await office.tell(approved())
    await office.answer(ValidateQuote, VALIDATED)
    await office.answer(CreateOrder, NOT_BOOKED)
    assert office.states()[-1] is ProcessState.HELD
    await office.clock.advance(1)
    await office.tell(tax_code())
    await office.answer(CreateOrder, BOOKED)
    assert office.commands() == [ValidateQuote, CreateOrder, CreateOrder, StartSubscription]


async def test_a_branch_that_is_held_does_not_hold_the_other(office: Office) -> None:
    await until_activation(office)
    await office.answer(GrantEntitlements, NOT_GRANTED)
    assert office.states()[-1] is ProcessState.HELD
    await office.answer(StartOnboarding, STARTED)
    assert office.states()[-1] is ProcessState.HELD
    await office.clock.advance(1)
    await office.tell(tax_code())
    await office.answer(GrantEntitlements, GRANTED)
    assert office.states()[-1] is ProcessState.COMPLETED


# -- compensation


async def test_where_billing_refuses_the_order_is_taken_back(office: Office) -> None:
    await office.tell(approved())
    await office.answer(ValidateQuote, VALIDATED)
    await office.answer(CreateOrder, BOOKED)
    await office.answer(StartSubscription, NOT_BILLED)
    assert office.commands()[-1] is CancelOrder
    assert office.states()[-1] is ProcessState.COMPENSATING
    await office.answer(CancelOrder, CANCELLED)
    assert office.states()[-1] is ProcessState.COMPENSATED
    assert office.commands() == [ValidateQuote, CreateOrder, StartSubscription, CancelOrder]
    instance = await office.instance()
    assert [instance.status(step) for step in ("validate", "book order", "start subscription", "activate order")] == [
        StepStatus.DONE, StepStatus.UNDONE, StepStatus.REFUSED, None,
    ]  # fmt: skip


async def test_where_the_order_cannot_be_taken_back_a_person_must_look(office: Office) -> None:
    await office.tell(approved())
    await office.answer(ValidateQuote, VALIDATED)
    await office.answer(CreateOrder, BOOKED)
    await office.answer(StartSubscription, NOT_BILLED)
    await office.answer(CancelOrder, NOT_CANCELLED)
    assert office.states()[-1] is ProcessState.COMPENSATING
    changed = office.bodies(ProcessChanged)[-1]
    assert (changed.step, changed.problems) == ("book order", (problem(),))


async def test_a_compensated_instance_is_not_resumed_by_a_change(office: Office) -> None:
    await office.tell(approved())
    await office.answer(ValidateQuote, VALIDATED)
    await office.answer(CreateOrder, BOOKED)
    await office.answer(StartSubscription, NOT_BILLED)
    await office.answer(CancelOrder, CANCELLED)
    sent = len(office.sent)
    assert (await office.tell(tax_code())).kind is OutcomeKind.FILTERED
    assert len(office.sent) == sent


# -- again and again


async def test_a_quote_that_is_approved_twice_begins_once(office: Office) -> None:
    """Another message about the same quote, e.g. from a poller beside a webhook of another id."""
    await office.tell(approved(), message_id="webhook")
    second = await office.tell(approved(version=2), message_id="poller")
    assert (second.kind, second.outputs) == (OutcomeKind.SUPERSEDED, ())


async def test_the_same_message_from_another_position_is_a_duplicate(office: Office) -> None:
    await office.tell(approved(), message_id="webhook")
    second = await office.tell(approved(), message_id="webhook")
    assert (second.kind, second.outputs) == (OutcomeKind.DUPLICATE, ())


async def test_the_same_record_again_sends_the_same_again(office: Office) -> None:
    """Kafka did not confirm the first time."""
    first = await office.tell(approved(), message_id="webhook", offset=5)
    again = await office.tell(approved(), message_id="webhook", offset=5)
    assert again == first
    assert len(first.outputs) == 2


@pytest.mark.parametrize("late", [VALIDATED, REJECTED], ids=["done", "refused"])
async def test_a_second_answer_to_a_command_changes_nothing(office: Office, late: Event) -> None:
    await office.tell(approved())
    await office.answer(ValidateQuote, VALIDATED)
    sent = len(office.sent)
    assert (await office.answer(ValidateQuote, late, message_id="another")).kind is OutcomeKind.SUPERSEDED
    assert len(office.sent) == sent


async def test_an_answer_to_an_attempt_that_is_over_changes_nothing(office: Office) -> None:
    await office.tell(approved())
    first = office.last(ValidateQuote).id
    await office.answer(ValidateQuote, REJECTED)
    await office.clock.advance(1)
    await office.tell(tax_code())
    assert (await office.tell(VALIDATED, answers=first)).kind is OutcomeKind.SUPERSEDED
    assert office.commands() == [ValidateQuote, ValidateQuote]


@pytest.mark.parametrize("answers", [None, MessageId("somebody-elses")])
async def test_an_answer_to_no_command_of_ours_is_not_ours(office: Office, answers: MessageId | None) -> None:
    await office.tell(approved())
    assert (await office.tell(VALIDATED, answers=answers)).kind is OutcomeKind.FILTERED


# -- deadlines


async def test_a_missing_answer_is_noticed_at_the_steps_deadline_and_the_answer_still_counts(office: Office) -> None:
    await office.tell(approved())
    instance = await office.instance()
    (due,) = await office.instances.due(office.process.name, office.clock.now() + office.process.sync_window, 10)
    assert (due.timer.step, due.timer.arm, due.key) == ("validate", 1, "Q-1")
    await office.tell(timer(instance.id, "validate"))
    late = office.bodies(ProcessChanged)[-1]
    assert [(found.code, found.id) for found in late.problems] == [("no-answer", "validate")]
    assert list(await office.instances.due(office.process.name, office.clock.now() + office.process.sync_window, 10)) == [], "told once"
    await office.answer(ValidateQuote, VALIDATED)
    assert office.commands()[-1] is CreateOrder


async def test_a_timer_after_the_answer_changes_nothing(office: Office) -> None:
    await office.tell(approved())
    await office.answer(ValidateQuote, VALIDATED)
    instance = await office.instance()
    assert (await office.tell(timer(instance.id, "validate"))).kind is OutcomeKind.SUPERSEDED


async def test_a_timer_of_an_earlier_attempt_changes_nothing(office: Office) -> None:
    await office.tell(approved())
    await office.answer(ValidateQuote, REJECTED)
    await office.clock.advance(1)
    await office.tell(tax_code())
    instance = await office.instance()
    assert (await office.tell(timer(instance.id, "validate", arm=1))).kind is OutcomeKind.SUPERSEDED
    assert (await office.tell(timer(instance.id, "validate", arm=2))).kind is OutcomeKind.APPLIED


async def test_timers_of_others_are_not_ours(office: Office) -> None:
    await office.tell(approved())
    instance = await office.instance()
    assert (await office.tell(timer(instance.id, "validate", process="payment-failure"))).kind is OutcomeKind.FILTERED
    assert (await office.tell(timer("nobody", "validate"))).kind is OutcomeKind.SUPERSEDED
    assert (await office.tell(timer(instance.id, "no such step"))).kind is OutcomeKind.SUPERSEDED


async def test_a_held_step_has_no_deadline(office: Office) -> None:
    await office.tell(approved())
    await office.answer(ValidateQuote, REJECTED)
    assert list(await office.instances.due(office.process.name, office.clock.now() + office.process.sync_window * 100, 10)) == []


# -- who is to do it


async def test_each_legal_entity_has_its_own_erp(codec: Codec) -> None:
    routes = Routes({("erp", "no"): System("tryton-no"), ("erp", "*"): System("tryton-us")})
    office = Office(codec, routes=routes)
    await office.tell(approved(quote="Q-1"))
    await office.tell(approved(quote="Q-2").model_copy(update={"legal_entity": LegalEntity("us")}))
    assert [sent.system for sent in office.sent if isinstance(sent.body, ValidateQuote)] == ["tryton-no", "tryton-us"]


async def test_where_nobody_plays_a_role_the_step_is_held_and_goes_on_once_somebody_does(codec: Codec) -> None:
    office = Office(codec, routes=Routes({("billing", "*"): System("stripe")}))
    await office.tell(approved())
    assert office.commands() == []
    assert office.states()[-1] is ProcessState.HELD
    (found,) = office.bodies(ProcessChanged)[-1].problems
    assert (found.entity, found.id, found.code) == ("legal-entity", "no", "no-route")

    office.reopen(routes=ROUTES)
    await office.tell(LegalEntityChanged(legal_entity=LegalEntity("no"), name="Norway", currency="NOK", aggregate_version=1))
    assert office.commands() == [ValidateQuote]
    assert office.states()[-1] is ProcessState.RUNNING
