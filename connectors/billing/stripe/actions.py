"""Billing commands → Stripe calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from connectors.billing.stripe.client import SEARCH_LAGS_BY, Stripe
from connectors.billing.stripe.records import EXTERNAL_ID, Customer, Subscription
from connectors.billing.stripe.refusals import KeyReused, StripeRefused
from connectors.billing.stripe.translate import (
    activated,
    cancelled,
    charging,
    new_item,
    new_subscription,
    price_terms,
    problem_of,
    unbillable,
)
from integration_fabric.connector_kit.actions import action
from integration_fabric.connector_kit.several import side_by_side
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.orders import OrderLine
from integration_fabric.messages.problems import Problem
from integration_fabric.messages.subscriptions import (
    CancelSubscription,
    StartSubscription,
    SubscriptionActivated,
    SubscriptionCancellationRejected,
    SubscriptionCancelled,
    SubscriptionRejected,
)
from integration_fabric.runtime.context import Context


@action(Strategy.NATIVE_KEY, timeout=timedelta(seconds=20))
async def start_subscription(command: StartSubscription, call: Context[Stripe]) -> SubscriptionActivated | SubscriptionRejected:
    """Customer, products, prices, subscription: each under a key of its own, so that going through it again adds nothing.

    Stripe forgets keys after a day, and a second attempt at the step has other keys: so it first looks under the canonical id.
    """
    there = charging(await call.needs.find_subscriptions(command.subscription_id))
    if there is not None:
        return activated(command, there)
    payer = await call.needs.find_customer(command.bill_to)
    tax_rates = await call.needs.find_tax_rates({line.tax_code for line in command.lines})
    if problems := unbillable(command, payer, tax_rates):
        return rejected(command, call.now, problems)
    try:
        subscription = await _start(command, call, payer, tax_rates)
    except StripeRefused as refused:
        return rejected(command, call.now, (problem_of(refused, command),))
    except KeyReused:
        # Our own parameters have changed between two attempts: the first may have been carried out, and only Stripe knows. If not, it is
        # no refusal and no conflict of the order's, but drift, and the effect stays unknown until a person has looked.
        there = charging(await _of(command.subscription_id, call))
        if there is None:
            raise
        return activated(command, there)
    if not subscription.is_charging:
        return rejected(command, call.now, (unpaid(command, subscription),))
    return activated(command, subscription)


@start_subscription.read_back
async def find_subscription(command: StartSubscription, call: Context[Stripe]) -> SubscriptionActivated | None:
    """By external id."""
    there = charging(await _of(command.subscription_id, call))
    return activated(command, there) if there else None


@action(Strategy.NATIVE_KEY)
async def cancel_subscription(
    command: CancelSubscription, call: Context[Stripe]
) -> SubscriptionCancelled | SubscriptionCancellationRejected:
    """End whatever is there under the external id. Ending is final and names the vendor's own id, so it may be sent again at once."""
    there = await _of(command.subscription_id, call)
    if not there:
        return cancellation_rejected(command, call.now, "unknown-subscription", "billing has no subscription with this external id")
    try:
        ended = [await _end(each, command, call) for each in there]
    except StripeRefused as refused:
        return cancellation_rejected(command, call.now, "refused-by-billing", str(refused))
    return cancelled(command, ended)


@cancel_subscription.read_back
async def find_cancelled(command: CancelSubscription, call: Context[Stripe]) -> SubscriptionCancelled | None:
    """Whether all that is there under the external id has ended."""
    there = await _of(command.subscription_id, call)
    return cancelled(command, there) if there and not any(each.is_live for each in there) else None


async def _start(command: StartSubscription, call: Context[Stripe], payer: Customer | None, tax_rates: Mapping[str, str]) -> Subscription:
    if payer is None:
        # The payer's key rather than the command's: two first orders of one payer at once make one customer.
        payer = await call.needs.create_customer(command.bill_to, key=f"customer:{command.bill_to}")
    products = {line.product_id: line for line in command.lines}
    await side_by_side(lambda line: _ensure_product(line, call), products.values())
    prices = await side_by_side(lambda numbered: _ensure_price(command, numbered, call), enumerate(command.lines))
    items = [new_item(line, price, tax_rates[line.tax_code]) for line, price in zip(command.lines, prices, strict=True)]
    new = new_subscription(command, payer, items, call.now)
    return await call.needs.create_subscription(new, key=call.key("subscription"))


async def _ensure_product(line: OrderLine, call: Context[Stripe]) -> None:
    await call.needs.ensure_product(line.product_id, line.description or line.product_id, key=call.key("product", line.product_id))


async def _ensure_price(command: StartSubscription, numbered: tuple[int, OrderLine], call: Context[Stripe]) -> str:
    number, line = numbered
    try:
        terms = price_terms(command, line, correlation=call.envelope.correlation_id)
        return await call.needs.ensure_price(terms, key=call.key("price", line.order_line_id))
    except StripeRefused as refused:
        param = f"items[{number}][{refused.param}]"
        raise StripeRefused(str(refused), status=refused.status, code=refused.code, param=param) from refused


async def _of(subscription_id: str, call: Context[Stripe]) -> Sequence[Subscription]:
    """What is there under an external id, also of the last minute, which Stripe's search does not show yet."""
    found = await call.needs.find_subscriptions(subscription_id)
    if found:
        return found
    lately = await call.needs.latest_subscriptions(since=call.now - SEARCH_LAGS_BY)
    return [each for each in lately if each.metadata.get(EXTERNAL_ID) == subscription_id]


async def _end(subscription: Subscription, command: CancelSubscription, call: Context[Stripe]) -> Subscription:
    return await call.needs.cancel_subscription(subscription.id, reason=command.reason) if subscription.is_live else subscription


def unpaid(command: StartSubscription, subscription: Subscription) -> Problem:
    """The first payment is open."""
    hint = f"subscription {subscription.id} is '{subscription.status}': its first payment is open"
    return Problem(entity="customer", id=command.bill_to, field="bill_to", code="payment-incomplete", hint=hint)


def rejected(command: StartSubscription, now: datetime, problems: tuple[Problem, ...]) -> SubscriptionRejected:
    """Nothing is charged."""
    return SubscriptionRejected(
        subscription_id=command.subscription_id, order_id=command.order_id, problems=problems, aggregate_version=version_at(now)
    )


def cancellation_rejected(command: CancelSubscription, now: datetime, code: str, hint: str) -> SubscriptionCancellationRejected:
    """Nothing has ended."""
    problem = Problem(entity="subscription", id=command.subscription_id, field="subscription_id", code=code, hint=hint)
    return SubscriptionCancellationRejected(subscription_id=command.subscription_id, problems=(problem,), aggregate_version=version_at(now))
