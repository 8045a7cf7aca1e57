"""localstripe (https://github.com/adrienverge/localstripe) as billing: an older Stripe without keys, where each action looks first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from connectors.billing.stripe.actions import cancellation_rejected, rejected, unpaid
from connectors.billing.stripe.intake import StripeIntake
from connectors.billing.stripe.localstripe_client import Localstripe, open_localstripe
from connectors.billing.stripe.plans import plan_item, plan_terms, unbillable_there
from connectors.billing.stripe.records import Customer, Subscription
from connectors.billing.stripe.refusals import StripeRefused
from connectors.billing.stripe.translate import activated, cancelled, charging, new_subscription, problem_of
from integration_fabric.connector_kit.actions import action
from integration_fabric.connector_kit.connector import Connector
from integration_fabric.connector_kit.several import side_by_side
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.orders import OrderLine
from integration_fabric.messages.subscriptions import (
    CancelSubscription,
    StartSubscription,
    SubscriptionActivated,
    SubscriptionCancellationRejected,
    SubscriptionCancelled,
    SubscriptionRejected,
)
from integration_fabric.roles.billing import BILLING
from integration_fabric.runtime.context import Context

__all__ = ["LOCALSTRIPE", "Localstripe", "cancel_subscription", "open_localstripe", "start_subscription"]


@action(Strategy.LOOKUP_FIRST, timeout=timedelta(seconds=20))
async def start_subscription(command: StartSubscription, call: Context[Localstripe]) -> SubscriptionActivated | SubscriptionRejected:
    """Products, plans, subscription, each where it is not there yet."""
    payer = await call.needs.find_customer(command.bill_to)
    there = await _charging(command, payer, call)
    if there is not None:
        return activated(command, there)
    tax_rates = await call.needs.find_tax_rates({line.tax_code for line in command.lines})
    problems = unbillable_there(command, payer, tax_rates)
    if problems or payer is None:
        return rejected(command, call.now, problems)
    try:
        subscription = await _start(command, call, payer, tax_rates)
    except StripeRefused as refused:
        return rejected(command, call.now, (problem_of(refused, command),))
    if not subscription.is_charging:
        return rejected(command, call.now, (unpaid(command, subscription),))
    return activated(command, subscription)


@start_subscription.read_back
async def find_subscription(command: StartSubscription, call: Context[Localstripe]) -> SubscriptionActivated | None:
    """By external id, among those of the payer."""
    there = await _charging(command, await call.needs.find_customer(command.bill_to), call)
    return activated(command, there) if there else None


@action(Strategy.LOOKUP_FIRST)
async def cancel_subscription(
    command: CancelSubscription, call: Context[Localstripe]
) -> SubscriptionCancelled | SubscriptionCancellationRejected:
    """End whatever is there under the external id and has not ended."""
    there = await call.needs.find_subscriptions(command.subscription_id)
    if not there:
        return cancellation_rejected(command, call.now, "unknown-subscription", "billing has no subscription with this external id")
    try:
        ended = [await call.needs.cancel_subscription(each.id, reason=command.reason) if each.is_live else each for each in there]
    except StripeRefused as refused:
        return cancellation_rejected(command, call.now, "refused-by-billing", str(refused))
    return cancelled(command, ended)


@cancel_subscription.read_back
async def find_cancelled(command: CancelSubscription, call: Context[Localstripe]) -> SubscriptionCancelled | None:
    """Whether all that is there under the external id has ended."""
    there = await call.needs.find_subscriptions(command.subscription_id)
    return cancelled(command, there) if there and not any(each.is_live for each in there) else None


async def _charging(command: StartSubscription, payer: Customer | None, call: Context[Localstripe]) -> Subscription | None:
    return charging(await call.needs.find_subscriptions(command.subscription_id, payer=payer)) if payer else None


async def _start(command: StartSubscription, call: Context[Localstripe], payer: Customer, tax_rates: Mapping[str, str]) -> Subscription:
    products = {line.product_id: line for line in command.lines}

    async def product(line: OrderLine) -> None:
        await call.needs.ensure_product(line.product_id, line.description or line.product_id)

    async def plan(line: OrderLine) -> str:
        return await call.needs.ensure_plan(plan_terms(command, line, correlation=call.envelope.correlation_id))

    await side_by_side(product, products.values())
    plans = await side_by_side(plan, command.lines)
    items = [plan_item(command, line, identity, tax_rates[line.tax_code]) for line, identity in zip(command.lines, plans, strict=True)]
    return await call.needs.create_subscription(new_subscription(command, payer, items, call.now))


LOCALSTRIPE: Connector[Localstripe] = Connector("localstripe", BILLING, (start_subscription, cancel_subscription), StripeIntake())
