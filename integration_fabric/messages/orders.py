"""What travels about orders. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar

from pydantic import AwareDatetime

from integration_fabric.messages.base import Command, Event, NativeId, Part, Replies
from integration_fabric.messages.ids import CustomerId, LegalEntity, OrderId, QuoteId
from integration_fabric.messages.problems import Problem
from integration_fabric.messages.quotes import BillingPeriod, ChargeType


class OrderLine(Part):
    """One line of an order."""

    order_line_id: str
    """The line's canonical id, minted by the process."""
    quote_line_id: str
    """The quote line that it comes from."""
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


class OrderActivated(Event):
    """The order is released for fulfilment."""

    topic: ClassVar[str] = "erp.order-activated.v1"
    schema_name: ClassVar[str] = "erp.v1.OrderActivated"
    key_field: ClassVar[str] = "order_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("order", "order_id"),)

    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    activated_at: AwareDatetime
    """When the ERP released it."""


class OrderActivationRejected(Event):
    """The ERP refused to release the order."""

    topic: ClassVar[str] = "erp.order-activation-rejected.v1"
    schema_name: ClassVar[str] = "erp.v1.OrderActivationRejected"
    key_field: ClassVar[str] = "order_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("order", "order_id"),)

    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class OrderBooked(Event):
    """The order stands in the ERP and can still be cancelled."""

    topic: ClassVar[str] = "erp.order-booked.v1"
    schema_name: ClassVar[str] = "erp.v1.OrderBooked"
    key_field: ClassVar[str] = "order_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("order", "order_id"), ("quote", "quote_id"))
    native_ids: ClassVar[tuple[NativeId, ...]] = (NativeId("order", "order_id", "native_id"),)

    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    quote_id: QuoteId
    """Canonical id of the quote."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    native_id: str
    """The ERP's own id of the order."""
    number: str
    """The ERP's order number, for people."""
    total_amount: Decimal
    """Sum of the lines without tax, in the order's currency."""


class OrderCancellationRejected(Event):
    """The ERP refused to take the order back."""

    topic: ClassVar[str] = "erp.order-cancellation-rejected.v1"
    schema_name: ClassVar[str] = "erp.v1.OrderCancellationRejected"
    key_field: ClassVar[str] = "order_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("order", "order_id"),)

    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class OrderCancelled(Event):
    """The order was taken back before it was released."""

    topic: ClassVar[str] = "erp.order-cancelled.v1"
    schema_name: ClassVar[str] = "erp.v1.OrderCancelled"
    key_field: ClassVar[str] = "order_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("order", "order_id"),)

    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""


class OrderRejected(Event):
    """The ERP refused the order; nothing was written."""

    topic: ClassVar[str] = "erp.order-rejected.v1"
    schema_name: ClassVar[str] = "erp.v1.OrderRejected"
    key_field: ClassVar[str] = "order_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("order", "order_id"), ("quote", "quote_id"))

    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    quote_id: QuoteId
    """Canonical id of the quote."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class ActivateOrder(Command):
    """Release the order for fulfilment; there is no cancelling afterwards."""

    topic: ClassVar[str] = "erp.activate-order.v1"
    schema_name: ClassVar[str] = "erp.v1.ActivateOrder"
    key_field: ClassVar[str] = "order_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("order", "order_id"),)
    replies: ClassVar[Replies] = Replies(done=OrderActivated, refused=OrderActivationRejected)

    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""


class CancelOrder(Command):
    """Take a booked order back."""

    topic: ClassVar[str] = "erp.cancel-order.v1"
    schema_name: ClassVar[str] = "erp.v1.CancelOrder"
    key_field: ClassVar[str] = "order_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("order", "order_id"),)
    replies: ClassVar[Replies] = Replies(done=OrderCancelled, refused=OrderCancellationRejected)

    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    reason: str
    """Why, for people."""


class CreateOrder(Command):
    """Book the order so that it can still be cancelled."""

    topic: ClassVar[str] = "erp.create-order.v1"
    schema_name: ClassVar[str] = "erp.v1.CreateOrder"
    key_field: ClassVar[str] = "order_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("order", "order_id"), ("quote", "quote_id"), ("customer", "customer_id"))
    replies: ClassVar[Replies] = Replies(done=OrderBooked, refused=OrderRejected)

    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    quote_id: QuoteId
    """Canonical id of the quote."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    bill_to: str
    """The party that pays."""
    ship_to: str
    """The party that is served."""
    purchase_order_number: str | None = None
    """The customer's own order number."""
    payment_terms: str
    """Code of the payment terms."""
    lines: tuple[OrderLine, ...] = ()
    """What was ordered."""
