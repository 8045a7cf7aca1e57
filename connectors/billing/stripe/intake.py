"""Stripe's events → the fabric's. Pure; the gateway and the poller call it with the raw bytes of one event, the same by both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.billing.stripe.invoices import charged_lines, correlation_of, invoice_lines, legal_entity_of, order_of
from connectors.billing.stripe.money import major_units
from connectors.billing.stripe.payloads import Dispute, DisputeEvent, Head, Invoice, InvoiceEvent
from integration_fabric.connector_kit.intake import Canonical, Incoming, Intake, Reference
from integration_fabric.connector_kit.shapes import parse_json, shaped, version_at
from integration_fabric.connector_kit.webhooks import TimestampedSignature
from integration_fabric.messages.errors import MissingParent
from integration_fabric.messages.ids import CustomerId, InvoiceId, PaymentId, SubscriptionId
from integration_fabric.messages.invoices import DisputeOpened, InvoiceIssued
from integration_fabric.messages.payments import PaymentFailed, PaymentPosted

SIGNATURE_HEADER = "Stripe-Signature"
PAID = frozenset({"invoice.paid", "invoice.payment_succeeded"})
FAILED = "invoice.payment_failed"
INVOICE_EVENTS = PAID | {"invoice.finalized", FAILED}
DISPUTE_EVENT = "charge.dispute.created"
EVENT_TYPES = tuple(sorted(INVOICE_EVENTS | {DISPUTE_EVENT}))
"""What the fabric takes in; whatever else Stripe tells of is not asked for, and makes no events."""

NEVER_SOLD_BY_US = "link the record to its canonical id, or let the order be activated first"


class StripeIntake(Intake):
    """Invoices, their payments and their disputes.

    An invoice is issued with whichever of its events comes first: the others say it again under the same id.
    """

    def references(self, payload: bytes) -> Sequence[Reference]:
        """The subscription and the customer of an invoice."""
        event = _event(payload)
        if not isinstance(event, InvoiceEvent) or not charged_lines(event.data.object):
            return ()
        return tuple(_references(event.data.object))

    def events(self, payload: bytes, canonical: Canonical) -> Sequence[Incoming]:
        """What the event means. Raises also DataProblem where a line does not say whose books it belongs to."""
        event = _event(payload)
        if isinstance(event, DisputeEvent):
            return (_disputed(event.data.object),)
        if not isinstance(event, InvoiceEvent) or not charged_lines(event.data.object):
            return ()
        return tuple(_about_invoice(event, canonical))


def verifier(secret: str) -> TimestampedSignature:
    """How the webhooks are signed, by the secret of the endpoint."""
    return TimestampedSignature(header=SIGNATURE_HEADER, secret=secret)


def _event(payload: bytes) -> Head:
    """As far as it matters: an event of another type may look as it likes."""
    value = parse_json(payload)
    head = shaped(Head, value)
    if head.type == DISPUTE_EVENT:
        return shaped(DisputeEvent, value)
    return shaped(InvoiceEvent, value) if head.type in INVOICE_EVENTS else head


def _references(invoice: Invoice) -> Iterator[Reference]:
    if invoice.subscription is not None:
        yield Reference("subscription", invoice.subscription)
    yield Reference("customer", invoice.customer)


def _about_invoice(event: InvoiceEvent, canonical: Canonical) -> Iterator[Incoming]:
    invoice = event.data.object
    missing = [reference for reference in _references(invoice) if reference not in canonical]
    if missing:
        names = ", ".join(f"{reference.entity} {reference.native_id}" for reference in missing)
        raise MissingParent(f"invoice {invoice.id} is of {names}, which nobody has linked yet; {NEVER_SOLD_BY_US}")
    customer = CustomerId(canonical[Reference("customer", invoice.customer)])
    subscription = SubscriptionId(canonical[Reference("subscription", invoice.subscription)]) if invoice.subscription else None
    yield _issued(invoice, customer, subscription)
    if event.type in PAID and invoice.amount_paid > 0:
        yield _paid(event)
    if event.type == FAILED:
        yield _failed(event, customer)


def _issued(invoice: Invoice, customer: CustomerId, subscription: SubscriptionId | None) -> Incoming:
    issued_at = invoice.status_transitions.finalized_at or invoice.created
    lines = invoice_lines(invoice)
    body = InvoiceIssued(
        invoice_id=InvoiceId(invoice.id),
        native_id=invoice.id,
        subscription_id=subscription,
        order_id=order_of(invoice),
        customer_id=customer,
        legal_entity=legal_entity_of(invoice),
        currency=invoice.currency,
        number=invoice.number or invoice.id,
        total_amount=major_units(invoice.total, invoice.currency),
        tax_amount=major_units(sum(line.tax for line in invoice.lines.data), invoice.currency),
        issued_on=issued_at.date(),
        due_on=(invoice.due_date or issued_at).date(),
        lines=lines,
        aggregate_version=version_at(issued_at),
    )
    return _incoming(body, f"{invoice.id}/issued", invoice)


def _paid(event: InvoiceEvent) -> Incoming:
    invoice = event.data.object
    payment = PaymentId((invoice.charge.id if invoice.charge else invoice.payment_intent) or f"{invoice.id}/paid")
    paid_at = invoice.status_transitions.paid_at or event.created
    body = PaymentPosted(
        payment_id=payment,
        invoice_id=InvoiceId(invoice.id),
        legal_entity=legal_entity_of(invoice),
        currency=invoice.currency,
        amount=major_units(invoice.amount_paid, invoice.currency),
        paid_at=paid_at,
        method=_method(invoice),
        aggregate_version=version_at(paid_at),
    )
    return _incoming(body, f"{payment}/posted", invoice)


def _method(invoice: Invoice) -> str:
    """An invoice names none: Stripe's charges of cards begin with `ch_`, those of bank accounts with `py_`."""
    if invoice.paid_out_of_band:
        return "out-of-band"
    return "bank" if invoice.charge is not None and invoice.charge.id.startswith("py_") else "card"


