"""How a receivable stands → Tryton's dunning, where its users look for what they must see to."""

from __future__ import annotations

from datetime import datetime

from connectors.erp.tryton.actions import TIMEOUT, WRITERS
from connectors.erp.tryton.book_records import Invoice, InvoiceState
from connectors.erp.tryton.dunnings import PROCEDURE
from connectors.erp.tryton.erp import TrytonErp
from connectors.erp.tryton.failures import judged
from connectors.erp.tryton.rest import TrytonRefused
from integration_fabric.connector_kit.actions import action
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.invoices import ReceivableStatus, ReceivableUpdated, ReceivableUpdateRejected, UpdateReceivable
from integration_fabric.messages.problems import Problem
from integration_fabric.runtime.context import Context

_IN_DUNNING = frozenset({ReceivableStatus.OVERDUE, ReceivableStatus.DISPUTED})


@action(Strategy.UPSERT, in_flight=WRITERS, timeout=TIMEOUT)
async def update_receivable(command: UpdateReceivable, call: Context[TrytonErp]) -> ReceivableUpdated | ReceivableUpdateRejected:
    """Overdue: in dunning. Disputed: in dunning, blocked. Open: out of it. Paid: Tryton takes it out itself, once it is paid there.

    One that is paid by the time that it is to be dunned stays as it is, and the reply says so: the payment was faster.
    """
    invoice = await judged(call.needs.invoices.find(command.invoice_id))
    problem = receivable_problem(command, invoice)
    if problem is not None or invoice is None:
        return _rejected(command, problem, call.now)
    try:
        if command.status in _IN_DUNNING:
            return _paid_meanwhile(command, invoice) or await _dunned(command, invoice, call)
        # One that was dunned in the very moment of its payment is taken out here; the others Tryton takes out itself.
        await judged(call.needs.dunnings.clear(invoice))
        if command.status is ReceivableStatus.OPEN:
            return _updated(command, call.now)
    except TrytonRefused as refused:
        now = await judged(call.needs.invoices.find(command.invoice_id))
        paid = _paid_meanwhile(command, now) if now is not None and command.status in _IN_DUNNING else None
        return paid or _rejected(command, _about(command, "refused-by-erp", refused.message), call.now)
    return _updated(command, (await judged(call.needs.invoices.settle(invoice))).changed_at)


def receivable_problem(command: UpdateReceivable, invoice: Invoice | None) -> Problem | None:
    """Why the receivable cannot be shown like this, if it cannot."""
    if invoice is None or not invoice.in_books:
        return _about(command, "unknown-invoice", "it is not posted in the ERP yet")
    if command.status is ReceivableStatus.PAID and not is_paid(invoice):
        return _about(command, "payment-not-applied", f"{invoice.amount_to_pay} {invoice.currency_code} is left to pay of it in the ERP")
    if command.status is ReceivableStatus.UNKNOWN:
        return Problem(
            entity="invoice", id=command.invoice_id, field="status", code="unknown-status", hint="say which state is to be shown"
        )
    return None


def is_paid(invoice: Invoice) -> bool:
    """Whether nothing is left to pay of it."""
    return invoice.is_reconciled or invoice.state is InvoiceState.PAID


def _paid_meanwhile(command: UpdateReceivable, invoice: Invoice) -> ReceivableUpdated | None:
    if not is_paid(invoice):
        return None
    return ReceivableUpdated(invoice_id=command.invoice_id, status=ReceivableStatus.PAID, aggregate_version=version_at(invoice.changed_at))


async def _dunned(command: UpdateReceivable, invoice: Invoice, call: Context[TrytonErp]) -> ReceivableUpdated | ReceivableUpdateRejected:
    dunnings = call.needs.dunnings
    level = await judged(dunnings.find_level())
    if level is None:
        hint = "add a dunning procedure of this name, with one level"
        problem = Problem(entity="dunning-procedure", id=PROCEDURE, field="status", code="unknown-dunning-procedure", hint=hint)
        return _rejected(command, problem, call.now)
    shown = await judged(dunnings.show(invoice, level, blocked=command.status is ReceivableStatus.DISPUTED))
    if command.reason:
        await judged(dunnings.note(shown, command.reason))
    return _updated(command, shown.changed_at)


def _about(command: UpdateReceivable, code: str, hint: str) -> Problem:
    return Problem(entity="invoice", id=command.invoice_id, field="invoice_id", code=code, hint=hint)


def _updated(command: UpdateReceivable, at: datetime) -> ReceivableUpdated:
    return ReceivableUpdated(invoice_id=command.invoice_id, status=command.status, aggregate_version=version_at(at))


def _rejected(command: UpdateReceivable, problem: Problem | None, now: datetime) -> ReceivableUpdateRejected:
    problems = (problem,) if problem else ()
    return ReceivableUpdateRejected(invoice_id=command.invoice_id, problems=problems, aggregate_version=version_at(now))
