"""Canonical commands ↔ Stripe's objects. Pure; the actions call it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time

import httpx

from connectors.billing.stripe.money import minor_units
from connectors.billing.stripe.records import (
    CORRELATION,
    EXTERNAL_ID,
    TAX_CODE,
    Customer,
    NewItem,
    NewSubscription,
    PriceTerms,
    Subscription,
)
from connectors.billing.stripe.refusals import StripeRefused
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.messages.orders import OrderLine
from integration_fabric.messages.problems import Problem
from integration_fabric.messages.quotes import BillingPeriod, ChargeType
from integration_fabric.messages.subscriptions import CancelSubscription, StartSubscription, SubscriptionActivated, SubscriptionCancelled

_INTERVALS = {BillingPeriod.MONTH: ("month", 1), BillingPeriod.QUARTER: ("month", 3), BillingPeriod.YEAR: ("year", 1)}
_NET_DAYS = re.compile(r"NET(\d{1,3})")
_ITEM = re.compile(r"items\[(\d+)\]")
_PAYER_PARAMETERS = frozenset({"customer", "default_payment_method", "payment_method"})


def unbillable(command: StartSubscription, payer: Customer | None, tax_rates: Mapping[str, str]) -> tuple[Problem, ...]:
    """Everything that Stripe could not charge as it was sold.

    Args:
        command: What was asked for.
        payer: None where Stripe does not know it yet.
        tax_rates: Stripe's ids of the tax codes that it knows.
    """
    return tuple(_problems(command, payer, tax_rates))


def _problems(command: StartSubscription, payer: Customer | None, tax_rates: Mapping[str, str]) -> Iterator[Problem]:
    yield from line_problems(command, tax_rates)
    if not _has_payment_method(payer) and days_until_due(command.payment_terms) is None:
        hint = f"{command.bill_to} has no payment method in billing, and an invoice is due in net days, e.g. NET30"
        yield Problem(entity="payment-term", id=command.payment_terms, field="payment_terms", code="unknown-payment-term", hint=hint)


def line_problems(command: StartSubscription, tax_rates: Mapping[str, str]) -> Iterator[Problem]:
    """What cannot be charged of the lines, whoever pays; tax rates as above."""
    if not command.lines:
        hint = "there is nothing to charge; the process sends only orders with recurring or usage lines"
        yield Problem(entity="subscription", id=command.subscription_id, field="lines", code="no-lines", hint=hint)
    for number, line in enumerate(command.lines):
        yield from _line_problems(line, f"lines[{number}]")
        if line.tax_code not in tax_rates:
            yield unknown_tax_code(line, f"lines[{number}]")


def _line_problems(line: OrderLine, where: str) -> Iterator[Problem]:
    if line.billing_period not in _INTERVALS:
        hint = f"billing charges by month, quarter or year, not by '{line.billing_period}'"
        yield Problem(entity="product", id=line.product_id, field=f"{where}.billing_period", code="unknown-billing-period", hint=hint)
    if not is_metered(line) and (line.quantity <= 0 or line.quantity != line.quantity.to_integral_value()):
        hint = f"billing charges whole units, not {line.quantity}"
        yield Problem(entity="product", id=line.product_id, field=f"{where}.quantity", code="fractional-quantity", hint=hint)


def unknown_tax_code(line: OrderLine, where: str) -> Problem:
    """Billing has no active tax rate of the line's tax code."""
    hint = f"billing has no active tax rate called {line.tax_code}"
    return Problem(entity="tax-code", id=line.tax_code, field=f"{where}.tax_code", code="unknown-tax-code", hint=hint)


def price_terms(command: StartSubscription, line: OrderLine, *, correlation: str) -> PriceTerms:
    """The price of a line that is billable; its invoices are of the transaction that it was sold in."""
    interval, count = _INTERVALS[line.billing_period]
    return PriceTerms(
        lookup_key=line.order_line_id,
        product=line.product_id,
        currency=command.currency.lower(),
        unit_amount=minor_units(line.unit_price, command.currency),
        interval=interval,
        interval_count=count,
        metered=is_metered(line),
        metadata=line_metadata(command, line, correlation=correlation),
    )


