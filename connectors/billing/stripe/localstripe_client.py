"""localstripe as its commands use it; they are in `localstripe.py` beside this.

It speaks an older Stripe: plans with whole amounts, no prices, no search, no invoices to send, and it ignores idempotency keys. So every
create looks first, by an id of ours where it takes one and by metadata where it does not, and every payer needs a card.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import httpx
from stripe.params import CustomerCreateParams, CustomerListParams, PlanCreateParams, SubscriptionListParams

from connectors.billing.stripe.account import PAGE_RECORDS, Account, once
from connectors.billing.stripe.plans import Plan, PlanTerms, plan_form, plan_subscription_form
from connectors.billing.stripe.records import EXTERNAL_ID, Customer, Identified, NewSubscription, Subscription
from connectors.billing.stripe.refusals import Error, StripeRefused, failure
from connectors.billing.stripe.sdk import Api, Listed, RecordT, api_over, open_api

_CARDS = {"pm_card_chargeDeclined": "pm_card_chargeCustomerFail", "pm_card_visa_chargeDeclined": "pm_card_chargeCustomerFail"}
"""Test cards that localstripe does not know, or declines when they are attached, and what fails when it is charged instead."""


@dataclass(frozen=True, slots=True)
class Localstripe(Account):
    """One running localstripe. Safe to share among the tasks of one event loop."""

    _payers: dict[str, asyncio.Lock] = field(default_factory=dict)
    """Two first orders of one payer at once, in this process, make one customer; in two processes they could make two."""

    # Who pays

    async def find_customer(self, external_id: str) -> Customer | None:
        """The oldest customer with this external id."""

        def page(after: str | None) -> Awaitable[object]:
            wanted: CustomerListParams = {"email": _mail_of(external_id), "limit": PAGE_RECORDS}
            if after is not None:
                wanted["starting_after"] = after
            return self.api.v1.customers.list_async(wanted)

        found = await self.api.pages(page, Listed[Customer])
        return next((each for each in found if each.metadata.get(EXTERNAL_ID) == external_id), None)

    async def create_customer(self, external_id: str, *, key: str, payment_method: str | None = None) -> Customer:  # noqa: ARG002  ignored there
        """Have a customer, who is charged by one of Stripe's test cards, e.g. `pm_card_visa`; nothing but the card where there is one."""
        async with self._payers.setdefault(external_id, asyncio.Lock()):
            there = await self.find_customer(external_id)
            if there is None:
                return await self._add_customer(external_id, payment_method)
        if payment_method is not None:
            await self.set_payment_method(external_id, payment_method)
        return there

    async def _add_customer(self, external_id: str, payment_method: str | None) -> Customer:
        form: CustomerCreateParams = {"name": external_id, "email": _mail_of(external_id), "metadata": {EXTERNAL_ID: external_id}}
        if payment_method is not None:
            card = await self._card(payment_method)
            form["payment_method"], form["invoice_settings"] = card, {"default_payment_method": card}
        return await self.api.answer(self.api.v1.customers.create_async(form, once("customer")), Customer)

    async def set_payment_method(self, external_id: str, payment_method: str) -> None:
        """From now on charge a customer by another of Stripe's test cards. Raises LookupError where there is no such customer."""
        payer = await self.find_customer(external_id)
        if payer is None:
            raise LookupError(f"billing has no customer {external_id}")
        card = await self._card(payment_method)
        await self.api.answer(self.api.v1.payment_methods.attach_async(card, {"customer": payer.id}, once("attach")), Identified)
        settings = self.api.v1.customers.update_async(payer.id, {"invoice_settings": {"default_payment_method": card}}, once("charge-by"))
        await self.api.answer(settings, Customer)

    async def _card(self, name: str) -> str:
        """A card of its own: asking for one of Stripe's test cards by name makes one, as it does with Stripe."""
        return (await self.api.answer(self.api.v1.payment_methods.retrieve_async(_CARDS.get(name, name)), Identified)).id

    # What is charged

    async def ensure_product(self, product_id: str, name: str) -> None:
        """Add a product under this id, where there is none."""
        if await self._there(self.api.v1.products.retrieve_async(product_id), Identified) is None:
            await self._added(self.api.v1.products.create_async({"id": product_id, "name": name}, once("product")))

    async def ensure_plan(self, terms: PlanTerms) -> str:
        """Add a plan under the order line's id; one that charges something else stays, and the new one's id has the amount in it.

        Returns:
            The plan's id.
        """
        for identity in (terms.order_line_id, f"{terms.order_line_id}:{terms.amount}"):
            there = await self._there(self.api.v1.plans.retrieve_async(identity), Plan)
            if there is None:
                form: PlanCreateParams = plan_form(terms, identity)
                await self._added(self.api.v1.plans.create_async(form, once("plan")))
                return identity
            if terms.is_that_of(there):
                return identity
        raise StripeRefused(
            f"plan {terms.order_line_id} is there, and charges something else", code="resource_already_exists", param="plan"
        )

    async def _there(self, call: Awaitable[object], shape: type[RecordT]) -> RecordT | None:
        try:
            return await self.api.answer(call, shape)
        except StripeRefused as absent:
            if absent.status != httpx.codes.NOT_FOUND:
                raise
            return None

    async def _added(self, call: Awaitable[object]) -> None:
        try:
            await self.api.answer(call, Identified)
        except StripeRefused as refused:
            if refused.status != httpx.codes.CONFLICT:  # somebody else was first
                raise

    # Subscriptions

    async def create_subscription(self, new: NewSubscription) -> Subscription:
        """Add a subscription, whose items name plans; a card that is declined leaves none. The caller has looked whether it is there."""
        return await self.api.answer(
            self.api.v1.subscriptions.create_async(plan_subscription_form(new), once("subscription")), Subscription
        )

    async def find_subscriptions(self, external_id: str, *, payer: Customer | None = None) -> Sequence[Subscription]:
        """Those with this external id, whatever their state, the oldest first; where the payer is known only theirs are looked through."""

        def page(after: str | None) -> Awaitable[object]:
            wanted: SubscriptionListParams = {"status": "all", "limit": PAGE_RECORDS}
            if payer is not None:
                wanted["customer"] = payer.id
            if after is not None:
                wanted["starting_after"] = after
            return self.api.v1.subscriptions.list_async(wanted)

        found = await self.api.pages(page, Listed[Subscription])
        return [each for each in found if each.metadata.get(EXTERNAL_ID) == external_id]


