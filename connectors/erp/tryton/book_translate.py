"""Canonical commands about invoices and payments ↔ the records of Tryton's books. Pure; the actions call it with what they have read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from connectors.erp.tryton.book_records import (
    BookedProduct,
    BookedTax,
    Currency,
    Debtor,
    Invoice,
    InvoiceState,
    NewInvoice,
    NewInvoiceLine,
    NewInvoiceTax,
    NewPayment,
    Period,
    Statement,
    StatementState,
)
from connectors.erp.tryton.records import Company, Sale, SaleState
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.messages.invoices import InvoiceLine, InvoicePosted, PostingRejected, PostInvoice
from integration_fabric.messages.payments import ApplyPayment, PaymentApplied
from integration_fabric.messages.problems import Problem

PRICE_PLACES = 4
"""At most so many decimals of a unit price in Tryton."""


@dataclass(frozen=True, slots=True)
class Books:
    """What Tryton knows of what an invoice names. What it does not know is None, or is missing."""

    company: Company | None
    currency: Currency | None
    customer: Debtor | None
    order: Sale | None
    period: Period | None
    products: Mapping[str, BookedProduct]
    taxes: Mapping[str, BookedTax]
    journal: int | None


# Invoices


def posting_problems(command: PostInvoice, known: Books) -> tuple[Problem, ...]:
    """Everything that is missing or wrong; empty where the invoice can be posted."""
    in_lines = (problem for number, line in enumerate(command.lines) for problem in _line_problems(line, f"lines[{number}]", known))
    return (*_head_problems(command, known), *in_lines, *_amount_problems(command, known))


def _head_problems(command: PostInvoice, known: Books) -> Iterator[Problem]:
    if command.order_id and (known.order is None or known.order.state is SaleState.CANCELLED):
        hint = "book the order in the ERP: there is no sale with this reference, or it is cancelled"
        yield Problem(entity="order", id=command.order_id, field="order_id", code="unknown-order", hint=hint)
    if known.customer is None and known.company is not None:
        hint = "add a party with this code, or take it into use again"
        yield Problem(entity="customer", id=command.customer_id, field="customer_id", code="unknown-customer", hint=hint)
    elif known.customer is not None and known.customer.address is None:
        hint = "give the party an address: an invoice cannot be made without one"
        yield Problem(entity="customer", id=command.customer_id, field="customer_id", code="customer-without-address", hint=hint)
    if known.currency is None:
        hint = "add the currency, or correct the invoice"
        yield Problem(entity="currency", id=command.currency, field="currency", code="unknown-currency", hint=hint)
    if known.company is None:
        hint = "add the company, with this as the code of its party, and let the integration's user see it"
        yield Problem(entity="legal-entity", id=command.legal_entity, field="legal_entity", code="unknown-legal-entity", hint=hint)
    else:
        yield from _period_problems(command.legal_entity, command.issued_on, known.period, "issued_on")
        yield from _own_account_problems(command, known)


def _own_account_problems(command: PostInvoice, known: Books) -> Iterator[Problem]:
    if known.customer is not None and known.customer.account is None:
        hint = "set a default receivable account for the company, or one for the party"
        yield Problem(entity="account", id=command.customer_id, field="customer_id", code="unknown-account", hint=hint)
    if known.journal is None:
        hint = "add a journal of the type revenue"
        yield Problem(entity="journal", id="revenue", field="legal_entity", code="unknown-journal", hint=hint)


def _period_problems(legal_entity: str, day: date, period: Period | None, field: str) -> Iterator[Problem]:
    if period is None:
        hint = f"open a fiscal year with a period for {day}"
        identity = period_id(legal_entity, f"{day:%Y-%m}")
        yield Problem(entity="accounting-period", id=identity, field=field, code="period-closed", hint=hint)
    elif not period.is_open:
        hint = f"period {period.name} is {period.state}: reopen it, or correct the date"
        identity = period_id(legal_entity, period.name)
        yield Problem(entity="accounting-period", id=identity, field=field, code="period-closed", hint=hint)


def journal_problem(legal_entity: str, period: Period, journals: Collection[str], field: str) -> Problem:
    """A period is open, and journals that were closed with it are not."""
    names = ", ".join(sorted(journals))
    hint = f"period {period.name} is open, but not for the journal {names}: reopen that for the period, too"
    return Problem(entity="accounting-period", id=period_id(legal_entity, period.name), field=field, code="period-closed", hint=hint)


def _line_problems(line: InvoiceLine, where: str, known: Books) -> Iterator[Problem]:
    if known.company is None:
        return
    product, tax = known.products.get(line.product_id), known.taxes.get(line.tax_code)
    if product is None:
        hint = "add a product with this code, or take it into use again"
        yield Problem(entity="product", id=line.product_id, field=f"{where}.product_id", code="unknown-product", hint=hint)
    elif product.revenue_account is None:
        hint = "give the product's accounting category a revenue account in this company"
        yield Problem(entity="account", id=line.product_id, field=f"{where}.product_id", code="unknown-account", hint=hint)
    if tax is None:
        hint = "add a tax with this name to the company, or take it into use again"
        yield Problem(entity="tax-code", id=line.tax_code, field=f"{where}.tax_code", code="unknown-tax-code", hint=hint)
    elif tax.invoice_account is None or tax.credit_note_account is None:
        hint = "give the tax its accounts"
        yield Problem(entity="account", id=line.tax_code, field=f"{where}.tax_code", code="unknown-account", hint=hint)


def _amount_problems(command: PostInvoice, known: Books) -> Iterator[Problem]:
    """What does not add up in the command itself: it could only be posted with another amount."""
    if not command.lines:
        yield _about(command, field="lines", code="no-lines", hint="there is nothing to post")
    elif known.currency is not None:
        tax = sum(in_steps(known.currency, [line.tax_amount for line in command.lines]))
        untaxed = sum(in_steps(known.currency, [line.amount for line in command.lines]))
        if tax != command.tax_amount or untaxed + tax != command.total_amount:
            says = f"{command.total_amount} with {command.tax_amount} of tax"
            hint = f"the lines add up to {untaxed} and {tax} of tax, the invoice says {says}"
            yield _about(command, field="total_amount", code="amount-mismatch", hint=hint)


def mismatch(command: PostInvoice, invoice: Invoice) -> Problem | None:
    """Whether an invoice in Tryton has other amounts than billing's: it must never pass for the same."""
    untaxed = command.total_amount - command.tax_amount
    if (invoice.untaxed_amount, invoice.tax_amount, invoice.total_amount) == (untaxed, command.tax_amount, command.total_amount):
        return None
    there = f"{invoice.state} invoice {invoice.number or invoice.id} in the ERP: {invoice.total_amount} with {invoice.tax_amount} of tax"
    hint = f"{there}; in billing: {command.total_amount} with {command.tax_amount}"
    return _about(command, field="total_amount", code="amount-mismatch", hint=hint)


