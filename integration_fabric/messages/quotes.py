"""What travels about quotes. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime

from integration_fabric.messages.base import Command, Event, Part, Replies
from integration_fabric.messages.ids import ContractId, CustomerId, LegalEntity, QuoteId
from integration_fabric.messages.problems import Problem


class BillingPeriod(StrEnum):
    """How often a recurring line is charged."""

    UNKNOWN = "unknown"
    NONE = "none"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class ChargeType(StrEnum):
    """How a line is charged."""

    UNKNOWN = "unknown"
    ONE_OFF = "one_off"
    RECURRING = "recurring"
    USAGE = "usage"


class QuoteKind(StrEnum):
    """Whether the quote starts a contract or renews one."""

    UNKNOWN = "unknown"
    NEW = "new"
    RENEWAL = "renewal"


class QuoteLine(Part):
    """One line of a quote; the options of a bundle name their parent."""

    line_id: str
    """The line's id within CPQ."""
    parent_line_id: str | None = None
    """The line of the bundle that this is an option of."""
    bundle_id: str | None = None
    """The bundle that the line belongs to."""
    product_id: str
    """The product's canonical id."""
    description: str
    """What the customer reads."""
    quantity: Decimal
    """How many units."""
    unit: str
    """The unit of measure, e.g. each, seat, hour."""
    unit_price: Decimal
    """Price of one unit for one billing period, after discounts, in the quote's currency."""
    charge_type: ChargeType = ChargeType.UNKNOWN
    """How the line is charged."""
    billing_period: BillingPeriod = BillingPeriod.UNKNOWN
    """How often, for recurring and usage lines."""
    starts_on: date
    """First day of service."""
    ends_on: date | None = None
    """Last day of service; empty for one-off lines and open ends."""
    tax_code: str
    """The tax code that the ERP must know."""
    price_book_version: str
    """The version of the price book that the price came from."""


class QuoteApproved(Event):
    """Pricing, discounts and approval of a quote are done."""

    topic: ClassVar[str] = "cpq.quote-approved.v1"
    schema_name: ClassVar[str] = "cpq.v1.QuoteApproved"
    key_field: ClassVar[str] = "quote_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("quote", "quote_id"),
        ("customer", "customer_id"),
        ("contract", "contract_id"),
    )

    quote_id: QuoteId
    """Canonical id of the quote."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    kind: QuoteKind = QuoteKind.UNKNOWN
    """New contract or renewal."""
    contract_id: ContractId | None = None
    """The contract that a renewal is of."""
    sold_to: str
    """The party that buys."""
    bill_to: str
    """The party that pays."""
    ship_to: str
    """The party that is served."""
    purchase_order_number: str | None = None
    """The customer's own order number."""
    payment_terms: str
    """Code of the payment terms, e.g. NET30."""
    approved_at: AwareDatetime
    """When it was approved."""
    lines: tuple[QuoteLine, ...] = ()
    """What was sold; bundles before their options."""


class QuoteRejected(Event):
    """Master data is missing; nothing was written."""

    topic: ClassVar[str] = "erp.quote-rejected.v1"
    schema_name: ClassVar[str] = "erp.v1.QuoteRejected"
    key_field: ClassVar[str] = "quote_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("quote", "quote_id"),)

    quote_id: QuoteId
    """Canonical id of the quote."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class QuoteValidated(Event):
    """All master data that the quote needs is in the ERP."""

    topic: ClassVar[str] = "erp.quote-validated.v1"
    schema_name: ClassVar[str] = "erp.v1.QuoteValidated"
    key_field: ClassVar[str] = "quote_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("quote", "quote_id"),)

    quote_id: QuoteId
    """Canonical id of the quote."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""


class ValidateQuote(Command):
    """Check a quote against the ERP's master data; write nothing."""

    topic: ClassVar[str] = "erp.validate-quote.v1"
    schema_name: ClassVar[str] = "erp.v1.ValidateQuote"
    key_field: ClassVar[str] = "quote_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("quote", "quote_id"), ("customer", "customer_id"))
    replies: ClassVar[Replies] = Replies(done=QuoteValidated, refused=QuoteRejected)

    quote_id: QuoteId
    """Canonical id of the quote."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    payment_terms: str
    """Code of the payment terms."""
    lines: tuple[QuoteLine, ...] = ()
    """What was sold."""
