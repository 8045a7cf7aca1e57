"""What every account offers alike, Stripe's own and localstripe's: lists, tax rates, cancelling, collecting."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import uuid4

import httpx
from stripe import RequestOptions
from stripe.params import InvoiceListParams, SubscriptionListParams, TaxRateListParams

from connectors.billing.stripe.forms import tax_rate_form
from connectors.billing.stripe.payloads import Invoice
from connectors.billing.stripe.records import EXTERNAL_ID, Subscription, TaxRate
from connectors.billing.stripe.refusals import StripeRefused
from connectors.billing.stripe.sdk import Api, Listed

PAGE_RECORDS = 100


@dataclass(frozen=True, slots=True)
class Account:
    """One account. Safe to share among the tasks of one event loop.

    Every method may raise what `Api.answer` raises; writes also Transient where another request with the same key is under way, and
    KeyReused.
    """

    api: Api
    _tax_rates: dict[str, TaxRate] = field(default_factory=dict)
    """By tax code, as they were listed last."""

    # Tax

    async def find_tax_rates(self, codes: Collection[str]) -> Mapping[str, str]:
        """Ids of the active tax rates by tax code; codes that have none are missing. Listed again only where one is not known yet."""
        if not self._tax_rates.keys() >= set(codes):
            await self._list_tax_rates()
        return {code: self._tax_rates[code].id for code in codes if code in self._tax_rates}

    async def ensure_tax_rate(self, code: str, percentage: Decimal, *, key: str) -> str:
        """Have an active tax rate of this code, in place of one with another percentage.

        Args:
            code: The tax code.
            percentage: As a fraction, e.g. 0.25.
            key: Idempotency key.

        Returns:
            The tax rate's id.
        """
        await self._list_tax_rates()
        there = self._tax_rates.get(code)
        if there is not None and there.percentage == percentage * 100:
            return there.id
        rates = self.api.v1.tax_rates
        anew = f"{key}:{percentage.normalize():f}:{there.id if there else 'first'}"
        made = await self.api.answer(rates.create_async(tax_rate_form(code, percentage), {"idempotency_key": anew}), TaxRate)
        if there is not None:
            await self.api.answer(rates.update_async(there.id, {"active": False}, {"idempotency_key": f"{key}:{there.id}"}), TaxRate)
        self._tax_rates[code] = made
        return made.id

    async def _list_tax_rates(self) -> None:
        """A newer one of a code takes the place of an older one."""

        def page(after: str | None) -> Awaitable[object]:
            wanted: TaxRateListParams = {"limit": PAGE_RECORDS}
            if after is not None:
                wanted["starting_after"] = after
            return self.api.v1.tax_rates.list_async(wanted)

        found = [rate for rate in await self.api.pages(page, Listed[TaxRate]) if rate.active]
        self._tax_rates.clear()
        self._tax_rates.update((rate.code, rate) for rate in sorted(found, key=lambda rate: rate.created))

    # Subscriptions

    async def list_subscriptions(self) -> Sequence[Subscription]:
        """All, whatever their state; never behind."""

        def page(after: str | None) -> Awaitable[object]:
            wanted: SubscriptionListParams = {"status": "all", "limit": PAGE_RECORDS}
            if after is not None:
                wanted["starting_after"] = after
            return self.api.v1.subscriptions.list_async(wanted)

        return await self.api.pages(page, Listed[Subscription])

    async def cancel_subscription(self, subscription_id: str, *, reason: str) -> Subscription:
        """End a subscription now; nothing where it has ended. Raises StripeRefused with status 404 where it is none."""
        subscriptions = self.api.v1.subscriptions
        try:
            return await self.api.answer(
                subscriptions.cancel_async(subscription_id, {"cancellation_details": {"comment": reason}}), Subscription
            )
        except StripeRefused as refused:
            if refused.status != httpx.codes.NOT_FOUND:
                raise
            return await self.api.answer(subscriptions.retrieve_async(subscription_id), Subscription)

    # Invoices

    async def list_invoices(self, subscription_id: str) -> Sequence[Invoice]:
        """All invoices of a subscription by its id in the account, newest first."""

        def page(after: str | None) -> Awaitable[object]:
            wanted: InvoiceListParams = {"subscription": subscription_id, "limit": PAGE_RECORDS}
            if after is not None:
                wanted["starting_after"] = after
            return self.api.v1.invoices.list_async(wanted)

        return await self.api.pages(page, Listed[Invoice])

    async def bill_again(self, external_id: str) -> str:
        """Issue the next period's invoice without collecting it; on Stripe's own servers it is time (a test clock) that makes one.

        Args:
            external_id: Of the subscription.

        Returns:
            The invoice's id, which is the canonical one. Raises LookupError where there is no such subscription.
        """
        found = [each for each in await self.list_subscriptions() if each.metadata.get(EXTERNAL_ID) == external_id and each.is_live]
        if not found:
            raise LookupError(f"billing has no subscription {external_id}")
        invoices = self.api.v1.invoices
        drafted = await self.api.answer(
            invoices.create_async({"customer": found[0].customer, "subscription": found[0].id}, once("bill")), Invoice
        )
        return (await self.api.answer(invoices.finalize_invoice_async(drafted.id, {"auto_advance": False}, once("issue")), Invoice)).id

    async def pay_invoice(self, invoice_id: str) -> bool:
        """Collect an open invoice now; False where the payer's card was declined."""
        try:
            await self.api.answer(self.api.v1.invoices.pay_async(invoice_id, {}, once("pay")), Invoice)
        except StripeRefused as refused:
            if refused.status != httpx.codes.PAYMENT_REQUIRED:
                raise
            return False
        return True


def once(what: str) -> RequestOptions:
    """A key of its own for a request that is meant to be made as often as it is asked for, as people do."""
    return {"idempotency_key": f"{what}:{uuid4().hex}"}
