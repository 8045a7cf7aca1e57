"""What the suites of the ERP's books share: what people do in Tryton, and what an interrupted call leaves there."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from role_bench import Bench

from connectors.erp.tryton.book_actions import _books
from connectors.erp.tryton.book_records import NewPayment
from connectors.erp.tryton.book_translate import new_invoice
from connectors.erp.tryton.rest import Rest
from integration_fabric.messages.invoices import (
    PostInvoice,
)
from integration_fabric.messages.payments import ApplyPayment

CLOSING = date(2027, 3, 10)
"""A day of a period that these tests close; no other test posts to it."""


def rest_of(erp: Bench) -> Rest:
    """Tryton's interface below the client: what people do in Tryton."""
    rest: Rest = erp.client._rest
    return rest


def codes(reply: object) -> list[tuple[str, str, str]]:
    return [(problem.entity, problem.id, problem.code) for problem in getattr(reply, "problems", ())]


async def entries_of(erp: Bench, command: PostInvoice) -> tuple[Decimal, Decimal]:
    """Sums of debits and credits of the invoice in the books."""
    page = await rest_of(erp).search(
        "account.invoice", [["reference", "=", command.invoice_id]], ["move.lines.debit", "move.lines.credit", "move.state"]
    )
    move = page.rows[0]["move"]
    assert move["state"] == "posted"
    return sum(line["debit"] for line in move["lines"]), sum(line["credit"] for line in move["lines"])


async def leave_draft(erp: Bench, command: PostInvoice) -> int:
    """What is left where a worker dies between creating and posting."""
    known = await _books(command, erp.client)
    draft = await erp.client.invoices.create(new_invoice(command, known))
    return int(draft.id)


async def leave_payment(erp: Bench, command: ApplyPayment) -> Any:
    """What is left where a worker dies between creating a payment and booking it."""
    invoice = await erp.client.invoices.find(command.invoice_id)
    company = (await erp.client.companies())[command.legal_entity]
    journal = await erp.client.payments.find_journal(company.id, command.currency)
    new = NewPayment(command.payment_id, journal, command.paid_at.date(), command.amount, command.method, invoice)
    return await erp.client.payments.create(new)
