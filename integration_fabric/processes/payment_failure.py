"""Payment failed → overdue in the ERP, a person asked in customer success, until it is paid, reversed or disputed. Owned by receivables."""

from __future__ import annotations

from datetime import timedelta

from integration_fabric.messages.ids import InterventionId, deterministic_id
from integration_fabric.messages.interventions import CloseIntervention, OpenIntervention, Severity
from integration_fabric.messages.invoices import DisputeOpened, InvoicePosted, InvoiceReversed, ReceivableStatus, UpdateReceivable
from integration_fabric.messages.payments import PaymentApplied, PaymentFailed, PaymentPosted
from integration_fabric.process_engine.definition import Again, Await, Process, Received, Step, changes, on, parallel


def invoice_of_failure(event: PaymentFailed) -> str:
    """One instance for each invoice: its second failure joins the first's."""
    return event.invoice_id


def invoice_of_payment(event: PaymentPosted) -> str:
    """What the instance waits for."""
    return event.invoice_id


def invoice_of_reversal(event: InvoiceReversed) -> str:
    """Or that billing takes the invoice back."""
    return event.invoice_id


def invoice_of_dispute(event: DisputeOpened) -> str:
    """Or that the customer disputes it."""
    return event.invoice_id


def posted_invoice(event: InvoicePosted) -> str:
    """A receivable that the ERP does not know yet."""
    return event.invoice_id


def paid_invoice(event: PaymentApplied) -> str:
    """A receivable that is not reconciled yet."""
    return event.invoice_id


def intervention_of(failed: PaymentFailed) -> InterventionId:
    """One for each invoice."""
    return InterventionId(deterministic_id("intervention", failed.invoice_id))


def mark_overdue(received: Received) -> UpdateReceivable:
    """Where the ERP's users look for it."""
    failed = received[PaymentFailed]
    return UpdateReceivable(
        invoice_id=failed.invoice_id,
        legal_entity=failed.legal_entity,
        status=ReceivableStatus.OVERDUE,
        reason=f"payment failed: {failed.code}",
    )


def open_intervention(received: Received) -> OpenIntervention:
    """Somebody should talk to the customer."""
    failed = received[PaymentFailed]
    return OpenIntervention(
        intervention_id=intervention_of(failed),
        customer_id=failed.customer_id,
        invoice_id=failed.invoice_id,
        reason=f"A payment of {failed.amount.normalize():f} {failed.currency} failed: {failed.code}",
        severity=Severity.HIGH if failed.next_attempt_at is None else Severity.MEDIUM,
    )


def settle_receivable(received: Received) -> UpdateReceivable:
    """Paid; or disputed; or no longer owed, and so not overdue."""
    failed = received[PaymentFailed]
    status = (
        ReceivableStatus.PAID
        if PaymentPosted in received
        else ReceivableStatus.DISPUTED
        if DisputeOpened in received
        else ReceivableStatus.OPEN
    )
    return UpdateReceivable(invoice_id=failed.invoice_id, legal_entity=failed.legal_entity, status=status, reason=outcome_of(received))


def close_intervention(received: Received) -> CloseIntervention:
    """The reason is gone."""
    failed = received[PaymentFailed]
    return CloseIntervention(
        intervention_id=intervention_of(failed), customer_id=failed.customer_id, resolution=f"{failed.invoice_id}: {outcome_of(received)}"
    )


def outcome_of(received: Received) -> str:
    """What ended the waiting, for people."""
    if (paid := received.get(PaymentPosted)) is not None:
        return f"paid by {paid.payment_id}"
    if (disputed := received.get(DisputeOpened)) is not None:
        return f"disputed: {disputed.reason}"
    return f"reversed: {received[InvoiceReversed].reason}"


PAYMENT_FAILURE = Process(
    name="payment-failure",
    version=1,
    owner="accounts-receivable",
    starts=on(PaymentFailed, invoice_of_failure),
    again=Again.JOIN,
    sync_window=timedelta(minutes=5),
    resumed_by=(changes(InvoicePosted, "invoice", posted_invoice), changes(PaymentApplied, "invoice", paid_invoice)),
    steps=(
        parallel(
            Step("receivable overdue", mark_overdue, deadline=timedelta(minutes=10)),
            Step("intervene", open_intervention, deadline=timedelta(hours=1), owner="customer-success-operations"),
        ),
        Await(
            "payment",
            (on(PaymentPosted, invoice_of_payment), on(InvoiceReversed, invoice_of_reversal), on(DisputeOpened, invoice_of_dispute)),
            within=timedelta(days=30),
        ),
        parallel(
            Step("receivable paid", settle_receivable, deadline=timedelta(minutes=10)),
            Step("close intervention", close_intervention, deadline=timedelta(hours=1), owner="customer-success-operations"),
        ),
    ),
)
