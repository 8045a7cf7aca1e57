"""Commands about invoices and payments → Tryton's books. Each begins with looking what is there, and a refusal leaves nothing behind."""

from __future__ import annotations

from datetime import date

from connectors.erp.tryton.actions import TIMEOUT, WRITERS
from connectors.erp.tryton.book_records import Invoice, Statement, StatementState
from connectors.erp.tryton.book_translate import (
    Books,
    already_paid,
    applied,
    invoice_cancelled,
    is_booked,
    is_cancelled,
    journal_problem,
    mismatch,
    new_invoice,
    new_payment,
    other_payment,
    paid_on,
    payment_problems,
    payment_refused,
    payment_rejected,
    posted,
    posting_problems,
    posting_refused,
    posting_rejected,
)
from connectors.erp.tryton.erp import TrytonErp
from connectors.erp.tryton.failures import judged
from connectors.erp.tryton.rest import TrytonRefused
from integration_fabric.connector_kit.actions import action
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.errors import BadCredential
from integration_fabric.messages.invoices import InvoicePosted, PostingRejected, PostInvoice
from integration_fabric.messages.payments import ApplyPayment, PaymentApplied
from integration_fabric.messages.problems import Problem
from integration_fabric.runtime.context import Context

# Invoices


@action(Strategy.LOOKUP_FIRST, in_flight=WRITERS, timeout=TIMEOUT)
async def post_invoice(command: PostInvoice, call: Context[TrytonErp]) -> InvoicePosted | PostingRejected:
    """Draft, compare, post. A draft that an interrupted call left is gone on from."""
    erp = call.needs
    there = await judged(erp.invoices.find(command.invoice_id))
    if there is not None and there.in_books:
        wrong = mismatch(command, there)
        return posting_rejected(command, [wrong], call.now) if wrong else posted(command, there)
    if is_cancelled(there):
        return posting_rejected(command, [invoice_cancelled(command)], call.now)
    known = await _books(command, erp)
    problems = posting_problems(command, known)
    if not problems:
        try:
            draft = there if there is not None else await judged(erp.invoices.create(new_invoice(command, known)))
            wrong = mismatch(command, draft)
            if wrong is None:
                return _compared(command, await judged(erp.invoices.post(draft, command.issued_on)), call)
            problems = (wrong,)
        except TrytonRefused as refused:
            # Something has changed since it was read; where nothing has, Tryton's words are all there is to say.
            problems = posting_problems(command, await _books(command, erp)) or (posting_refused(command, refused.message),)
        except BadCredential:
            if not (problems := await _closed_journals(command.legal_entity, command.issued_on, "issued_on", erp)):
                raise
    await _discard_draft(command, erp)
    return posting_rejected(command, problems, call.now)


@post_invoice.read_back
async def find_posted(command: PostInvoice, call: Context[TrytonErp]) -> InvoicePosted | None:
    """By reference. A draft is not in the books: sending again goes on from it."""
    there = await judged(call.needs.invoices.find(command.invoice_id))
    return posted(command, there) if there and there.in_books and mismatch(command, there) is None else None


def _compared(command: PostInvoice, invoice: Invoice, call: Context[TrytonErp]) -> InvoicePosted | PostingRejected:
    """What is posted cannot be taken back here; a difference that arose at the last moment is at least said."""
    wrong = mismatch(command, invoice)
    return posting_rejected(command, [wrong], call.now) if wrong else posted(command, invoice)


async def _discard_draft(command: PostInvoice, erp: TrytonErp) -> None:
    there = await judged(erp.invoices.find(command.invoice_id))
    if there is not None and not there.in_books and not is_cancelled(there):
        await judged(erp.invoices.discard(there))


async def _books(command: PostInvoice, erp: TrytonErp) -> Books:
    """What Tryton knows of what is named, in five reads however many lines there are."""
    company = (await judged(erp.companies())).get(command.legal_entity)
    products = {line.product_id for line in command.lines}
    taxes = {line.tax_code for line in command.lines}
    return Books(
        company=company,
        currency=await judged(erp.invoices.find_currency(command.currency)),
        customer=await judged(erp.invoices.find_debtor(command.customer_id, company.id)) if company else None,
        order=await judged(erp.find_sale(command.order_id)) if command.order_id else None,
        period=await judged(erp.periods.find(company.id, command.issued_on)) if company else None,
        products=await judged(erp.invoices.find_products(products, company.id)) if company else {},
        taxes=await judged(erp.invoices.find_taxes(taxes, company.id)) if company else {},
        journal=await judged(erp.invoices.find_journal()),
    )


