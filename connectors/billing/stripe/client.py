"""Stripe as the connector uses it, through Stripe's own SDK; actions and reader call it. Every write may be sent twice with one key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
from stripe.params import CustomerCreateParams, SubscriptionListParams

from connectors.billing.stripe.account import PAGE_RECORDS, Account, once
from connectors.billing.stripe.forms import price_form, subscription_form
from connectors.billing.stripe.records import EXTERNAL_ID, Customer, Identified, NewSubscription, Price, PriceTerms, Subscription
from connectors.billing.stripe.refusals import StripeRefused
from connectors.billing.stripe.sdk import Listed, api_over, open_api

SEARCH_LAGS_BY = timedelta(minutes=2)
"""Stripe's search shows what was written within a minute, mostly; what is younger is looked up in the list, which is never behind."""


@dataclass(frozen=True, slots=True)
class Stripe(Account):
    """One account with Stripe."""

    # Who pays

    async def find_customer(self, external_id: str) -> Customer | None:
        """The oldest customer with this external id."""
        found = await self.api.answer(
            self.api.v1.customers.search_async({"query": _query(external_id), "limit": PAGE_RECORDS}), Listed[Customer]
        )
        return found.data[-1] if found.data else None

    async def create_customer(self, external_id: str, *, key: str, payment_method: str | None = None) -> Customer:
        """Add a customer; one with a payment method is charged by it, the others get invoices."""
        form: CustomerCreateParams = {"name": external_id, "metadata": {EXTERNAL_ID: external_id}}
        if payment_method is not None:
            form["payment_method"] = payment_method
            form["invoice_settings"] = {"default_payment_method": payment_method}
        return await self.api.answer(self.api.v1.customers.create_async(form, {"idempotency_key": key}), Customer)

    async def set_payment_method(self, external_id: str, payment_method: str) -> None:
        """From now on charge a customer by another card, e.g. one of Stripe's test cards. Raises LookupError where there is none."""
        payer = await self.find_customer(external_id)
        if payer is None:
            raise LookupError(f"billing has no customer {external_id}")
        attached = await self.api.answer(
            self.api.v1.payment_methods.attach_async(payment_method, {"customer": payer.id}, once("attach")), Identified
        )
        settings = self.api.v1.customers.update_async(
            payer.id, {"invoice_settings": {"default_payment_method": attached.id}}, once("charge-by")
        )
        await self.api.answer(settings, Customer)

    # What is charged

    async def ensure_product(self, product_id: str, name: str, *, key: str) -> None:
        """Add a product under this id, where there is none."""
        try:
            await self.api.answer(self.api.v1.products.retrieve_async(product_id), Identified)
        except StripeRefused as absent:
            if absent.status != httpx.codes.NOT_FOUND:
                raise
            await self._add_product(product_id, name, key=key)

    async def _add_product(self, product_id: str, name: str, *, key: str) -> None:
        adding = self.api.v1.products.create_async({"id": product_id, "name": name}, {"idempotency_key": key})
        try:
            await self.api.answer(adding, Identified)
        except StripeRefused as refused:
            if refused.code != "resource_already_exists":
                raise

    async def ensure_price(self, terms: PriceTerms, *, key: str) -> str:
        """Add a price under its lookup key, where there is none; one that charges something else loses the key to the new one.

        Returns:
            The price's id.
        """
        prices = self.api.v1.prices
        try:
            return (await self.api.answer(prices.create_async(price_form(terms), {"idempotency_key": key}), Price)).id
        except StripeRefused as refused:
            if refused.param != "lookup_key":
                raise
        holder = await self.api.answer(prices.list_async({"lookup_keys": [terms.lookup_key]}), Listed[Price])
        if holder.data and terms.is_that_of(holder.data[0]):
            return holder.data[0].id
        form = price_form(terms)
        form["transfer_lookup_key"] = True
        return (await self.api.answer(prices.create_async(form, {"idempotency_key": f"{key}:anew"}), Price)).id

    # Subscriptions

    async def create_subscription(self, new: NewSubscription, *, key: str) -> Subscription:
        """Add a subscription; a payment method that is declined leaves none."""
        return await self.api.answer(self.api.v1.subscriptions.create_async(subscription_form(new), {"idempotency_key": key}), Subscription)

    async def find_subscriptions(self, external_id: str) -> Sequence[Subscription]:
        """Those with this external id, whatever their state, newest first; one of the last minute may be missing."""
        searching = self.api.v1.subscriptions.search_async({"query": _query(external_id), "limit": PAGE_RECORDS})
        return (await self.api.answer(searching, Listed[Subscription])).data

    async def latest_subscriptions(self, *, since: datetime) -> Sequence[Subscription]:
        """Those that were made since, whatever their state, newest first; never behind."""

        def page(after: str | None) -> Awaitable[object]:
            wanted: SubscriptionListParams = {"status": "all", "limit": PAGE_RECORDS, "created": {"gte": int(since.timestamp())}}
            if after is not None:
                wanted["starting_after"] = after
            return self.api.v1.subscriptions.list_async(wanted)

        found = await self.api.pages(page, Listed[Subscription], until=lambda each: each.created < since)
        return [each for each in found if each.created >= since]


@asynccontextmanager
async def open_stripe(*, system: str, url: str, key: str, answer_within: timedelta = timedelta(seconds=8)) -> AsyncIterator[Stripe]:
    """A client of one account, closed at the end. Arguments as `open_api` takes them."""
    async with open_api(system=system, url=url, key=key, answer_within=answer_within) as api:
        yield Stripe(api)


def over(http: httpx.AsyncClient, *, system: str, url: str, key: str) -> Stripe:
    """A client of one account over a client of httpx that somebody else opens and closes."""
    return Stripe(api_over(http, system=system, url=url, key=key))


def _query(external_id: str) -> str:
    value = external_id.replace("\\", "\\\\").replace("'", "\\'")
    return f"metadata['{EXTERNAL_ID}']:'{value}'"
