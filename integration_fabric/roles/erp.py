"""ERP: the financial record, master data, legal entities, tax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from integration_fabric.messages.ids import InvoiceId, OrderId
from integration_fabric.messages.invoices import PostInvoice, UpdateReceivable
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder
from integration_fabric.messages.payments import ApplyPayment
from integration_fabric.messages.quotes import ValidateQuote
from integration_fabric.roles.role import Role

ERP = Role("erp", frozenset({ValidateQuote, CreateOrder, ActivateOrder, CancelOrder, PostInvoice, ApplyPayment, UpdateReceivable}))


@dataclass(frozen=True, slots=True)
class PostedInvoice:
    """An invoice as it stands in the ERP's books; amounts in its currency."""

    currency: str
    total: Decimal
    """With tax."""
    tax: Decimal
    open: Decimal
    """What is left to pay."""
    is_posted: bool
    """Whether it is in the books; a draft is not."""
    is_overdue: bool
    """Whether the ERP's users see it as overdue."""


class ErpReader(Protocol):
    """Reads, for counting and reconciliation. Raises Unavailable where the system does not answer."""

    async def orders(self, order_ids: Sequence[OrderId]) -> Mapping[OrderId, Sequence[str]]:
        """The state of each order that stands in the system under this id: one entry for each record, so that a double shows."""
        ...

    async def invoices(self, invoice_ids: Sequence[InvoiceId]) -> Mapping[InvoiceId, Sequence[PostedInvoice]]:
        """Each invoice that stands in the system under this id: one entry for each record, so that a double shows."""
        ...