def posting_refused(command: PostInvoice, words: str) -> Problem:
    """Tryton's own words, where nothing that is known explains them."""
    return _about(command, field="invoice_id", code="refused-by-erp", hint=words)


def invoice_cancelled(command: PostInvoice) -> Problem:
    """Somebody has cancelled it in Tryton: a late command does not bring it back."""
    return _about(command, field="invoice_id", code="invoice-cancelled", hint="it was cancelled in the ERP")


def _about(command: PostInvoice, *, field: str, code: str, hint: str) -> Problem:
    return Problem(entity="invoice", id=command.invoice_id, field=field, code=code, hint=hint)


def posting_rejected(command: PostInvoice, problems: Sequence[Problem], now: datetime) -> PostingRejected:
    """The refusal."""
    return PostingRejected(invoice_id=command.invoice_id, problems=tuple(problems), aggregate_version=version_at(now))


def posted(command: PostInvoice, invoice: Invoice) -> InvoicePosted:
    """The reply to an invoice that is in the books."""
    return InvoicePosted(
        invoice_id=command.invoice_id,
        legal_entity=command.legal_entity,
        currency=command.currency,
        native_id=str(invoice.id),
        number=invoice.number or "",
        total_amount=invoice.total_amount,
        posted_on=invoice.booked_on or invoice.invoice_date or command.issued_on,
        aggregate_version=version_at(invoice.booked_at or invoice.changed_at),
    )


