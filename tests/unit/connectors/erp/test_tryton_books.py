"""Invoices and payments as Tryton is to have them: amounts to the cent, and every reason why it cannot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from connectors.erp.tryton.book_records import (
    BookedProduct,
    BookedTax,
    Currency,
    Debtor,
    Invoice,
    InvoiceState,
    Period,
    PeriodState,
    Statement,
    StatementState,
)
from connectors.erp.tryton.book_translate import (
    Books,
    applied,
    in_steps,
    mismatch,
    new_invoice,
    new_payment,
    other_payment,
    payment_problems,
    posted,
    posting_problems,
)
from connectors.erp.tryton.receivable_actions import receivable_problem
from connectors.erp.tryton.records import Company
from integration_fabric.messages.ids import CustomerId, InvoiceId, LegalEntity, PaymentId
from integration_fabric.messages.invoices import InvoiceLine, PostInvoice, ReceivableStatus, UpdateReceivable
from integration_fabric.messages.payments import ApplyPayment

AT = datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
NOK = Currency(id=1, code="NOK", rounding=Decimal("0.01"))
YEN = Currency(id=2, code="JPY", rounding=Decimal(1))
CHF = Currency(id=3, code="CHF", rounding=Decimal("0.05"))
KNOWN = Books(
    company=Company(id=1, changed_at=AT, legal_entity="NO", name="AS", party=2, currency=1, currency_code="NOK"),
    currency=NOK,
    customer=Debtor(id=10, address=11, account=12),
    order=None,
    period=Period(
        id=20,
        changed_at=AT,
        name="2026-05",
        company=1,
        start_date=date(2026, 5, 1),
        end_date=date(2026, 5, 31),
        state=PeriodState.OPEN,
    ),
    products={"P": BookedProduct(id=30, code="P", unit=31, unit_digits=0, revenue_account=32)},
    taxes={
        "VAT": BookedTax(id=40, name="VAT", description="VAT 25", invoice_account=41, credit_note_account=42),
        "LOW": BookedTax(id=43, name="LOW", description="VAT 12", invoice_account=44, credit_note_account=45),
    },
    journal=50,
)


def line(**changes: Any) -> InvoiceLine:
    values: dict[str, Any] = {
        "invoice_line_id": "L1",
        "product_id": "P",
        "description": "Plan",
        "quantity": Decimal(2),
        "unit_price": Decimal("50.0000"),
        "amount": Decimal("100.00"),
        "tax_code": "VAT",
        "tax_amount": Decimal("25.00"),
    }
    return InvoiceLine(**{**values, **changes})


def command(*lines: InvoiceLine, **changes: Any) -> PostInvoice:
    lines = lines or (line(),)
    tax = sum((each.tax_amount for each in lines), Decimal(0))
    values: dict[str, Any] = {
        "invoice_id": InvoiceId("I-1"),
        "customer_id": CustomerId("C-1"),
        "legal_entity": LegalEntity("NO"),
        "currency": "NOK",
        "number": "B-1",
        "total_amount": sum((each.amount for each in lines), Decimal(0)) + tax,
        "tax_amount": tax,
        "issued_on": date(2026, 5, 6),
        "due_on": date(2026, 6, 5),
        "lines": lines,
    }
    return PostInvoice(**{**values, **changes})


def invoice(**changes: Any) -> Invoice:
    values: dict[str, Any] = {
        "id": 7,
        "changed_at": AT,
        "reference": "I-1",
        "number": "17",
        "state": InvoiceState.POSTED,
        "company": 1,
        "party": 10,
        "account": 12,
        "currency_code": "NOK",
        "untaxed_amount": Decimal(100),
        "tax_amount": Decimal(25),
        "total_amount": Decimal(125),
        "amount_to_pay": Decimal(125),
        "invoice_date": date(2026, 5, 9),
        "booked_on": date(2026, 5, 6),
        "booked_at": AT,
        "lines_to_pay": (70,),
        "is_reconciled": False,
    }
    return Invoice.model_validate({**values, **changes})


# Rounding


@pytest.mark.parametrize(
    ("currency", "amount", "rounded"),
    [
        (NOK, "0.125", "0.12"),
        (NOK, "0.135", "0.14"),
        (NOK, "-0.125", "-0.12"),
        (YEN, "2.5", "2"),
        (CHF, "1.03", "1.05"),
        (CHF, "1.02", "1.00"),
    ],
)
def test_amounts_are_rounded_as_tryton_rounds(currency: Currency, amount: str, rounded: str) -> None:
    assert currency.rounded(Decimal(amount)) == Decimal(rounded)


@given(st.lists(st.decimals(min_value=-10_000, max_value=10_000, places=4), max_size=12))
def test_rounded_amounts_add_up_to_the_rounded_sum(amounts: list[Decimal]) -> None:
    steps = in_steps(NOK, amounts)

    assert sum(steps) == NOK.rounded(sum(amounts, Decimal(0)))
    assert all(abs(step - amount) <= Decimal("0.01") for step, amount in zip(steps, amounts, strict=True))


# Lines and taxes


def test_a_line_that_tryton_comes_to_is_said_as_it_is() -> None:
    (only,) = new_invoice(command(line(quantity=Decimal(3), unit_price=Decimal("33.3333"))), KNOWN).lines

    assert (only.product, only.unit, only.account) == (30, 31, 32)
    assert (only.quantity, only.unit_price, only.description) == (Decimal(3), Decimal("33.3333"), "Plan")


@pytest.mark.parametrize(
    ("quantity", "unit_price", "said"),
    [
        pytest.param("2.5", "40", "2.5 x 40", id="decimals that the unit has not"),
        pytest.param("1", "100.00001", "1 x 100.00001", id="five decimals of a price"),
        pytest.param("3", "33.33", "3 x 33.33", id="another amount"),
        pytest.param("123456789012345678", "0.0001", "123456789012345678 x 0.0001", id="more digits than a float has"),
    ],
)
def test_a_line_that_tryton_would_not_come_to_is_said_once_with_its_amount(quantity: str, unit_price: str, said: str) -> None:
    (only,) = new_invoice(command(line(quantity=Decimal(quantity), unit_price=Decimal(unit_price))), KNOWN).lines

    assert (only.quantity, only.unit_price) == (Decimal(1), Decimal("100.00"))
    assert only.description == f"Plan ({said})"


def test_a_unit_with_decimals_keeps_them() -> None:
    known = replace(KNOWN, products={"P": KNOWN.products["P"].model_copy(update={"unit_digits": 2})})

    (only,) = new_invoice(command(line(quantity=Decimal("2.5"), unit_price=Decimal(40))), known).lines

    assert (only.quantity, only.unit_price) == (Decimal("2.5"), Decimal(40))


def test_taxes_are_billings_by_code_with_their_bases() -> None:
    lines = (line(), line(tax_code="LOW", tax_amount=Decimal("12.00")), line(amount=Decimal("1.00"), tax_amount=Decimal("0.26")))

    taxes = new_invoice(command(*lines), KNOWN).taxes

    assert [(tax.tax, tax.account, tax.base, tax.amount) for tax in taxes] == [
        (40, 41, Decimal("101.00"), Decimal("25.26")),
        (43, 44, Decimal("100.00"), Decimal("12.00")),
    ]


def test_a_tax_that_is_given_back_is_posted_to_its_credit_account() -> None:
    (tax,) = new_invoice(command(line(amount=Decimal("-100.00"), tax_amount=Decimal("-25.00"))), KNOWN).taxes

    assert (tax.account, tax.base, tax.amount) == (42, Decimal(-100), Decimal(-25))


def test_the_invoice_says_billings_number_and_the_order() -> None:
    made = new_invoice(command(order_id="SO-1"), KNOWN)

    assert (made.reference, made.description) == ("I-1", "B-1; SO-1")
    assert (made.issued_on, made.due_on, made.account, made.address) == (date(2026, 5, 6), date(2026, 6, 5), 12, 11)


# What is missing


def problems_of(asked: PostInvoice, **changes: Any) -> list[tuple[str, str, str, str]]:
    found = posting_problems(asked, replace(KNOWN, **changes))
    assert all(problem.hint for problem in found)
    return [(problem.entity, problem.id, problem.field, problem.code) for problem in found]


def test_nothing_is_wrong_with_an_invoice_of_known_things() -> None:
    assert problems_of(command()) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"customer": None}, ("customer", "C-1", "customer_id", "unknown-customer")),
        ({"customer": Debtor(id=1, address=None, account=2)}, ("customer", "C-1", "customer_id", "customer-without-address")),
        ({"customer": Debtor(id=1, address=2, account=None)}, ("account", "C-1", "customer_id", "unknown-account")),
        ({"currency": None}, ("currency", "NOK", "currency", "unknown-currency")),
        ({"company": None}, ("legal-entity", "NO", "legal_entity", "unknown-legal-entity")),
        ({"period": None}, ("accounting-period", "NO/2026-05", "issued_on", "period-closed")),
        ({"journal": None}, ("journal", "revenue", "legal_entity", "unknown-journal")),
        ({"products": {}}, ("product", "P", "lines[0].product_id", "unknown-product")),
        ({"taxes": {}}, ("tax-code", "VAT", "lines[0].tax_code", "unknown-tax-code")),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_is_missing_is_named(changes: dict[str, Any], problem: tuple[str, str, str, str]) -> None:
    assert problems_of(command(), **changes) == [problem]


def test_a_closed_period_is_named_as_its_event_names_it() -> None:
    assert KNOWN.period
    closed = KNOWN.period.model_copy(update={"state": PeriodState.LOCKED, "name": "May 2026"})

    assert problems_of(command(), period=closed) == [("accounting-period", "NO/May 2026", "issued_on", "period-closed")]


@pytest.mark.parametrize("changes", [{"total_amount": Decimal("125.01")}, {"tax_amount": Decimal("24.99")}])
def test_sums_that_do_not_add_up_are_named(changes: dict[str, Decimal]) -> None:
    assert problems_of(command(**changes)) == [("invoice", "I-1", "total_amount", "amount-mismatch")]


@pytest.mark.parametrize(
    "changes",
    [{"untaxed_amount": Decimal("100.01")}, {"tax_amount": Decimal("24.99")}, {"total_amount": Decimal("125.01")}],
)
def test_an_invoice_with_other_amounts_is_another_one(changes: dict[str, Decimal]) -> None:
    wrong = mismatch(command(), invoice(**changes))

    assert wrong is not None
    assert (wrong.entity, wrong.id, wrong.code) == ("invoice", "I-1", "amount-mismatch")
    assert mismatch(command(), invoice()) is None


def test_the_reply_says_the_date_in_the_books() -> None:
    """The date of the number may be a later one."""
    reply = posted(command(), invoice())

    assert (reply.posted_on, reply.number, reply.native_id) == (date(2026, 5, 6), "17", "7")
    assert reply.aggregate_version == 1_778_051_289_000_010


# Payments


def payment(**changes: Any) -> ApplyPayment:
    values: dict[str, Any] = {
        "payment_id": PaymentId("PAY-1"),
        "invoice_id": InvoiceId("I-1"),
        "legal_entity": LegalEntity("NO"),
        "currency": "NOK",
        "amount": Decimal(125),
        "paid_at": AT,
        "method": "card",
    }
    return ApplyPayment(**{**values, **changes})


def statement(**changes: Any) -> Statement:
    values = {
        "id": 8,
        "changed_at": AT,
        "name": "PAY-1",
        "state": StatementState.POSTED,
        "company": 1,
        "invoice": 7,
        "amount": Decimal(125),
    }
    return Statement.model_validate({**values, **changes})


def payment_codes(
    asked: ApplyPayment, there: Invoice | None, *, period: Period | None = KNOWN.period, journal: int | None = 60
) -> list[str]:
    return [problem.code for problem in payment_problems(asked, there, period, journal)]


def test_a_payment_of_a_posted_invoice_can_be_booked() -> None:
    assert payment_codes(payment(), invoice()) == []
    made = new_payment(payment(paid_at=datetime.fromisoformat("2026-05-07T01:00:00+02:00")), invoice(), 60)
    assert (made.reference, made.paid_on, made.journal) == ("PAY-1", date(2026, 5, 6), 60)


@pytest.mark.parametrize("there", [None, invoice(state=InvoiceState.DRAFT), invoice(state=InvoiceState.CANCELLED)])
def test_an_invoice_that_is_not_posted_is_unknown(there: Invoice | None) -> None:
    assert payment_codes(payment(), there, period=None) == ["unknown-invoice"]


def test_why_a_payment_cannot_be_booked() -> None:
    assert payment_codes(payment(amount=Decimal("125.01")), invoice()) == ["already-paid"]
    assert payment_codes(payment(), invoice(state=InvoiceState.PAID, amount_to_pay=Decimal(0))) == ["already-paid"]
    assert payment_codes(payment(amount=Decimal(0)), invoice()) == ["amount-not-positive"]
    assert payment_codes(payment(currency="USD"), invoice()) == ["currency-mismatch"]
    assert payment_codes(payment(), invoice(), period=None) == ["period-closed"]
    assert payment_codes(payment(), invoice(), journal=None) == ["unknown-journal"]


def test_what_stands_under_the_id_must_be_the_payment() -> None:
    assert other_payment(payment(), statement(), invoice()) is None
    assert other_payment(payment(), statement(amount=Decimal(1)), invoice()) is not None
    assert other_payment(payment(), statement(invoice=None), invoice()) is not None
    assert other_payment(payment(), statement(), invoice(id=9)) is not None


def test_the_reply_says_what_is_left() -> None:
    reply = applied(payment(), statement(), invoice(amount_to_pay=Decimal("0.50")))

    assert (reply.native_id, reply.amount, reply.open_amount) == ("8", Decimal(125), Decimal("0.50"))


# Receivables


@pytest.mark.parametrize(
    ("status", "there", "code"),
    [
        (ReceivableStatus.OVERDUE, None, "unknown-invoice"),
        (ReceivableStatus.OVERDUE, invoice(state=InvoiceState.DRAFT), "unknown-invoice"),
        (ReceivableStatus.OVERDUE, invoice(), None),
        (ReceivableStatus.OVERDUE, invoice(state=InvoiceState.PAID), None),
        (ReceivableStatus.DISPUTED, invoice(is_reconciled=True), None),
        (ReceivableStatus.PAID, invoice(), "payment-not-applied"),
        (ReceivableStatus.PAID, invoice(is_reconciled=True), None),
        (ReceivableStatus.OPEN, invoice(), None),
        (ReceivableStatus.UNKNOWN, invoice(), "unknown-status"),
    ],
)
def test_what_can_be_shown_of_a_receivable(status: ReceivableStatus, there: Invoice | None, code: str | None) -> None:
    asked = UpdateReceivable(invoice_id=InvoiceId("I-1"), legal_entity=LegalEntity("NO"), status=status, reason="")

    problem = receivable_problem(asked, there)

    assert (problem.code if problem else None) == code