async def _closed_journals(legal_entity: str, day: date, field: str, erp: TrytonErp) -> tuple[Problem, ...]:
    """What Tryton may have meant by 403: it says so of a right that is missing, and of a journal that is closed for a period."""
    company = (await judged(erp.companies())).get(legal_entity)
    period = await judged(erp.periods.find(company.id, day)) if company else None
    journals = await judged(erp.periods.closed_journals(period)) if period else {}
    return (journal_problem(legal_entity, period, journals.values(), field),) if period and journals else ()


# Payments


@action(Strategy.LOOKUP_FIRST, in_flight=WRITERS, timeout=TIMEOUT)
async def apply_payment(command: ApplyPayment, call: Context[TrytonErp]) -> PaymentApplied | PostingRejected:
    """Draft, reconcile, post. What an interrupted call left is gone on from."""
    erp = call.needs
    invoice = await judged(erp.invoices.find(command.invoice_id))
    there = await judged(erp.payments.find(command.payment_id))
    if there is not None and is_booked(there):
        return await _booked(command, there, call)
    there = await _usable(command, there, invoice, erp)
    problems: tuple[Problem, ...] = ()
    if there is None or there.state is StatementState.DRAFT:
        problems = await _payment_problems(command, invoice, erp)
    if not problems:
        assert invoice is not None
        try:
            return await _carried_through(command, there, invoice, call)
        except TrytonRefused as refused:
            # Without our own entries the invoice says what it leaves to pay.
            await _discard_payment(command, erp)
            invoice = await judged(erp.invoices.find(command.invoice_id))
            problems = await _payment_problems(command, invoice, erp) or (payment_refused(command, refused.message),)
        except BadCredential:
            if not (problems := await _closed_journals(command.legal_entity, paid_on(command), "paid_at", erp)):
                raise
    await _discard_payment(command, erp)
    return payment_rejected(command, problems, call.now)


@apply_payment.read_back
async def find_applied(command: ApplyPayment, call: Context[TrytonErp]) -> PaymentApplied | None:
    """By id. What is not posted is not through: sending again goes on from it."""
    there = await judged(call.needs.payments.find(command.payment_id))
    invoice = await judged(call.needs.invoices.find(command.invoice_id))
    if there is None or invoice is None or not is_booked(there) or other_payment(command, there, invoice) is not None:
        return None
    return applied(command, there, invoice)


async def _carried_through(
    command: ApplyPayment, there: Statement | None, invoice: Invoice, call: Context[TrytonErp]
) -> PaymentApplied | PostingRejected:
    erp = call.needs
    if there is None:
        company = (await judged(erp.companies()))[command.legal_entity]
        journal = await judged(erp.payments.find_journal(company.id, command.currency))
        assert journal is not None
        there = await judged(erp.payments.create(new_payment(command, invoice, journal)))
    there = await judged(erp.payments.book(there))
    if is_booked(there):
        return await _booked(command, there, call)
    # Others paid the invoice between our look and our entry, and Tryton has taken the invoice from our payment.
    left = (await judged(erp.invoices.read(invoice.id))).amount_to_pay
    await judged(erp.payments.discard(there))
    return payment_rejected(command, [already_paid(command, left)], call.now)


async def _booked(command: ApplyPayment, statement: Statement, call: Context[TrytonErp]) -> PaymentApplied | PostingRejected:
    """The reply to what is posted under this id, which must be this payment."""
    invoice = await judged(call.needs.invoices.find(command.invoice_id))
    wrong = other_payment(command, statement, invoice)
    if wrong is not None or invoice is None:
        return payment_rejected(command, [wrong] if wrong else [], call.now)
    return applied(command, statement, await judged(call.needs.invoices.settle(invoice)))


async def _usable(command: ApplyPayment, there: Statement | None, invoice: Invoice | None, erp: TrytonErp) -> Statement | None:
    """What can be gone on from; anything else that an interrupted call left is taken away."""
    if there is None:
        return None
    if there.state is not StatementState.CANCELLED and other_payment(command, there, invoice) is None:
        return there
    await judged(erp.payments.discard(there))
    return None


async def _payment_problems(command: ApplyPayment, invoice: Invoice | None, erp: TrytonErp) -> tuple[Problem, ...]:
    company = (await judged(erp.companies())).get(command.legal_entity)
    if company is None:
        hint = "add the company, with this as the code of its party, and let the integration's user see it"
        return (Problem(entity="legal-entity", id=command.legal_entity, field="legal_entity", code="unknown-legal-entity", hint=hint),)
    period = await judged(erp.periods.find(company.id, paid_on(command)))
    return payment_problems(command, invoice, period, await judged(erp.payments.find_journal(company.id, command.currency)))


async def _discard_payment(command: ApplyPayment, erp: TrytonErp) -> None:
    there = await judged(erp.payments.find(command.payment_id))
    if there is not None and not is_booked(there):
        await judged(erp.payments.discard(there))
