"""Invoices and payments: posting, application and failure, in whatever order the facts come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest
from office import NOW, Office

from integration_fabric.messages.base import Event
from integration_fabric.messages.fabric import ProcessAction, ProcessActionKind, ProcessState
from integration_fabric.messages.ids import CustomerId, InterventionId, InvoiceId, LegalEntity, OrderId, PaymentId
from integration_fabric.messages.interventions import CloseIntervention, InterventionClosed, InterventionOpened, OpenIntervention
from integration_fabric.messages.invoices import (
    DisputeOpened,
    InvoiceIssued,
    InvoiceLine,
    InvoicePosted,
    InvoiceReversed,
    PostingRejected,
    PostInvoice,
    ReceivableStatus,
    ReceivableUpdated,
    ReceivableUpdateRejected,
    UpdateReceivable,
)
from integration_fabric.messages.master_data import AccountingPeriodChanged
from integration_fabric.messages.orders import OrderActivated
from integration_fabric.messages.payments import ApplyPayment, PaymentApplied, PaymentFailed, PaymentPosted
from integration_fabric.messages.problems import Problem
from integration_fabric.process_engine.definition import Await, Process, Step, changes, on
from integration_fabric.process_engine.state import Instance, StepStatus
from integration_fabric.processes.invoice_posting import INVOICE_POSTING, post_invoice
from integration_fabric.processes.payment_application import PAYMENT_APPLICATION, apply_payment
from integration_fabric.processes.payment_failure import PAYMENT_FAILURE, invoice_of_failure, invoice_of_payment
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Codec

NO, INVOICE, ORDER, CUSTOMER = LegalEntity("no"), InvoiceId("in_1"), OrderId("SO-1"), CustomerId("C-1")
LINE = InvoiceLine(
    invoice_line_id="il_1",
    order_line_id="SO-1/1",
    product_id="P-1",
    description="Seats",
    quantity=Decimal("3.0000"),
    unit_price=Decimal("33.3333"),
    amount=Decimal("100.0000"),
    tax_code="VAT25",
    tax_amount=Decimal("25.0000"),
)
ISSUED = InvoiceIssued(
    invoice_id=INVOICE,
    native_id="in_1",
    order_id=ORDER,
    customer_id=CUSTOMER,
    legal_entity=NO,
    currency="NOK",
    number="A-0001",
    total_amount=Decimal("125.0000"),
    tax_amount=Decimal("25.0000"),
    issued_on=date(2026, 1, 5),
    due_on=date(2026, 2, 4),
    lines=(LINE,),
    aggregate_version=1,
)
POSTED = InvoicePosted(
    invoice_id=INVOICE,
    legal_entity=NO,
    currency="NOK",
    native_id="7",
    number="2026-7",
    total_amount=Decimal("125.0000"),
    posted_on=date(2026, 1, 5),
    aggregate_version=2,
)
PAID = PaymentPosted(
    payment_id=PaymentId("ch_2"),
    invoice_id=INVOICE,
    legal_entity=NO,
    currency="NOK",
    amount=Decimal("125.0000"),
    paid_at=NOW,
    method="card",
    aggregate_version=20,
)
APPLIED = PaymentApplied(
    payment_id=PaymentId("ch_2"),
    invoice_id=INVOICE,
    legal_entity=NO,
    currency="NOK",
    native_id="9",
    amount=Decimal("125.0000"),
    open_amount=Decimal(0),
    aggregate_version=21,
)
OVERDUE = ReceivableUpdated(invoice_id=INVOICE, status=ReceivableStatus.OVERDUE, aggregate_version=12)
SETTLED = ReceivableUpdated(invoice_id=INVOICE, status=ReceivableStatus.PAID, aggregate_version=30)
OPENED = InterventionOpened(intervention_id=InterventionId("i-1"), customer_id=CUSTOMER, native_id="cta_1", aggregate_version=13)
CLOSED = InterventionClosed(intervention_id=InterventionId("i-1"), customer_id=CUSTOMER, aggregate_version=31)


def failed(attempt: int = 1, *, at: datetime = NOW, version: int | None = None) -> PaymentFailed:
    return PaymentFailed(
        payment_id=PaymentId(f"ch_f{attempt}"),
        invoice_id=INVOICE,
        customer_id=CUSTOMER,
        legal_entity=NO,
        currency="NOK",
        amount=Decimal("125.0000"),
        failed_at=at,
        code="card_declined",
        attempt=attempt,
        aggregate_version=version or 9 + attempt,
    )


def refusal(entity: str, identity: str, code: str) -> Problem:
    return Problem(entity=entity, id=identity, field="x", code=code, hint="")


@pytest.fixture
def failing(codec: Codec) -> Office:
    return Office(codec, PAYMENT_FAILURE)


def standing(instance: Instance) -> dict[str, StepStatus]:
    return {name: step.status for name, step in instance.steps.items()}


# -- payment failure


async def test_a_failed_payment_shows_on_both_sides_and_is_waited_for(failing: Office) -> None:
    await failing.tell(failed())
    assert failing.commands() == [UpdateReceivable, OpenIntervention]
    await failing.answer(UpdateReceivable, OVERDUE)
    await failing.answer(OpenIntervention, OPENED)

    found = await failing.instance()
    assert found.state is ProcessState.WAITING
    assert [step.name for step in found.open_steps()] == ["payment"]


async def test_payment_afterwards_closes_both_sides(failing: Office) -> None:
    await failing.tell(failed())
    await failing.answer(UpdateReceivable, OVERDUE)
    await failing.answer(OpenIntervention, OPENED)
    await failing.tell(PAID)
    assert failing.commands()[2:] == [UpdateReceivable, CloseIntervention]
    assert [body.status for body in failing.bodies(UpdateReceivable)] == [ReceivableStatus.OVERDUE, ReceivableStatus.PAID]
    await failing.answer(UpdateReceivable, SETTLED)
    await failing.answer(CloseIntervention, CLOSED)

    assert (await failing.instance()).state is ProcessState.COMPLETED


async def test_repeated_failures_join(failing: Office) -> None:
    await failing.tell(failed(1))
    joined = await failing.tell(failed(2))
    again = await failing.tell(failed(3))

    assert (joined.kind, joined.detail) == (OutcomeKind.APPLIED, "joined the instance that runs")
    assert again.kind is OutcomeKind.APPLIED
    assert failing.commands() == [UpdateReceivable, OpenIntervention]
    assert (await failing.instance()).received[PaymentFailed].attempt == 3


async def test_an_older_failure_that_joins_later_does_not_hide_the_newer(failing: Office) -> None:
    await failing.tell(failed(2))
    await failing.tell(failed(1))

    assert (await failing.instance()).received[PaymentFailed].attempt == 2


async def test_a_failure_after_the_end_changes_nothing(failing: Office) -> None:
    await failing.tell(failed())
    for command, reply in ((UpdateReceivable, OVERDUE), (OpenIntervention, OPENED)):
        await failing.answer(command, reply)
    await failing.tell(PAID)
    for command, reply in ((UpdateReceivable, SETTLED), (CloseIntervention, CLOSED)):
        await failing.answer(command, reply)

    assert (await failing.tell(failed(2))).kind is OutcomeKind.SUPERSEDED
    assert (await failing.tell(PAID)).kind is OutcomeKind.SUPERSEDED


async def test_a_payment_that_comes_before_its_failure_is_kept(failing: Office) -> None:
    kept = await failing.tell(PAID)
    assert kept.kind is OutcomeKind.FILTERED
    assert "kept until" in kept.detail

    begun = await failing.tell(failed())
    assert begun.detail == "what had come before it: PaymentPosted"
    await failing.answer(UpdateReceivable, OVERDUE)
    await failing.answer(OpenIntervention, OPENED)

    assert failing.commands()[2:] == [UpdateReceivable, CloseIntervention]


async def test_what_is_kept_is_kept_for_a_bounded_time(failing: Office) -> None:
    await failing.tell(PAID)
    await failing.clock.advance((PAYMENT_FAILURE.keeps_early + timedelta(seconds=1)).total_seconds())
    await failing.tell(PAID.model_copy(update={"invoice_id": InvoiceId("in_other")}))  # whoever comes next sweeps

    assert [key for _, key, _ in failing.instances.early] == ["in_other"]


async def test_a_reversed_invoice_is_no_longer_overdue(failing: Office) -> None:
    reversed_ = InvoiceReversed(
        invoice_id=INVOICE,
        legal_entity=NO,
        currency="NOK",
        amount=Decimal(125),
        reason="billed twice",
        reversed_at=NOW,
        aggregate_version=20,
    )
    await failing.tell(failed())
    await failing.answer(UpdateReceivable, OVERDUE)
    await failing.answer(OpenIntervention, OPENED)
    await failing.tell(reversed_)

    assert failing.bodies(UpdateReceivable)[-1].status is ReceivableStatus.OPEN
    assert failing.bodies(CloseIntervention)[-1].resolution == "in_1: reversed: billed twice"


async def test_a_disputed_invoice_is_shown_as_disputed(failing: Office) -> None:
    disputed = DisputeOpened(
        invoice_id=INVOICE,
        dispute_id="dp_1",
        legal_entity=NO,
        currency="NOK",
        amount=Decimal(125),
        reason="fraudulent",
        opened_at=NOW,
        aggregate_version=20,
    )
    await failing.tell(failed())
    await failing.answer(UpdateReceivable, OVERDUE)
    await failing.answer(OpenIntervention, OPENED)
    await failing.tell(disputed)

    assert failing.bodies(UpdateReceivable)[-1].status is ReceivableStatus.DISPUTED


async def test_a_receivable_waits_for_its_invoice_and_for_its_payment(failing: Office) -> None:
    unknown = ReceivableUpdateRejected(invoice_id=INVOICE, problems=(refusal("invoice", INVOICE, "unknown-invoice"),), aggregate_version=1)
    unapplied = ReceivableUpdateRejected(
        invoice_id=INVOICE, problems=(refusal("invoice", INVOICE, "payment-not-applied"),), aggregate_version=1
    )
    await failing.tell(failed())
    await failing.answer(OpenIntervention, OPENED)
    await failing.answer(UpdateReceivable, unknown)
    assert (await failing.instance()).state is ProcessState.HELD
    await failing.tell(POSTED)
    await failing.answer(UpdateReceivable, OVERDUE)
    await failing.clock.advance(1)  # what was posted before it was sent is no reason to send it again
    await failing.tell(PAID)
    await failing.answer(CloseIntervention, CLOSED)
    await failing.answer(UpdateReceivable, unapplied)
    assert (await failing.instance()).state is ProcessState.HELD
    await failing.tell(APPLIED)
    await failing.answer(UpdateReceivable, SETTLED)

    assert (await failing.instance()).state is ProcessState.COMPLETED
    assert [body.status for body in failing.bodies(UpdateReceivable)] == [
        *[ReceivableStatus.OVERDUE] * 2,
        *[ReceivableStatus.PAID] * 2,
    ]


async def test_a_payment_that_never_comes_is_noticed_and_still_counts_when_it_does(failing: Office) -> None:
    await failing.tell(failed())
    await failing.answer(UpdateReceivable, OVERDUE)
    await failing.answer(OpenIntervention, OPENED)
    await failing.clock.advance(timedelta(days=30).total_seconds())
    (due,) = await failing.instances.due(PAYMENT_FAILURE.name, failing.clock.now(), 10)
    assert (due.timer.step, due.timer.arm) == ("payment", 1)
    await failing.tell(
        ProcessAction(
            instance_id=due.instance_id,
            process=PAYMENT_FAILURE.name,
            action=ProcessActionKind.TIMER,
            step="payment",
            arm=1,
            requested_by="timer",
            aggregate_version=1,
        )
    )
    late = await failing.instance()
    assert late.state is ProcessState.WAITING
    assert late.steps["payment"].late

    await failing.tell(PAID)
    assert failing.commands()[2:] == [UpdateReceivable, CloseIntervention]


FACTS: Sequence[Event] = (failed(1), failed(2), PAID, POSTED, APPLIED)


@pytest.mark.parametrize("order", list(permutations(range(len(FACTS)))), ids=str)
async def test_in_whatever_order_the_facts_come_both_sides_are_opened_and_closed_once(codec: Codec, order: tuple[int, ...]) -> None:
    """Each fact comes twice, too; whoever is asked answers after each."""
    office = Office(codec, PAYMENT_FAILURE)
    ledger = {"posted": False, "applied": False}

    answered = 0

    async def everybody_answers() -> None:
        nonlocal answered
        while answered < len(office.sent):
            sent = office.sent[answered]
            answered += 1
            await office.clock.advance(0.001)
            if isinstance(sent.body, OpenIntervention):
                await office.tell(OPENED, answers=sent.id, message_id=f"opened-{sent.id}")
            elif isinstance(sent.body, CloseIntervention):
                await office.tell(CLOSED, answers=sent.id, message_id=f"closed-{sent.id}")
            elif isinstance(sent.body, UpdateReceivable):
                needed = "posted" if sent.body.status is ReceivableStatus.OVERDUE else "applied"
                reply: Event = OVERDUE if needed == "posted" else SETTLED
                if not ledger[needed]:
                    problem = refusal("invoice", INVOICE, "not-yet")
                    reply = ReceivableUpdateRejected(invoice_id=INVOICE, problems=(problem,), aggregate_version=1)
                await office.tell(reply, answers=sent.id, message_id=f"receivable-{sent.id}")

    for number in order:
        fact = FACTS[number]
        ledger["posted"] |= fact is POSTED
        ledger["applied"] |= fact is APPLIED
        for _ in range(2):
            await office.clock.advance(0.001)
            await office.tell(fact, message_id=f"fact-{number}")
            await everybody_answers()

    found = await office.instance()
    assert found.state is ProcessState.COMPLETED, standing(found)
    assert (len(office.bodies(OpenIntervention)), len(office.bodies(CloseIntervention))) == (1, 1)


# -- posting and application


async def test_an_invoice_is_posted_as_billing_charged_it(codec: Codec) -> None:
    office = Office(codec, INVOICE_POSTING)
    await office.tell(ISSUED)
    (command,) = office.bodies(PostInvoice)
    assert (command.total_amount, command.tax_amount, command.lines) == (Decimal("125.0000"), Decimal("25.0000"), (LINE,))
    await office.answer(PostInvoice, POSTED)

    assert (await office.instance()).state is ProcessState.COMPLETED


@pytest.mark.parametrize(
    ("problem", "mended"),
    [
        (
            refusal("order", "SO-1", "unknown-order"),
            OrderActivated(order_id=ORDER, legal_entity=NO, activated_at=NOW, aggregate_version=1),
        ),
        (
            refusal("accounting-period", "no/2026-01", "period-closed"),
            AccountingPeriodChanged(
                period_id="no/2026-01",
                starts_on=date(2026, 1, 1),
                ends_on=date(2026, 1, 31),
                is_open=True,
                legal_entity=NO,
                aggregate_version=1,
            ),
        ),
    ],
)
async def test_a_refused_posting_is_held_until_what_it_names_has_changed(codec: Codec, problem: Problem, mended: Event) -> None:
    office = Office(codec, INVOICE_POSTING)
    await office.tell(ISSUED)
    await office.answer(PostInvoice, PostingRejected(invoice_id=INVOICE, problems=(problem,), aggregate_version=1))
    assert (await office.instance()).state is ProcessState.HELD

    await office.tell(mended)
    await office.answer(PostInvoice, POSTED)
    assert (await office.instance()).state is ProcessState.COMPLETED
    assert len({sent.id for sent in office.sent if isinstance(sent.body, PostInvoice)}) == 2


@pytest.mark.parametrize("first", ["refusal", "posted"])
async def test_a_payment_waits_for_its_invoice_whichever_is_heard_of_first(codec: Codec, first: str) -> None:
    office = Office(codec, PAYMENT_APPLICATION)
    refused = PostingRejected(
        invoice_id=INVOICE, payment_id=PAID.payment_id, problems=(refusal("invoice", INVOICE, "unknown-invoice"),), aggregate_version=1
    )
    await office.tell(PAID)
    if first == "posted":
        await office.tell(POSTED)
        await office.answer(ApplyPayment, refused)
    else:
        await office.answer(ApplyPayment, refused)
        await office.tell(POSTED)
    await office.answer(ApplyPayment, APPLIED)

    assert (await office.instance()).state is ProcessState.COMPLETED
    assert len(office.bodies(ApplyPayment)) == 2


# -- what is no process


def test_an_event_cannot_be_awaited_and_start(codec: Codec) -> None:
    with pytest.raises(ValueError, match="PaymentFailed"):
        Process(
            name="x",
            version=1,
            owner="o",
            starts=on(PaymentFailed, invoice_of_failure),
            sync_window=timedelta(1),
            steps=(Await("again", on(PaymentFailed, invoice_of_failure), within=timedelta(1)),),
        )


def test_a_reply_cannot_end_holds_of_its_own_process() -> None:
    with pytest.raises(ValueError, match="PaymentApplied"):
        Process(
            name="x",
            version=1,
            owner="o",
            starts=on(PaymentPosted, invoice_of_payment),
            sync_window=timedelta(1),
            resumed_by=(changes(PaymentApplied, "invoice", lambda event: event.invoice_id),),
            steps=(Step("apply", apply_payment),),
        )


def test_commands_are_known_without_running() -> None:
    assert Step("post", post_invoice).command is PostInvoice
