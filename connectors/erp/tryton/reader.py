"""What stands in Tryton, for counting and reconciliation: `roles.erp.ErpReader`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.erp.tryton.book_records import Invoice, InvoiceState
from connectors.erp.tryton.erp import TrytonErp
from connectors.erp.tryton.failures import judged
from integration_fabric.messages.ids import InvoiceId, OrderId
from integration_fabric.roles.erp import ErpReader, PostedInvoice


@dataclass(frozen=True, slots=True)
class TrytonReader(ErpReader):
    """Reads one database, two hundred orders or invoices a request."""

    erp: TrytonErp

    async def orders(self, order_ids: Sequence[OrderId]) -> Mapping[OrderId, Sequence[str]]:
        """The state of each sale under each id."""
        states: dict[OrderId, list[str]] = {identity: [] for identity in order_ids}
        for sale in await judged(self.erp.find_sales(states)):
            states[OrderId(sale.reference)].append(sale.state.value)
        return states

    async def invoices(self, invoice_ids: Sequence[InvoiceId]) -> Mapping[InvoiceId, Sequence[PostedInvoice]]:
        """Each customer invoice under each id, drafts too; cancelled ones are left out."""
        found = await judged(self.erp.invoices.find_all(invoice_ids))
        live = [invoice for invoice in found if invoice.state is not InvoiceState.CANCELLED]
        dunnings = await judged(self.erp.dunnings.active(line for invoice in live for line in invoice.lines_to_pay))
        overdue = {line for line, dunning in dunnings.items() if not dunning.blocked}
        there: dict[InvoiceId, list[PostedInvoice]] = {identity: [] for identity in invoice_ids}
        for invoice in live:
            there[InvoiceId(invoice.reference)].append(_as_posted(invoice, is_overdue=not overdue.isdisjoint(invoice.lines_to_pay)))
        return there


def _as_posted(invoice: Invoice, *, is_overdue: bool) -> PostedInvoice:
    return PostedInvoice(
        currency=invoice.currency_code,
        total=invoice.total_amount,
        tax=invoice.tax_amount,
        open=invoice.amount_to_pay if invoice.in_books else invoice.total_amount,
        is_posted=invoice.in_books,
        is_overdue=is_overdue,
    )