def new_invoice(command: PostInvoice, known: Books) -> NewInvoice:
    """The invoice as Tryton is to have it; `posting_problems` found none."""
    assert known.company is not None
    assert known.customer is not None
    assert known.customer.address is not None
    assert known.currency is not None
    assert known.customer.account is not None
    assert known.journal is not None
    amounts = in_steps(known.currency, [line.amount for line in command.lines])
    taxes = in_steps(known.currency, [line.tax_amount for line in command.lines])
    charged = list(zip(command.lines, amounts, taxes, strict=True))
    return NewInvoice(
        reference=command.invoice_id,
        company=known.company.id,
        currency=known.currency.id,
        party=known.customer.id,
        address=known.customer.address,
        account=known.customer.account,
        journal=known.journal,
        issued_on=command.issued_on,
        due_on=command.due_on,
        lines=tuple(_line(line, amount, known) for line, amount, _ in charged),
        taxes=tuple(_taxes(charged, known)),
        description="; ".join(part for part in (command.number, command.order_id or "") if part),
    )


def in_steps(currency: Currency, amounts: Sequence[Decimal]) -> list[Decimal]:
    """Amounts as the currency can say them, which add up to their rounded sum: what one is rounded by, the next ones make good."""
    rounded: list[Decimal] = []
    exact = said = Decimal(0)
    for amount in amounts:
        exact += amount
        rounded.append(currency.rounded(exact) - said)
        said += rounded[-1]
    return rounded


def _line(line: InvoiceLine, amount: Decimal, known: Books) -> NewInvoiceLine:
    """As billing has it where Tryton comes to the same amount; otherwise once the amount, with the quantity in its description."""
    assert known.currency is not None
    product = known.products[line.product_id]
    assert product.revenue_account is not None
    if _sayable(line, product.unit_digits) and known.currency.rounded(line.quantity * line.unit_price) == amount:
        return NewInvoiceLine(product.id, product.unit, product.revenue_account, line.quantity, line.unit_price, line.description)
    description = f"{line.description} ({line.quantity.normalize():f} x {line.unit_price.normalize():f})"
    return NewInvoiceLine(product.id, product.unit, product.revenue_account, Decimal(1), amount, description)


def _sayable(line: InvoiceLine, unit_digits: int) -> bool:
    """Whether Tryton can keep quantity and price as they are; it keeps quantities as floats."""
    fits = _places(line.quantity) <= unit_digits and _places(line.unit_price) <= PRICE_PLACES
    return fits and Decimal(str(float(line.quantity))) == line.quantity


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _taxes(charged: Sequence[tuple[InvoiceLine, Decimal, Decimal]], known: Books) -> Iterator[NewInvoiceTax]:
    """One for each tax code, in the order in which they come."""
    for code in dict.fromkeys(line.tax_code for line, _, _ in charged):
        tax = known.taxes[code]
        base = sum((amount for line, amount, _ in charged if line.tax_code == code), Decimal(0))
        amount = sum((amount for line, _, amount in charged if line.tax_code == code), Decimal(0))
        account = tax.account_for(base)
        assert account is not None
        yield NewInvoiceTax(tax.id, account, tax.description, base, amount)


# Payments


def payment_problems(command: ApplyPayment, invoice: Invoice | None, period: Period | None, journal: int | None) -> tuple[Problem, ...]:
    """Why a payment cannot be booked; empty where it can."""
    if invoice is None or not invoice.in_books:
        hint = "it is not posted in the ERP yet"
        return (_of_payment(command, field="invoice_id", code="unknown-invoice", hint=hint),)
    return (*_money_problems(command, invoice, journal), *_period_problems(command.legal_entity, paid_on(command), period, "paid_at"))