def _failed(event: InvoiceEvent, customer: CustomerId) -> Incoming:
    invoice = event.data.object
    attempt = max(invoice.attempt_count, 1)
    payment = PaymentId((invoice.charge.id if invoice.charge else invoice.payment_intent) or f"{invoice.id}/attempt-{attempt}")
    again = invoice.next_payment_attempt
    body = PaymentFailed(
        payment_id=payment,
        invoice_id=InvoiceId(invoice.id),
        customer_id=customer,
        legal_entity=legal_entity_of(invoice),
        currency=invoice.currency,
        amount=major_units(invoice.amount_due, invoice.currency),
        failed_at=event.created,
        code=(invoice.charge.failure_code if invoice.charge else None) or "payment_failed",
        attempt=attempt,
        next_attempt_at=again if again is not None and again > event.created else None,
        aggregate_version=version_at(event.created),
    )
    return _incoming(body, f"{payment}/failed/{attempt}", invoice)


def _incoming(body: InvoiceIssued | PaymentPosted | PaymentFailed, native_event_id: str, invoice: Invoice) -> Incoming:
    return Incoming(body, native_event_id, correlation_id=correlation_of(invoice), legal_entity=body.legal_entity)


def _disputed(dispute: Dispute) -> Incoming:
    """A dispute names a charge and no invoice, so the poller asks Stripe for both; whoever tells of a bare charge is to try again later."""
    found = dispute.charge.invoice
    if found is None or found.lines is None:
        raise MissingParent(
            f"dispute {dispute.id} is about charge {dispute.charge.id}, whose invoice it does not show; the poller brings it"
        )
    body = DisputeOpened(
        invoice_id=InvoiceId(found.id),
        dispute_id=dispute.id,
        legal_entity=legal_entity_of(found),
        currency=dispute.currency,
        amount=major_units(dispute.amount, dispute.currency),
        reason=dispute.reason,
        opened_at=dispute.created,
        # whatever else happened to the invoice within the same second came before
        aggregate_version=version_at(dispute.created) + 1,
    )
    return Incoming(body, f"{dispute.id}/opened", correlation_id=correlation_of(found), legal_entity=body.legal_entity)
