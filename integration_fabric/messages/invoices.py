"""What travels about invoices. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime

from integration_fabric.messages.base import Command, Event, NativeId, Part, Replies
from integration_fabric.messages.ids import CustomerId, InvoiceId, LegalEntity, OrderId, PaymentId, SubscriptionId
from integration_fabric.messages.problems import Problem


class ReceivableStatus(StrEnum):
    """What the ERP shows of a receivable."""

    UNKNOWN = "unknown"
    OPEN = "open"
    OVERDUE = "overdue"
    DISPUTED = "disputed"
    PAID = "paid"


class InvoiceLine(Part):
    """One line of an invoice."""

    invoice_line_id: str
    """The line's id within billing."""
    order_line_id: str | None = None
    """The order line that it charges."""
    product_id: str
    """The product's canonical id."""
    description: str
    """What the customer reads."""
    quantity: Decimal
    """How many units."""
    unit_price: Decimal
    """Price of one unit, in the invoice's currency."""
    amount: Decimal
    """Quantity by unit price, without tax."""
    tax_code: str
    """The tax code."""
    tax_amount: Decimal
    """The tax on this line."""
    period_starts_on: date | None = None
    """First day charged."""
    period_ends_on: date | None = None
    """Last day charged."""
    price_book_version: str = ""
    """The version of the price book that the price came from."""


class DisputeOpened(Event):
    """The customer disputes an invoice, or a payment of it."""

    topic: ClassVar[str] = "billing.dispute-opened.v1"
    schema_name: ClassVar[str] = "billing.v1.DisputeOpened"
    key_field: ClassVar[str] = "invoice_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("invoice", "invoice_id"),)

    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    dispute_id: str
    """Billing's own id of the dispute."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    amount: Decimal
    """What is disputed."""
    reason: str
    """Why, as billing says it."""
    opened_at: AwareDatetime
    """When."""


class InvoiceIssued(Event):
    """Billing has issued an invoice."""

    topic: ClassVar[str] = "billing.invoice-issued.v1"
    schema_name: ClassVar[str] = "billing.v1.InvoiceIssued"
    key_field: ClassVar[str] = "invoice_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("invoice", "invoice_id"),
        ("subscription", "subscription_id"),
        ("order", "order_id"),
        ("customer", "customer_id"),
    )
    native_ids: ClassVar[tuple[NativeId, ...]] = (NativeId("invoice", "invoice_id", "native_id"),)

    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    native_id: str
    """Billing's own id of the invoice."""
    subscription_id: SubscriptionId | None = None
    """The subscription that it charges."""
    order_id: OrderId | None = None
    """The order that it charges."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    number: str
    """Billing's invoice number, for people."""
    total_amount: Decimal
    """With tax."""
    tax_amount: Decimal
    """The tax in it."""
    issued_on: date
    """Invoice date."""
    due_on: date
    """When it must be paid."""
    lines: tuple[InvoiceLine, ...] = ()
    """What is charged."""


class InvoicePosted(Event):
    """The invoice stands in the ERP's books."""

    topic: ClassVar[str] = "erp.invoice-posted.v1"
    schema_name: ClassVar[str] = "erp.v1.InvoicePosted"
    key_field: ClassVar[str] = "invoice_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("invoice", "invoice_id"),)
    native_ids: ClassVar[tuple[NativeId, ...]] = (NativeId("invoice", "invoice_id", "native_id"),)

    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    native_id: str
    """The ERP's own id of the invoice."""
    number: str
    """The ERP's number, for people."""
    total_amount: Decimal
    """With tax, as posted."""
    posted_on: date
    """Posting date."""


class InvoiceReversed(Event):
    """Billing has taken an invoice back: nothing of it is owed any more."""

    topic: ClassVar[str] = "billing.invoice-reversed.v1"
    schema_name: ClassVar[str] = "billing.v1.InvoiceReversed"
    key_field: ClassVar[str] = "invoice_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("invoice", "invoice_id"),)

    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    amount: Decimal
    """What is no longer owed, with tax."""
    reason: str
    """Why, for people."""
    reversed_at: AwareDatetime
    """When."""


class PostingRejected(Event):
    """The ERP refused to post; nothing was written."""

    topic: ClassVar[str] = "erp.posting-rejected.v1"
    schema_name: ClassVar[str] = "erp.v1.PostingRejected"
    key_field: ClassVar[str] = "invoice_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("invoice", "invoice_id"), ("payment", "payment_id"))

    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    payment_id: PaymentId | None = None
    """The payment, where one was to be posted."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class ReceivableUpdateRejected(Event):
    """The ERP refused to change the receivable."""

    topic: ClassVar[str] = "erp.receivable-update-rejected.v1"
    schema_name: ClassVar[str] = "erp.v1.ReceivableUpdateRejected"
    key_field: ClassVar[str] = "invoice_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("invoice", "invoice_id"),)

    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class ReceivableUpdated(Event):
    """The ERP shows the state of the receivable."""

    topic: ClassVar[str] = "erp.receivable-updated.v1"
    schema_name: ClassVar[str] = "erp.v1.ReceivableUpdated"
    key_field: ClassVar[str] = "invoice_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("invoice", "invoice_id"),)

    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    status: ReceivableStatus = ReceivableStatus.UNKNOWN
    """The state that is shown."""


class PostInvoice(Command):
    """Post a customer invoice in the ERP's books."""

    topic: ClassVar[str] = "erp.post-invoice.v1"
    schema_name: ClassVar[str] = "erp.v1.PostInvoice"
    key_field: ClassVar[str] = "invoice_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("invoice", "invoice_id"),
        ("order", "order_id"),
        ("customer", "customer_id"),
    )
    replies: ClassVar[Replies] = Replies(done=InvoicePosted, refused=PostingRejected)

    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    order_id: OrderId | None = None
    """The order that it charges."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    number: str
    """Billing's invoice number, for people."""
    total_amount: Decimal
    """With tax."""
    tax_amount: Decimal
    """The tax in it."""
    issued_on: date
    """Invoice date."""
    due_on: date
    """When it must be paid."""
    lines: tuple[InvoiceLine, ...] = ()
    """What is charged."""


class UpdateReceivable(Command):
    """Show the state of a receivable where the ERP's users look for it."""

    topic: ClassVar[str] = "erp.update-receivable.v1"
    schema_name: ClassVar[str] = "erp.v1.UpdateReceivable"
    key_field: ClassVar[str] = "invoice_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("invoice", "invoice_id"),)
    replies: ClassVar[Replies] = Replies(done=ReceivableUpdated, refused=ReceivableUpdateRejected)

    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    status: ReceivableStatus = ReceivableStatus.UNKNOWN
    """The state to show."""
    reason: str
    """Why, for people."""