def line_metadata(command: StartSubscription, line: OrderLine, *, correlation: str) -> dict[str, str]:
    """What a line's price carries, so that a line of an invoice says whose it is without a look at its subscription."""
    return {
        "order_line_id": line.order_line_id,
        "order_id": command.order_id,
        "subscription_id": command.subscription_id,
        CORRELATION: correlation,
        "product_id": line.product_id,
        "legal_entity": command.legal_entity,
        TAX_CODE: line.tax_code,
        "price_book_version": line.price_book_version,
    }


def new_subscription(command: StartSubscription, payer: Customer, items: Sequence[NewItem], now: datetime) -> NewSubscription:
    """The subscription of a command that is billable.

    Args:
        command: What was asked for.
        payer: A payment method on file is charged, anybody else gets invoices.
        items: Of the lines, in their order.
        now: Decides whether it starts later.
    """
    starts_at = datetime.combine(min(line.starts_on for line in command.lines), time(), UTC)
    return NewSubscription(
        customer=payer.id,
        items=tuple(items),
        metadata={
            EXTERNAL_ID: command.subscription_id,
            "subscription_id": command.subscription_id,
            "order_id": command.order_id,
            "contract_id": command.contract_id,
            "customer_id": command.customer_id,
            "legal_entity": command.legal_entity,
        },
        starts_at=starts_at,
        starts_later=starts_at > now,
        days_until_due=None if _has_payment_method(payer) else days_until_due(command.payment_terms),
    )


def new_item(line: OrderLine, price: str, tax_rate: str) -> NewItem:
    """The item of a billable line, with Stripe's ids of its price and its tax rate."""
    metadata = {"order_line_id": line.order_line_id, TAX_CODE: line.tax_code, "price_book_version": line.price_book_version}
    return NewItem(price, None if is_metered(line) else int(line.quantity), tax_rate, metadata)


def days_until_due(payment_terms: str) -> int | None:
    """30 for `NET30`; None for terms that Stripe has no invoices for."""
    found = _NET_DAYS.fullmatch(payment_terms)
    return int(found[1]) if found else None


def activated(command: StartSubscription, subscription: Subscription) -> SubscriptionActivated:
    """The reply."""
    return SubscriptionActivated(
        subscription_id=command.subscription_id,
        order_id=command.order_id,
        native_id=subscription.id,
        payer_id=command.bill_to,
        native_payer_id=subscription.customer,
        activated_at=subscription.created,
        aggregate_version=version_at(subscription.created),
    )


def cancelled(command: CancelSubscription, ended: Sequence[Subscription]) -> SubscriptionCancelled:
    """The reply; Stripe's times are whole seconds, and this one comes after whatever else happened within the same."""
    last = max(subscription.canceled_at or subscription.created for subscription in ended)
    return SubscriptionCancelled(subscription_id=command.subscription_id, order_id=command.order_id, aggregate_version=version_at(last) + 1)


def charging(subscriptions: Sequence[Subscription]) -> Subscription | None:
    """The oldest that charges."""
    return min((each for each in subscriptions if each.is_charging), key=lambda each: each.created, default=None)


def problem_of(refused: StripeRefused, command: StartSubscription) -> Problem:
    """Why Stripe said no, in the command's terms."""
    declined = refused.status == httpx.codes.PAYMENT_REQUIRED
    code = "card-declined" if declined else (refused.code or "refused-by-billing").replace("_", "-")
    entity, identity, field = _named(refused.param, command)
    return Problem(entity=entity, id=identity, field=field, code=code, hint=str(refused))


def _named(param: str, command: StartSubscription) -> tuple[str, str, str]:
    """Entity, id and field path of what a parameter was made of."""
    item = _ITEM.match(param)
    if item and int(item[1]) < len(command.lines):
        return "product", command.lines[int(item[1])].product_id, f"lines[{item[1]}]"
    if param in _PAYER_PARAMETERS:
        return "customer", command.bill_to, "bill_to"
    return "subscription", command.subscription_id, "subscription_id"


def _has_payment_method(payer: Customer | None) -> bool:
    return payer is not None and payer.invoice_settings.default_payment_method is not None


def is_metered(line: OrderLine) -> bool:
    """Whether it is charged by reported usage."""
    return line.charge_type is ChargeType.USAGE
