"""Invoice issued by billing → posted in the ERP's books. Owned by finance operations."""

from __future__ import annotations

from datetime import timedelta

from integration_fabric.messages.invoices import InvoiceIssued, PostInvoice
from integration_fabric.messages.orders import OrderActivated, OrderBooked
from integration_fabric.process_engine.definition import Process, Received, Step, changes, on


def invoice_of(event: InvoiceIssued) -> str:
    """One instance for each invoice."""
    return event.invoice_id


def booked_order(event: OrderBooked) -> str:
    """An invoice may wait for its order to be booked."""
    return event.order_id


def activated_order(event: OrderActivated) -> str:
    """Or to be activated."""
    return event.order_id


def post_invoice(received: Received) -> PostInvoice:
    """As billing charged it: lines, taxes and total to the cent."""
    issued = received[InvoiceIssued]
    return PostInvoice(
        invoice_id=issued.invoice_id,
        order_id=issued.order_id,
        customer_id=issued.customer_id,
        legal_entity=issued.legal_entity,
        currency=issued.currency,
        number=issued.number,
        total_amount=issued.total_amount,
        tax_amount=issued.tax_amount,
        issued_on=issued.issued_on,
        due_on=issued.due_on,
        lines=issued.lines,
    )


INVOICE_POSTING = Process(
    name="invoice-posting",
    version=1,
    owner="finance-operations",
    starts=on(InvoiceIssued, invoice_of),
    sync_window=timedelta(minutes=5),
    resumed_by=(changes(OrderBooked, "order", booked_order), changes(OrderActivated, "order", activated_order)),
    steps=(Step("post invoice", post_invoice, deadline=timedelta(minutes=10)),),
)
