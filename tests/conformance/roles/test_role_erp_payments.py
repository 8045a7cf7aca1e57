"""Payments in the ERP's books: in parts, twice, after interruptions. Simulated and on a real Tryton."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal

import pytest
from role_bench import NOW, Bench, Desk, fresh
from role_books import CLOSING, codes, leave_draft, leave_payment, rest_of
from role_jobs import (
    NO,
    apply_payment,
    in_books,
    payment_of,
    post_invoice,
    posted_invoice,
)

from connectors.erp.tryton.book_records import StatementState
from integration_fabric.messages.invoices import (
    InvoicePosted,
    PostingRejected,
    PostInvoice,
)
from integration_fabric.messages.payments import PaymentApplied


async def test_a_payment_into_a_closed_period_is_refused_and_leaves_nothing(erp: Bench, closed: str) -> None:
    invoice = await posted_invoice(erp)
    command = payment_of(invoice, paid_at=datetime.combine(CLOSING, NOW().timetz()))

    reply = await erp.call(command)

    assert isinstance(reply, PostingRejected)
    assert reply.payment_id == command.payment_id
    assert codes(reply) == [("accounting-period", closed, "period-closed")]
    assert await erp.client.payments.find(command.payment_id) is None
    await erp.client.open_period(NO, CLOSING)
    assert isinstance(await erp.call(command), PaymentApplied)


async def test_a_payment_into_a_journal_that_stayed_closed_is_refused_and_leaves_nothing(erp: Bench) -> None:
    day = datetime.combine(CLOSING, NOW().timetz())
    assert isinstance(await erp.call(payment_of(await posted_invoice(erp), paid_at=day)), PaymentApplied)
    command = payment_of(await posted_invoice(erp), paid_at=day)
    period = await erp.client.close_period(NO, CLOSING)
    await erp.client.periods.press(period, "reopen")
    try:
        reply = await erp.call(command)
    finally:
        await erp.client.open_period(NO, CLOSING)

    assert isinstance(reply, PostingRejected)
    assert codes(reply) == [("accounting-period", f"NO/{period.name}", "period-closed")]
    assert await erp.client.payments.find(command.payment_id) is None
    assert isinstance(await erp.call(command), PaymentApplied)


async def test_a_payment_pays_the_invoice(erp: Bench) -> None:
    command = await apply_payment(erp)

    reply = await erp.call(command)

    assert isinstance(reply, PaymentApplied)
    assert (reply.amount, reply.open_amount, reply.currency) == (command.amount, Decimal(0), "NOK")
    row = (await rest_of(erp).search("account.invoice", [["reference", "=", command.invoice_id]], ["state", "reconciled"])).rows[0]
    assert row["state"] == "paid"
    assert row["reconciled"] is not None


async def test_payments_in_parts_leave_what_is_open(erp: Bench) -> None:
    invoice = await posted_invoice(erp)
    parts = [Decimal("50.00"), Decimal("25.00"), invoice.total_amount - 75]

    replies = [await erp.call(payment_of(invoice, part)) for part in parts]

    assert [reply.open_amount for reply in replies if isinstance(reply, PaymentApplied)] == [
        invoice.total_amount - 50,
        invoice.total_amount - 75,
        Decimal(0),
    ]
    assert (await rest_of(erp).search("account.invoice", [["reference", "=", invoice.invoice_id]], ["state"])).rows[0]["state"] == "paid"


async def test_a_payment_that_is_sent_again_after_others_is_the_same(erp: Bench) -> None:
    invoice = await posted_invoice(erp)
    first = payment_of(invoice, Decimal("50.00"))
    applied = await erp.call(first)
    await erp.call(payment_of(invoice, invoice.total_amount - 50))

    again = await erp.call(first)

    assert isinstance(applied, PaymentApplied)
    assert isinstance(again, PaymentApplied)
    assert (again.native_id, again.amount) == (applied.native_id, applied.amount)
    assert (await in_books(erp, invoice.invoice_id)).open == 0


@pytest.mark.parametrize("amount", ["0.01", "1000"], ids=["after it was paid", "more than is owed"])
async def test_what_is_more_than_the_invoice_is_refused(erp: Bench, amount: str) -> None:
    invoice = await posted_invoice(erp)
    if amount == "0.01":
        await erp.call(payment_of(invoice))
    command = payment_of(invoice, Decimal(amount))
    before = (await in_books(erp, invoice.invoice_id)).open

    reply = await erp.call(command)

    assert isinstance(reply, PostingRejected)
    assert codes(reply) == [("invoice", invoice.invoice_id, "already-paid")]
    assert (await in_books(erp, invoice.invoice_id)).open == before
    assert await erp.client.payments.find(command.payment_id) is None


async def test_a_payment_of_an_invoice_that_is_not_posted_is_refused_at_once(erp: Bench) -> None:
    invoice = await post_invoice(erp)
    command = payment_of(invoice)
    assert codes(await erp.call(command)) == [("invoice", invoice.invoice_id, "unknown-invoice")]
    await leave_draft(erp, invoice)
    assert codes(await erp.call(command)) == [("invoice", invoice.invoice_id, "unknown-invoice")]

    await erp.call(invoice)

    assert isinstance(await erp.call(command), PaymentApplied)


async def test_a_payment_in_another_currency_is_refused(erp: Bench) -> None:
    invoice = await posted_invoice(erp)

    reply = await erp.call(payment_of(invoice, currency="USD"))

    assert codes(reply) == [("invoice", invoice.invoice_id, "currency-mismatch")]


async def test_the_same_id_for_another_amount_is_never_silent(erp: Bench) -> None:
    invoice = await posted_invoice(erp)
    first = payment_of(invoice, Decimal("50.00"))
    await erp.call(first)

    reply = await erp.call(first.model_copy(update={"amount": Decimal("60.00")}))

    assert codes(reply) == [("invoice", invoice.invoice_id, "amount-mismatch")]
    assert (await in_books(erp, invoice.invoice_id)).open == invoice.total_amount - 50


@pytest.mark.parametrize("stopped_at", [StatementState.DRAFT, StatementState.VALIDATED])
async def test_a_payment_that_was_booked_half_is_gone_on_from(erp: Bench, stopped_at: StatementState) -> None:
    command = await apply_payment(erp)
    left = await leave_payment(erp, command)
    if stopped_at is StatementState.VALIDATED:
        await rest_of(erp).press("account.statement", left.id, button="validate_statement", fields=["id"], company=left.company)
    assert await erp.read_back(command) is None

    reply = await erp.call(command)

    assert isinstance(reply, PaymentApplied)
    assert reply.native_id == str(left.id)
    assert (await in_books(erp, command.invoice_id)).open == 0


async def test_a_payment_whose_invoice_others_paid_meanwhile_is_taken_away(erp: Bench) -> None:
    """It was drafted, and the worker died; another payment came first."""
    late = await apply_payment(erp)
    await leave_payment(erp, late)
    first = late.model_copy(update={"payment_id": fresh("PAY")})
    assert isinstance(await erp.call(first), PaymentApplied)

    reply = await erp.call(late)

    assert codes(reply) == [("invoice", late.invoice_id, "already-paid")]
    assert await erp.client.payments.find(late.payment_id) is None
    assert (await in_books(erp, late.invoice_id)).open == 0


async def test_a_leftover_of_one_payment_does_not_hold_up_others(erp: Bench) -> None:
    left = await apply_payment(erp)
    await leave_payment(erp, left)
    await erp.call(left.model_copy(update={"payment_id": fresh("PAY")}))

    assert isinstance(await erp.call(await apply_payment(erp)), PaymentApplied)


async def test_two_payments_of_the_whole_at_once_pay_it_once(erp: Bench, desk: Desk) -> None:
    first = await apply_payment(erp)
    payments = [first, first.model_copy(update={"payment_id": fresh("PAY")})]

    await asyncio.gather(*(desk.carry_out(erp, payment) for payment in payments), return_exceptions=True)
    replies = [(await desk.carry_out(erp, payment)).reply for payment in payments]

    assert sorted(type(reply).__name__ for reply in replies) == ["PaymentApplied", "PostingRejected"], replies
    assert (await in_books(erp, first.invoice_id)).open == 0


async def test_many_invoices_and_payments_at_once_are_all_booked(erp: Bench, desk: Desk) -> None:
    invoices = [await post_invoice(erp) for _ in range(6)]
    gate = asyncio.Semaphore(2)

    async def through(invoice: PostInvoice) -> None:
        async with gate:
            assert isinstance((await desk.carry_out(erp, invoice)).reply, InvoicePosted)
            halves = [payment_of(invoice, Decimal("60.00")), payment_of(invoice, invoice.total_amount - 60)]
            for half in halves:
                assert isinstance((await desk.carry_out(erp, half)).reply, PaymentApplied)

    await asyncio.gather(*map(through, invoices))

    found = await erp.reader.invoices([invoice.invoice_id for invoice in invoices])
    assert [(each.is_posted, each.open) for invoice in invoices for each in found[invoice.invoice_id]] == [(True, Decimal(0))] * 6