def _money_problems(command: ApplyPayment, invoice: Invoice, journal: int | None) -> Iterator[Problem]:
    if command.currency != invoice.currency_code:
        hint = f"the invoice is in {invoice.currency_code}"
        yield _of_payment(command, field="currency", code="currency-mismatch", hint=hint)
    elif command.amount <= 0:
        yield _of_payment(command, field="amount", code="amount-not-positive", hint="there is nothing to book")
    elif command.amount > invoice.amount_to_pay:
        yield already_paid(command, invoice.amount_to_pay)
    if journal is None:
        hint = f"add a statement journal named Billing collections {command.currency} to the company"
        yield Problem(entity="journal", id=command.currency, field="currency", code="unknown-journal", hint=hint)


def already_paid(command: ApplyPayment, left: Decimal) -> Problem:
    """The invoice leaves less to pay than the payment is."""
    hint = f"{left} {command.currency} is left to pay of the invoice: see to the money that came for nothing"
    return _of_payment(command, field="amount", code="already-paid", hint=hint)


def other_payment(command: ApplyPayment, statement: Statement, invoice: Invoice | None) -> Problem | None:
    """Whether what stands under this payment's id is another payment: of another amount, or of another invoice."""
    if statement.amount == command.amount and invoice is not None and statement.invoice == invoice.id:
        return None
    hint = f"statement {statement.id} in the ERP has this payment's id, with an amount of {statement.amount}"
    return _of_payment(command, field="amount", code="amount-mismatch", hint=hint)


def payment_refused(command: ApplyPayment, words: str) -> Problem:
    """Tryton's own words, where nothing that is known explains them."""
    return _of_payment(command, field="payment_id", code="refused-by-erp", hint=words)


def payment_rejected(command: ApplyPayment, problems: Sequence[Problem], now: datetime) -> PostingRejected:
    """The refusal."""
    return PostingRejected(
        invoice_id=command.invoice_id, payment_id=command.payment_id, problems=tuple(problems), aggregate_version=version_at(now)
    )


def _of_payment(command: ApplyPayment, *, field: str, code: str, hint: str) -> Problem:
    return Problem(entity="invoice", id=command.invoice_id, field=field, code=code, hint=hint)


def new_payment(command: ApplyPayment, invoice: Invoice, journal: int) -> NewPayment:
    """The payment as Tryton is to have it."""
    return NewPayment(command.payment_id, journal, paid_on(command), shortest(command.amount), command.method, invoice)


def shortest(amount: Decimal) -> Decimal:
    """An amount without the zeros that it has from the wire: Tryton counts them as digits, of which a currency has two at the most."""
    return amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount.normalize()


def paid_on(command: ApplyPayment) -> date:
    """The day of a payment, UTC."""
    return command.paid_at.astimezone(UTC).date()


def applied(command: ApplyPayment, statement: Statement, invoice: Invoice) -> PaymentApplied:
    """The reply to a payment that is booked."""
    return PaymentApplied(
        payment_id=command.payment_id,
        invoice_id=command.invoice_id,
        legal_entity=command.legal_entity,
        currency=command.currency,
        native_id=str(statement.id),
        amount=statement.amount,
        open_amount=invoice.amount_to_pay,
        aggregate_version=version_at(statement.changed_at),
    )


def is_booked(statement: Statement | None) -> bool:
    """Whether a payment is through."""
    return statement is not None and statement.state is StatementState.POSTED


def period_id(legal_entity: str, name: str) -> str:
    """Canonical id of an accounting period: the legal entity and Tryton's name of the period, e.g. `NO/2026-01`."""
    return f"{legal_entity}/{name}"


def is_cancelled(invoice: Invoice | None) -> bool:
    """Whether an invoice was taken back in Tryton."""
    return invoice is not None and invoice.state is InvoiceState.CANCELLED
