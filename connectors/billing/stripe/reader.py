"""What stands in Stripe, for counting and reconciliation: `roles.billing.BillingReader`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from connectors.billing.stripe.client import Stripe
from connectors.billing.stripe.records import EXTERNAL_ID, Subscription
from integration_fabric.connector_kit.several import side_by_side
from integration_fabric.messages.ids import SubscriptionId
from integration_fabric.roles.billing import BillingReader

SEARCHED_SINGLY = 10
"""Up to so many are searched one by one; for more the whole list is read, a hundred a page."""


@dataclass(frozen=True, slots=True)
class StripeReader(BillingReader):
    """Reads one account. It may miss what was made within the last minute where few are asked for: Stripe's search is behind."""

    stripe: Stripe

    async def subscriptions(self, subscription_ids: Sequence[SubscriptionId]) -> Mapping[SubscriptionId, Sequence[str]]:
        """The status of each subscription under each id."""
        states: dict[SubscriptionId, list[str]] = {identity: [] for identity in subscription_ids}
        for subscription in await self._candidates(states):
            identity = SubscriptionId(subscription.metadata.get(EXTERNAL_ID, ""))
            if identity in states:
                states[identity].append(subscription.status)
        return states

    async def _candidates(self, wanted: Mapping[SubscriptionId, object]) -> Iterable[Subscription]:
        if len(wanted) > SEARCHED_SINGLY:
            return await self.stripe.list_subscriptions()
        return [each for found in await side_by_side(self.stripe.find_subscriptions, wanted) for each in found]
