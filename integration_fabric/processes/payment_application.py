"""Payment collected by billing → reconciled with its invoice in the ERP. Owned by finance operations.

A payment mostly comes while its invoice is still being posted: the ERP then refuses it, and it is held until the invoice is in the books.
"""

from __future__ import annotations

from datetime import timedelta

from integration_fabric.messages.invoices import InvoicePosted
from integration_fabric.messages.payments import ApplyPayment, PaymentPosted
from integration_fabric.process_engine.definition import Process, Received, Step, changes, on


def payment_of(event: PaymentPosted) -> str:
    """One instance for each payment."""
    return event.payment_id


def posted_invoice(event: InvoicePosted) -> str:
    """What a payment without its invoice waits for."""
    return event.invoice_id


def apply_payment(received: Received) -> ApplyPayment:
    """The payment as billing took it."""
    posted = received[PaymentPosted]
    return ApplyPayment(
        payment_id=posted.payment_id,
        invoice_id=posted.invoice_id,
        legal_entity=posted.legal_entity,
        currency=posted.currency,
        amount=posted.amount,
        paid_at=posted.paid_at,
        method=posted.method,
    )


PAYMENT_APPLICATION = Process(
    name="payment-application",
    version=1,
    owner="finance-operations",
    starts=on(PaymentPosted, payment_of),
    sync_window=timedelta(minutes=5),
    resumed_by=(changes(InvoicePosted, "invoice", posted_invoice),),
    steps=(Step("apply payment", apply_payment, deadline=timedelta(minutes=10)),),
)
