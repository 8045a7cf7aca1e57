"""What travels about payments. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from pydantic import AwareDatetime

from integration_fabric.messages.base import Command, Event, NativeId, Replies
from integration_fabric.messages.ids import CustomerId, InvoiceId, LegalEntity, PaymentId
from integration_fabric.messages.invoices import PostingRejected


class PaymentApplied(Event):
    """The payment is reconciled with its invoice."""

    topic: ClassVar[str] = "erp.payment-applied.v1"
    schema_name: ClassVar[str] = "erp.v1.PaymentApplied"
    key_field: ClassVar[str] = "payment_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("payment", "payment_id"), ("invoice", "invoice_id"))
    native_ids: ClassVar[tuple[NativeId, ...]] = (NativeId("payment", "payment_id", "native_id"),)

    payment_id: PaymentId
    """Canonical id of the payment."""
    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    native_id: str
    """The ERP's own id of the payment."""
    amount: Decimal
    """What was applied."""
    open_amount: Decimal
    """What is left to pay of the invoice."""


class PaymentFailed(Event):
    """An attempt to collect an invoice failed."""

    topic: ClassVar[str] = "billing.payment-failed.v1"
    schema_name: ClassVar[str] = "billing.v1.PaymentFailed"
    key_field: ClassVar[str] = "payment_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("payment", "payment_id"),
        ("invoice", "invoice_id"),
        ("customer", "customer_id"),
    )

    payment_id: PaymentId
    """Canonical id of the payment."""
    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    amount: Decimal
    """What was asked for."""
    failed_at: AwareDatetime
    """When."""
    code: str
    """Why, as billing says it."""
    attempt: int
    """Which attempt it was, from 1."""
    next_attempt_at: AwareDatetime | None = None
    """When billing tries again, if it does."""


class PaymentPosted(Event):
    """A payment of an invoice was collected."""

    topic: ClassVar[str] = "billing.payment-posted.v1"
    schema_name: ClassVar[str] = "billing.v1.PaymentPosted"
    key_field: ClassVar[str] = "payment_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("payment", "payment_id"), ("invoice", "invoice_id"))

    payment_id: PaymentId
    """Canonical id of the payment."""
    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    amount: Decimal
    """What was paid."""
    paid_at: AwareDatetime
    """When."""
    method: str
    """How, e.g. card."""


class ApplyPayment(Command):
    """Reconcile a payment with its posted invoice."""

    topic: ClassVar[str] = "erp.apply-payment.v1"
    schema_name: ClassVar[str] = "erp.v1.ApplyPayment"
    key_field: ClassVar[str] = "payment_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("payment", "payment_id"), ("invoice", "invoice_id"))
    replies: ClassVar[Replies] = Replies(done=PaymentApplied, refused=PostingRejected)

    payment_id: PaymentId
    """Canonical id of the payment."""
    invoice_id: InvoiceId
    """Canonical id of the invoice."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    currency: str
    """ISO 4217 code of every amount in the message."""
    amount: Decimal
    """What was paid."""
    paid_at: AwareDatetime
    """When."""
    method: str
    """How, e.g. card."""
