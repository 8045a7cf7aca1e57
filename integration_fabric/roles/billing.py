"""Billing: subscriptions, and later rating, invoices and payments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from integration_fabric.messages.ids import SubscriptionId
from integration_fabric.messages.subscriptions import CancelSubscription, StartSubscription
from integration_fabric.roles.role import Role

BILLING = Role("billing", frozenset({StartSubscription, CancelSubscription}))


class BillingReader(Protocol):
    """Reads, for counting and reconciliation. Raises Unavailable where the system does not answer."""

    async def subscriptions(self, subscription_ids: Sequence[SubscriptionId]) -> Mapping[SubscriptionId, Sequence[str]]:
        """The state of each subscription under this id: one entry for each record, so that a double shows."""
        ...
