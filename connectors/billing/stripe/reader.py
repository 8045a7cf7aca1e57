"""What stands in Stripe, for counting and reconciliation: `roles.billing.BillingReader`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from connectors.billing.stripe.account import Account
from connectors.billing.stripe.client import Stripe
from connectors.billing.stripe.invoices import charged_lines
from connectors.billing.stripe.money import major_units
from connectors.billing.stripe.payloads import Invoice
from connectors.billing.stripe.records import EXTERNAL_ID, Subscription
from integration_fabric.connector_kit.several import side_by_side
from integration_fabric.messages.ids import InvoiceId, SubscriptionId
from integration_fabric.roles.billing import BilledInvoice, BillingReader

SEARCHED_SINGLY = 10
"""Up to so many are searched one by one; for more the whole list is read, a hundred a page."""
_ISSUED = frozenset({"open", "paid", "uncollectible"})


def billed(invoice: Invoice) -> BilledInvoice:
    """An invoice as the reader shows it."""
    currency = invoice.currency
    return BilledInvoice(
        invoice_id=InvoiceId(invoice.id),
        currency=currency,
        total=major_units(invoice.total, currency),
        tax=major_units(sum(line.tax for line in invoice.lines.data), currency),
        paid=major_units(invoice.amount_paid, currency),
    )


@dataclass(frozen=True, slots=True)
class StripeReader(BillingReader):
    """Reads one account with Stripe, or a localstripe.

    Of Stripe it may miss what was made within the last minute where few are asked for: its search is behind.
    """

    stripe: Account

    async def subscriptions(self, subscription_ids: Sequence[SubscriptionId]) -> Mapping[SubscriptionId, Sequence[str]]:
        """The status of each subscription under each id."""
        states: dict[SubscriptionId, list[str]] = {identity: [] for identity in subscription_ids}
        for subscription in await self._candidates(states):
            identity = SubscriptionId(subscription.metadata.get(EXTERNAL_ID, ""))
            if identity in states:
                states[identity].append(subscription.status)
        return states

    async def invoices(self, subscription_ids: Sequence[SubscriptionId]) -> Mapping[SubscriptionId, Sequence[BilledInvoice]]:
        """The issued invoices of each subscription, the oldest first."""
        found: dict[SubscriptionId, list[BilledInvoice]] = {identity: [] for identity in subscription_ids}
        theirs = [each for each in await self._candidates(found) if each.metadata.get(EXTERNAL_ID) in found]
        for subscription, invoices in zip(theirs, await side_by_side(self._of, theirs), strict=True):
            found[SubscriptionId(subscription.metadata[EXTERNAL_ID])] += invoices
        return found

    async def _of(self, subscription: Subscription) -> Sequence[BilledInvoice]:
        found = await self.stripe.list_invoices(subscription.id)
        return [billed(each) for each in reversed(found) if each.status in _ISSUED and charged_lines(each)]

    async def _candidates(self, wanted: Mapping[SubscriptionId, object]) -> Iterable[Subscription]:
        if len(wanted) > SEARCHED_SINGLY or not isinstance(self.stripe, Stripe):
            return await self.stripe.list_subscriptions()
        return [each for found in await side_by_side(self.stripe.find_subscriptions, wanted) for each in found]
