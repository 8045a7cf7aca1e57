"""Stripe's objects as the client reads and writes them: the vendor's words and fields, checked where they come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pydantic import AwareDatetime, BaseModel, ConfigDict

EXTERNAL_ID = "external_id"
"""The metadata key that customers and subscriptions carry our canonical id under."""

TAX_CODE = "tax_code"
CORRELATION = "correlation_id"
"""The metadata key that tax rates carry our tax code under."""

_GONE = frozenset({"canceled", "incomplete_expired"})
_CHARGING = frozenset({"active", "trialing", "past_due", "unpaid"})


class Shape(BaseModel):
    """What Stripe sends. Further fields are Stripe's to add, and are ignored."""

    model_config = ConfigDict(frozen=True)


class Identified(Shape):
    """An object with an id of Stripe's."""

    id: str


class InvoiceSettings(Shape):
    """How a customer is charged."""

    default_payment_method: str | None = None


class Customer(Identified):
    """Who pays."""

    invoice_settings: InvoiceSettings = InvoiceSettings()
    metadata: Mapping[str, str] = {}


class Recurrence(Shape):
    """How often a price is charged."""

    interval: str
    interval_count: int = 1
    usage_type: str = "licensed"


class Price(Identified):
    """One price. Its amount never changes."""

    product: str
    currency: str
    unit_amount_decimal: Decimal
    recurring: Recurrence | None = None
    metadata: Mapping[str, str] = {}


class TaxRate(Identified):
    """One tax rate. Its percentage never changes; a later rate of the same code is another one."""

    display_name: str
    percentage: Decimal
    active: bool
    created: AwareDatetime
    metadata: Mapping[str, str] = {}

    @property
    def code(self) -> str:
        """The tax code that it stands for."""
        return self.metadata.get(TAX_CODE) or self.display_name


class Subscription(Identified):
    """One subscription."""

    status: str
    customer: str
    metadata: Mapping[str, str]
    created: AwareDatetime
    canceled_at: AwareDatetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether it can still charge."""
        return self.status not in _GONE

    @property
    def is_charging(self) -> bool:
        """Whether it charges; one whose first payment is open does not yet."""
        return self.status in _CHARGING


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """A price to be there, under a lookup key that is unique in the account."""

    lookup_key: str
    product: str
    currency: str
    """In lower case."""
    unit_amount: Decimal
    """In minor units, at most twelve decimals."""
    interval: str
    interval_count: int
    metered: bool
    metadata: Mapping[str, str]

    def is_that_of(self, price: Price) -> bool:
        """Whether a price charges this, and says so on invoices."""
        recurrence = Recurrence(interval=self.interval, interval_count=self.interval_count, usage_type=self.usage_type)
        mine = (self.product, self.currency, self.unit_amount, recurrence)
        charged = (price.product, price.currency, price.unit_amount_decimal, price.recurring)
        return mine == charged and self.metadata.items() <= price.metadata.items()

    @property
    def usage_type(self) -> str:
        """`metered` is charged by reported usage, `licensed` by the quantity."""
        return "metered" if self.metered else "licensed"


@dataclass(frozen=True, slots=True)
class NewItem:
    """One item of a subscription to be."""

    price: str
    quantity: int | None
    """None for what is charged by usage."""
    tax_rate: str
    """Its id."""
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """A subscription to be."""

    customer: str
    items: tuple[NewItem, ...]
    metadata: Mapping[str, str]
    starts_at: datetime
    starts_later: bool
    """Whether nothing is charged before `starts_at`; else it is charged from that past moment on."""
    days_until_due: int | None
    """Of its invoices; None where the customer's payment method is charged."""
