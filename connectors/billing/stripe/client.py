"""Stripe's HTTP interface as the connector uses it; actions and reader call it. Every write may be sent twice with the same key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from connectors.billing.stripe.forms import price_form, subscription_form, tax_rate_form
from connectors.billing.stripe.payloads import Invoice
from connectors.billing.stripe.records import EXTERNAL_ID, Customer, NewSubscription, Price, PriceTerms, Shape, Subscription, TaxRate
from connectors.billing.stripe.refusals import ErrorAnswer, StripeRefused, failure
from integration_fabric.connector_kit.http_client import Answer, HttpClient, http_client
from integration_fabric.connector_kit.shapes import shaped

API_VERSION = "2024-06-20"
PAGE_RECORDS = 100
SEARCH_LAGS_BY = timedelta(minutes=2)
"""Stripe's search shows what was written within a minute, mostly; what is younger is looked up in the list, which is never behind."""

ShapeT = TypeVar("ShapeT", bound=Shape)


class Listed(Shape, Generic[ShapeT]):
    """One page."""

    data: tuple[ShapeT, ...]
    has_more: bool


class Product(Shape):
    """What a price is for."""

    id: str


@dataclass(frozen=True, slots=True)
class Stripe:
    """One account. Safe to share among the tasks of one event loop.

    Every method may raise what `HttpClient.call` raises, StripeRefused, and VendorDrift for an answer of another shape; writes also
    Transient where another request with the same key is under way, and KeyReused.
    """

    http: HttpClient
    _tax_rates: dict[str, TaxRate] = field(default_factory=dict)
    """By tax code, as they were listed last."""

    # Who pays

    async def find_customer(self, external_id: str) -> Customer | None:
        """The oldest customer with this external id."""
        found = await self._search("/v1/customers", Listed[Customer], external_id)
        return found[-1] if found else None

    async def create_customer(self, external_id: str, *, key: str, payment_method: str | None = None) -> Customer:
        """Add a customer; one with a payment method is charged by it, the others get invoices."""
        form = {"name": external_id, f"metadata[{EXTERNAL_ID}]": external_id}
        if payment_method is not None:
            form |= {"payment_method": payment_method, "invoice_settings[default_payment_method]": payment_method}
        return await self._post("/v1/customers", Customer, form, key=key)

    async def set_payment_method(self, external_id: str, payment_method: str) -> None:
        """From now on charge a customer by another card, e.g. one of Stripe's test cards. Raises LookupError where there is none."""
        payer = await self.find_customer(external_id)
        if payer is None:
            raise LookupError(f"billing has no customer {external_id}")
        attached = await self._post(
            f"/v1/payment_methods/{payment_method}/attach", Product, {"customer": payer.id}, key=f"attach:{uuid4().hex}"
        )
        form = {"invoice_settings[default_payment_method]": attached.id}
        await self._post(f"/v1/customers/{payer.id}", Customer, form, key=f"card:{uuid4().hex}")

    # What is charged

    async def ensure_product(self, product_id: str, name: str, *, key: str) -> None:
        """Add a product under this id, where there is none."""
        try:
            await self._get(f"/v1/products/{quote(product_id, safe='')}", Product)
        except StripeRefused as absent:
            if absent.status != httpx.codes.NOT_FOUND:
                raise
            await self._add_product(product_id, name, key=key)

    async def _add_product(self, product_id: str, name: str, *, key: str) -> None:
        try:
            await self._post("/v1/products", Product, {"id": product_id, "name": name}, key=key)
        except StripeRefused as refused:
            if refused.code != "resource_already_exists":
                raise

    async def ensure_price(self, terms: PriceTerms, *, key: str) -> str:
        """Add a price under its lookup key, where there is none; one that charges something else loses the key to the new one.

        Returns:
            The price's id.
        """
        try:
            return (await self._post("/v1/prices", Price, price_form(terms), key=key)).id
        except StripeRefused as refused:
            if refused.param != "lookup_key":
                raise
        holder = await self._get("/v1/prices", Listed[Price], {"lookup_keys[]": terms.lookup_key})
        if holder.data and terms.is_that_of(holder.data[0]):
            return holder.data[0].id
        form = {**price_form(terms), "transfer_lookup_key": "true"}
        return (await self._post("/v1/prices", Price, form, key=f"{key}:anew")).id

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
        anew = f"{key}:{percentage.normalize():f}:{there.id if there else 'first'}"
        made = await self._post("/v1/tax_rates", TaxRate, tax_rate_form(code, percentage), key=anew)
        if there is not None:
            await self._post(f"/v1/tax_rates/{there.id}", TaxRate, {"active": "false"}, key=f"{key}:{there.id}")
        self._tax_rates[code] = made
        return made.id

    async def _list_tax_rates(self) -> None:
        """The oldest of a code counts last: a newer one takes its place."""
        found: list[TaxRate] = []
        wanted = {"active": "true", "limit": str(PAGE_RECORDS)}
        while True:
            page = await self._get("/v1/tax_rates", Listed[TaxRate], wanted)
            found += page.data
            if not page.has_more:
                break
            wanted["starting_after"] = page.data[-1].id
        self._tax_rates.clear()
        self._tax_rates.update((rate.code, rate) for rate in reversed(found))

    # Subscriptions

    async def create_subscription(self, new: NewSubscription, *, key: str) -> Subscription:
        """Add a subscription; a payment method that is declined leaves none."""
        return await self._post("/v1/subscriptions", Subscription, subscription_form(new), key=key)

    async def find_subscriptions(self, external_id: str) -> Sequence[Subscription]:
        """Those with this external id, whatever their state, newest first; one of the last minute may be missing."""
        return await self._search("/v1/subscriptions", Listed[Subscription], external_id)

    async def list_subscriptions(self, *, since: datetime | None = None) -> Sequence[Subscription]:
        """All, or those that were made since; whatever their state, newest first, never behind."""
        wanted = {"status": "all", "limit": str(PAGE_RECORDS)}
        if since is not None:
            wanted["created[gte]"] = str(int(since.timestamp()))
        found: list[Subscription] = []
        while True:
            page = await self._get("/v1/subscriptions", Listed[Subscription], wanted)
            found += [each for each in page.data if since is None or each.created >= since]
            if not page.has_more or (since is not None and page.data[-1].created < since):
                return found
            wanted["starting_after"] = page.data[-1].id

    async def cancel_subscription(self, subscription_id: str, *, reason: str) -> Subscription:
        """End a subscription now; nothing where it has ended. Raises StripeRefused with status 404 where it is none."""
        path = f"/v1/subscriptions/{quote(subscription_id, safe='')}"
        answer = await self.http.call("DELETE", path, data={"cancellation_details[comment]": reason})
        try:
            return _dealt_with(answer, Subscription)
        except StripeRefused as refused:
            if refused.status != httpx.codes.NOT_FOUND:
                raise
            return await self._get(path, Subscription)

    # Invoices

    async def list_invoices(self, subscription_id: str) -> Sequence[Invoice]:
        """All invoices of a subscription by Stripe's own id, newest first."""
        found: list[Invoice] = []
        wanted = {"subscription": subscription_id, "limit": str(PAGE_RECORDS)}
        while True:
            page = await self._get("/v1/invoices", Listed[Invoice], wanted)
            found += page.data
            if not page.has_more:
                return found
            wanted["starting_after"] = page.data[-1].id

    async def bill_again(self, external_id: str) -> str:
        """Issue the next period's invoice without collecting it; on Stripe's own servers it is time (a test clock) that makes one.

        Args:
            external_id: Of the subscription.

        Returns:
            Stripe's id of the invoice, which is the canonical one.
        """
        subscription = next(each for each in await self.list_subscriptions() if each.metadata.get(EXTERNAL_ID) == external_id)
        form = {"customer": subscription.customer, "subscription": subscription.id, "auto_advance": "false"}
        drafted = await self._post("/v1/invoices", Invoice, form, key=f"bill:{uuid4().hex}")
        finalised = await self._post(f"/v1/invoices/{drafted.id}/finalize", Invoice, {"auto_advance": "false"}, key=f"issue:{drafted.id}")
        return finalised.id

    async def pay_invoice(self, invoice_id: str) -> bool:
        """Collect an open invoice now; False where the payer's card was declined."""
        try:
            await self._post(f"/v1/invoices/{quote(invoice_id, safe='')}/pay", Invoice, {}, key=f"pay:{uuid4().hex}")
        except StripeRefused as refused:
            if refused.status != httpx.codes.PAYMENT_REQUIRED:
                raise
            return False
        return True

    # How it is done

    async def _search(self, path: str, shape: type[Listed[ShapeT]], external_id: str) -> Sequence[ShapeT]:
        value = external_id.replace("\\", "\\\\").replace("'", "\\'")
        wanted = {"query": f"metadata['{EXTERNAL_ID}']:'{value}'", "limit": str(PAGE_RECORDS)}
        return (await self._get(f"{path}/search", shape, wanted)).data

    async def _get(self, path: str, shape: type[ShapeT], params: Mapping[str, str] | None = None) -> ShapeT:
        return _dealt_with(await self.http.call("GET", path, params=params), shape)

    async def _post(self, path: str, shape: type[ShapeT], form: Mapping[str, str], *, key: str) -> ShapeT:
        return _dealt_with(await self.http.call("POST", path, data=form, headers={"Idempotency-Key": key}), shape)


@asynccontextmanager
async def open_stripe(*, system: str, url: str, key: str, answer_within: timedelta = timedelta(seconds=8)) -> AsyncIterator[Stripe]:
    """A client of one account, closed at the end.

    Args:
        system: Its name in the fabric, for messages.
        url: Without `/v1`, e.g. `https://api.stripe.com`.
        key: The secret key.
        answer_within: For one call.
    """
    async with http_client(system=system, base_url=url, headers=headers(key), answer_within=answer_within) as http:
        yield Stripe(http)


def headers(key: str) -> dict[str, str]:
    """Of every request."""
    return {"Authorization": f"Bearer {key}", "Stripe-Version": API_VERSION}


def _dealt_with(answer: Answer, shape: type[ShapeT]) -> ShapeT:
    if answer.is_success:
        return shaped(shape, answer.json())
    raise failure(answer.status, shaped(ErrorAnswer, answer.json()).error)
