"""Receivables in the ERP: overdue, disputed, paid, as dunning shows them. Simulated and on a real Tryton."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from role_bench import Bench, Desk, LosesAnswer, fresh
from role_books import codes, rest_of
from role_jobs import (
    apply_payment,
    in_books,
    payment_of,
    posted_invoice,
    receivable,
)

from integration_fabric.messages.invoices import (
    PostInvoice,
    ReceivableStatus,
    ReceivableUpdated,
    ReceivableUpdateRejected,
)


async def test_overdue_stands_in_dunning_with_the_reason(erp: Bench) -> None:
    invoice = await posted_invoice(erp)
    assert not (await in_books(erp, invoice.invoice_id)).is_overdue

    reply = await erp.call(receivable(invoice.invoice_id, ReceivableStatus.OVERDUE))

    assert isinstance(reply, ReceivableUpdated)
    assert reply.status is ReceivableStatus.OVERDUE
    assert (await in_books(erp, invoice.invoice_id)).is_overdue
    dunnings = await dunnings_of(erp, invoice)
    assert [(row["procedure"]["name"], row["blocked"]) for row in dunnings] == [("Payment failed", False)]
    notes = await rest_of(erp).search("ir.note", [["resource", "=", f"account.dunning,{dunnings[0]['id']}"]], ["message"])
    assert [row["message"] for row in notes.rows] == ["card declined"]


async def test_disputed_is_blocked_and_open_is_gone(erp: Bench) -> None:
    invoice = await posted_invoice(erp)
    await erp.call(receivable(invoice.invoice_id, ReceivableStatus.OVERDUE))

    await erp.call(receivable(invoice.invoice_id, ReceivableStatus.DISPUTED))
    assert [bool(row["blocked"]) for row in await dunnings_of(erp, invoice)] == [True]
    assert not (await in_books(erp, invoice.invoice_id)).is_overdue

    await erp.call(receivable(invoice.invoice_id, ReceivableStatus.OVERDUE))
    assert [bool(row["blocked"]) for row in await dunnings_of(erp, invoice)] == [False]

    reply = await erp.call(receivable(invoice.invoice_id, ReceivableStatus.OPEN))
    assert isinstance(reply, ReceivableUpdated)
    assert await dunnings_of(erp, invoice) == []


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_clearing_is_done_whatever_is_lost(erp: Bench, desk: Desk, lost: str) -> None:
    invoice = await posted_invoice(erp)
    await erp.call(receivable(invoice.invoice_id, ReceivableStatus.OVERDUE))

    async with erp.through(LosesAnswer(1, lost)) as client:
        carried = await desk.carry_out(erp, receivable(invoice.invoice_id, ReceivableStatus.OPEN), client=client)

    assert isinstance(carried.reply, ReceivableUpdated)
    assert await dunnings_of(erp, invoice) == []


async def test_paid_waits_for_the_payment_and_then_clears_the_dunning(erp: Bench) -> None:
    invoice = await posted_invoice(erp)
    await erp.call(receivable(invoice.invoice_id, ReceivableStatus.OVERDUE))
    await erp.call(payment_of(invoice, Decimal("50.00")))
    paid = receivable(invoice.invoice_id, ReceivableStatus.PAID)

    refused = await erp.call(paid)
    assert isinstance(refused, ReceivableUpdateRejected)
    assert codes(refused) == [("invoice", invoice.invoice_id, "payment-not-applied")]
    assert (await in_books(erp, invoice.invoice_id)).is_overdue

    await erp.call(payment_of(invoice, invoice.total_amount - 50))

    assert isinstance(await erp.call(paid), ReceivableUpdated)
    assert await dunnings_of(erp, invoice) == []
    assert not (await in_books(erp, invoice.invoice_id)).is_overdue


@pytest.mark.parametrize("status", [ReceivableStatus.OVERDUE, ReceivableStatus.DISPUTED])
async def test_a_late_overdue_of_a_paid_invoice_leaves_it_paid(erp: Bench, status: ReceivableStatus) -> None:
    """The payment was faster than the failure before it: nobody is to hold for that."""
    command = await apply_payment(erp)
    await erp.call(command)

    reply = await erp.call(receivable(command.invoice_id, status))

    assert isinstance(reply, ReceivableUpdated)
    assert reply.status is ReceivableStatus.PAID
    assert not (await in_books(erp, command.invoice_id)).is_overdue


@pytest.mark.parametrize("status", [ReceivableStatus.OVERDUE, ReceivableStatus.PAID, ReceivableStatus.OPEN, ReceivableStatus.DISPUTED])
async def test_a_receivable_that_is_not_posted_is_unknown(erp: Bench, status: ReceivableStatus) -> None:
    invoice_id = fresh("INV")

    reply = await erp.call(receivable(invoice_id, status))

    assert isinstance(reply, ReceivableUpdateRejected)
    assert codes(reply) == [("invoice", invoice_id, "unknown-invoice")]


async def dunnings_of(erp: Bench, invoice: PostInvoice) -> list[dict[str, Any]]:
    """The active ones, as people see them."""
    lines = (await rest_of(erp).search("account.invoice", [["reference", "=", invoice.invoice_id]], ["lines_to_pay"])).rows[0][
        "lines_to_pay"
    ]
    page = await rest_of(erp).search("account.dunning", [["line", "in", lines]], ["blocked", "procedure.name"])
    return list(page.rows)
