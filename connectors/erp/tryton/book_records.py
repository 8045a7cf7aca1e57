"""Records of Tryton's books: invoices, what was collected, dunning, periods, accounts; checked where they come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

from connectors.erp.tryton.records import Record
from connectors.erp.tryton.rest import Row


class InvoiceState(StrEnum):
    """What becomes of an invoice: draft → validated → posted → paid; cancelled from most of them."""

    DRAFT = "draft"
    VALIDATED = "validated"
    POSTED = "posted"
    PAID = "paid"
    CANCELLED = "cancelled"


IN_BOOKS = frozenset({InvoiceState.POSTED, InvoiceState.PAID})
"""What an invoice that stands in the books may be."""


class StatementState(StrEnum):
    """What becomes of a statement: draft → validated (its entries are made, and reconciled) → posted; cancelled from the first two."""

    DRAFT = "draft"
    VALIDATED = "validated"
    POSTED = "posted"
    CANCELLED = "cancelled"


class PeriodState(StrEnum):
    """Whether a period can be posted to."""

    OPEN = "open"
    CLOSED = "closed"
    LOCKED = "locked"


class Currency(BaseModel):
    """A currency, and how its amounts are rounded."""

    model_config = ConfigDict(frozen=True)

    id: int
    code: str
    rounding: Decimal
    """The smallest step, e.g. 0.01."""

    def rounded(self, amount: Decimal) -> Decimal:
        """As Tryton rounds."""
        return (amount / self.rounding).quantize(Decimal(1), rounding=ROUND_HALF_EVEN) * self.rounding


class Invoice(Record):
    """A customer invoice. Its reference is the canonical id. Amounts are in its currency."""

    reference: str
    number: str | None
    """Given when it is posted."""
    state: InvoiceState
    company: int
    party: int
    account: int
    """The receivable account."""
    currency_code: str
    untaxed_amount: Decimal
    tax_amount: Decimal
    total_amount: Decimal
    amount_to_pay: Decimal
    """What is left to pay; zero as long as it is not posted."""
    invoice_date: date | None
    booked_on: date | None
    """The date in the books."""
    booked_at: datetime | None
    """When it came into the books."""
    lines_to_pay: tuple[int, ...]
    """Its receivable lines."""
    is_reconciled: bool
    """Whether everything of it is paid."""

    @classmethod
    def of(cls, row: Row) -> Self:
        """See `Record.of`."""
        move = row["move"] or {}
        booked = {"booked_on": move.get("date"), "booked_at": move.get("create_date")}
        return super().of({**row, **booked, "currency_code": row["currency"]["code"], "is_reconciled": row["reconciled"] is not None})

    @property
    def in_books(self) -> bool:
        """Whether it is posted; a paid one is too."""
        return self.state in IN_BOOKS


class Statement(Record):
    """One payment that billing collected, as a statement of one line. Its name is the canonical id of the payment."""

    name: str
    state: StatementState
    company: int
    invoice: int | None
    """Which invoice it pays. None where Tryton has taken that away, since the invoice was paid by others meanwhile."""
    amount: Decimal
    """In the currency of its journal, which is that of the invoice."""

    @classmethod
    def of(cls, row: Row) -> Self:
        """See `Record.of`."""
        (line,) = row["lines"]
        model, _, invoice = (line["related_to"] or "").partition(",")
        return super().of({**row, "invoice": invoice if model == "account.invoice" else None, "amount": line["amount"]})


class Dunning(Record):
    """A receivable line that people must look after."""

    line: int
    blocked: bool
    """Whether it is left alone for now."""


class Period(Record):
    """An accounting period of one company."""

    name: str
    company: int
    start_date: date
    end_date: date
    state: PeriodState

    @property
    def is_open(self) -> bool:
        """Whether it can be posted to."""
        return self.state is PeriodState.OPEN


class Account(Record):
    """An account of one company's chart."""

    code: str | None
    name: str
    company: int
    closed: bool


class Debtor(BaseModel):
    """A customer as an invoice needs it."""

    model_config = ConfigDict(frozen=True)

    id: int
    address: int | None
    """The first address; an invoice needs one."""
    account: int | None
    """The account that it owes through."""

    @classmethod
    def of(cls, row: Row) -> Self:
        """The customer that a row tells of; raises pydantic.ValidationError."""
        return cls.model_validate({**row, "address": next(iter(row["addresses"]), None)})


class BookedProduct(BaseModel):
    """A product as an invoice line needs it."""

    model_config = ConfigDict(frozen=True)

    id: int
    code: str
    unit: int
    unit_digits: int
    """At most so many decimals of a quantity."""
    revenue_account: int | None
    """From its accounting category, in one company."""

    @classmethod
    def of(cls, row: Row) -> Self:
        """The product that a row tells of; raises pydantic.ValidationError."""
        unit, category = row["default_uom"], row["template"]["account_category"] or {}
        inherited = (category.get("parent") or {}) if category.get("account_parent") else category
        return cls.model_validate(
            {**row, "unit": unit["id"], "unit_digits": unit["digits"], "revenue_account": inherited.get("account_revenue")}
        )


class BookedTax(BaseModel):
    """A tax as an invoice needs it."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    description: str
    invoice_account: int | None
    credit_note_account: int | None

    def account_for(self, base: Decimal) -> int | None:
        """Where the tax on this base is posted."""
        return self.invoice_account if base >= 0 else self.credit_note_account


# What is to be written


@dataclass(frozen=True, slots=True)
class NewInvoiceLine:
    """One line; everything is said, since Tryton runs no form's rules over REST."""

    product: int
    unit: int
    account: int
    quantity: Decimal
    unit_price: Decimal
    description: str


@dataclass(frozen=True, slots=True)
class NewInvoiceTax:
    """What billing charged under one tax."""

    tax: int
    account: int
    description: str
    base: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class NewInvoice:
    """A customer invoice to be posted. Its reference is the canonical id."""

    reference: str
    company: int
    currency: int
    party: int
    address: int
    account: int
    journal: int
    issued_on: date
    due_on: date
    lines: Sequence[NewInvoiceLine]
    taxes: Sequence[NewInvoiceTax]
    description: str


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment to be booked. Its reference is the canonical id."""

    reference: str
    journal: int
    """The statement journal."""
    paid_on: date
    amount: Decimal
    method: str
    invoice: Invoice
