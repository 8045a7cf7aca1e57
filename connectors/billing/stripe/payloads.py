"""Stripe's events as they come in, by webhook or from the list of events: the vendor's words and fields of 2024-06-20, checked."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from connectors.billing.stripe.records import Identified, Shape

Text = Annotated[str, Field(min_length=1)]
Minor = Annotated[int, Field(strict=True)]
"""In the currency's smallest unit."""
Currency = Annotated[str, Field(pattern="^[a-zA-Z]{3}$"), BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)]


def _expanded(value: Any) -> Any:
    """An object that is named by its id, as the object with nothing but the id."""
    return {"id": value} if isinstance(value, str) else value


class Head(Shape):
    """What every event has."""

    id: Text
    type: Text
    created: AwareDatetime


class TaxAmount(Shape):
    """The tax of one rate on one line."""

    amount: Minor
    inclusive: bool = False


class Terms(Shape):
    """The price of a line, or the plan, as older interfaces call it."""

    product: str | None = None
    usage_type: str | None = None
    unit_amount_decimal: Decimal | None = None
    amount: Minor | None = None
    """Of a plan, where it is whole."""
    metadata: Mapping[str, str] = {}

    @property
    def unit_amount(self) -> Decimal | int | None:
        """Of one unit, in minor units."""
        return self.amount if self.unit_amount_decimal is None else self.unit_amount_decimal


class Period(Shape):
    """What a line charges for; the end is not in it."""

    start: AwareDatetime
    end: AwareDatetime


class Line(Shape):
    """One line of an invoice."""

    id: Text
    amount: Minor
    quantity: Annotated[int, Field(strict=True, ge=0)] | None = None
    description: str | None = None
    period: Period
    price: Terms | None = None
    plan: Terms | None = None
    metadata: Mapping[str, str] = {}
    tax_amounts: tuple[TaxAmount, ...] = ()

    @property
    def told(self) -> Mapping[str, str]:
        """What was written to its price, its plan or its item when it was sold."""
        return {
            **self.metadata,
            **(self.plan.metadata if self.plan else {}),
            **(self.price.metadata if self.price else {}),
        }

    @property
    def terms(self) -> Terms:
        """Its price."""
        return self.price or self.plan or Terms()

    @property
    def is_unused(self) -> bool:
        """Whether it stands there for usage that nobody has reported."""
        return self.amount == 0 and self.plan is not None and self.plan.usage_type == "metered"

    @property
    def tax(self) -> int:
        """All of it."""
        return sum(tax.amount for tax in self.tax_amounts)

    @property
    def net(self) -> int:
        """Without tax."""
        return self.amount - sum(tax.amount for tax in self.tax_amounts if tax.inclusive)


class Lines(Shape):
    """The lines of an invoice; an event shows the first few only."""

    data: tuple[Line, ...]
    has_more: bool = False


class Transitions(Shape):
    """When the invoice changed its state."""

    finalized_at: AwareDatetime | None = None
    paid_at: AwareDatetime | None = None


class InvoiceOfCharge(Shape):
    """The invoice that a charge collects: its id alone, or the whole of it where somebody asked for that."""

    id: Text
    lines: Lines | None = None


class Charge(Shape):
    """One attempt to collect: its id alone, or the whole of it where somebody asked for that."""

    id: Text
    failure_code: str | None = None
    invoice: Annotated[InvoiceOfCharge | None, BeforeValidator(_expanded)] = None


class Invoice(Identified):
    """An invoice as it stood when the event happened."""

    created: AwareDatetime
    status: Literal["draft", "open", "paid", "uncollectible", "void"]
    customer: Text
    subscription: Text | None = None
    currency: Currency
    number: str | None = None
    total: Minor
    amount_due: Minor
    amount_paid: Minor
    attempt_count: Annotated[int, Field(strict=True, ge=0)]
    charge: Annotated[Charge | None, BeforeValidator(_expanded)] = None
    payment_intent: str | None = None
    paid_out_of_band: bool = False
    due_date: AwareDatetime | None = None
    next_payment_attempt: AwareDatetime | None = None
    status_transitions: Transitions
    lines: Lines


class InvoiceData(Shape):
    """What an event about an invoice is about."""

    object: Invoice


class InvoiceEvent(Head):
    """`invoice.…`."""

    data: InvoiceData


class Dispute(Shape):
    """A cardholder's bank takes the money back."""

    id: Text
    created: AwareDatetime
    amount: Minor
    currency: Currency
    reason: Text
    charge: Annotated[Charge, BeforeValidator(_expanded)]


class DisputeData(Shape):
    """What an event about a dispute is about."""

    object: Dispute


class DisputeEvent(Head):
    """`charge.dispute.…`."""

    data: DisputeData
