"""Billing: subscriptions, invoices and payments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from integration_fabric.messages.ids import InvoiceId, SubscriptionId
from integration_fabric.messages.subscriptions import CancelSubscription, StartSubscription
from integration_fabric.roles.role import Role

BILLING = Role("billing", frozenset({StartSubscription, CancelSubscription}))


@dataclass(frozen=True, slots=True)
class BilledInvoice:
    """An invoice that billing has issued; amounts in its currency."""

    invoice_id: InvoiceId
    """Canonical id, which is the one that intake gives it."""
    currency: str
    total: Decimal
    """With tax."""
    tax: Decimal
    paid: Decimal


class BillingReader(Protocol):
    """Reads, for counting and reconciliation. Raises Unavailable where the system does not answer."""

    async def subscriptions(self, subscription_ids: Sequence[SubscriptionId]) -> Mapping[SubscriptionId, Sequence[str]]:
        """The state of each subscription under this id: one entry for each record, so that a double shows."""
        ...

    async def invoices(self, subscription_ids: Sequence[SubscriptionId]) -> Mapping[SubscriptionId, Sequence[BilledInvoice]]:
        """The issued invoices of each subscription, the oldest first; drafts and void ones are left out."""
        ...