@asynccontextmanager
async def open_localstripe(
    *, system: str, url: str, key: str, answer_within: timedelta = timedelta(seconds=8)
) -> AsyncIterator[Localstripe]:
    """A client of a running localstripe, closed at the end. Arguments as `open_api` takes them."""
    async with open_api(system=system, url=url, key=key, answer_within=answer_within) as api:
        yield Localstripe(_named(api))


def over(http: httpx.AsyncClient, *, system: str, url: str, key: str) -> Localstripe:
    """A client over a client of httpx that somebody else opens and closes."""
    return Localstripe(_named(api_over(http, system=system, url=url, key=key)))


def _named(api: Api) -> Api:
    return replace(api, named=failure_there)


def failure_there(status: int, error: Error) -> Exception:
    """What an error says: its errors have no code, and a second object of one id is a conflict, which no repetition resolves."""
    if status in {httpx.codes.NOT_FOUND, httpx.codes.CONFLICT}:
        code = "resource_missing" if status == httpx.codes.NOT_FOUND else "resource_already_exists"
        return StripeRefused(error.message or code, status=status, code=code, param=error.param or "")
    if status == httpx.codes.BAD_REQUEST and error.code is None:
        return failure(status, error.model_copy(update={"code": "parameter_invalid"}))
    return failure(status, error)


def _mail_of(external_id: str) -> str:
    """By which customers can be asked for: it is the one thing that they are listed by. Nobody gets mail there (RFC 2606)."""
    return f"{external_id}@customers.invalid"
