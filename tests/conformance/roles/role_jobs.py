"""Every command that changes something, for every connector: how to make a fresh one, and how to count what it left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from role_bench import ENDS_ON, STARTS_ON, Bench, fresh, order_line

from connectors.erp.tryton.records import NewCustomer, NewProduct
from integration_fabric.messages.base import Command
from integration_fabric.messages.entitlements import EntitlementLine, GrantEntitlements
from integration_fabric.messages.ids import CustomerId, LegalEntity, OrderId, QuoteId
from integration_fabric.messages.onboardings import StartOnboarding
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder
from integration_fabric.messages.quotes import BillingPeriod, ChargeType
from integration_fabric.messages.subscriptions import CancelSubscription, StartSubscription

NO = LegalEntity("NO")


@dataclass(frozen=True)
class Job:
    """One command of one connector.

    `effects` asks the system: 0 where nothing was done, 1 where it was done once, 2 where it was done twice.
    """

    name: str
    vendor: str
    make: Callable[[Bench], Awaitable[Command]]
    effects: Callable[[Bench, Any], Awaitable[float]]


# Billing


async def start_subscription(bench: Bench, **changes: Any) -> StartSubscription:
    values: dict[str, Any] = {
        "subscription_id": fresh("SUB"),
        "order_id": fresh("SO"),
        "contract_id": fresh("CT"),
        "customer_id": fresh("C"),
        "legal_entity": NO,
        "currency": "NOK",
        "payment_terms": "NET30",
        "lines": (
            order_line(1),
            order_line(2, product_id=fresh("P"), billing_period=BillingPeriod.YEAR, unit_price=Decimal("0.0125")),
            order_line(3, charge_type=ChargeType.USAGE, quantity=Decimal("0.5")),
        ),
    }
    values |= changes
    await know_tax_codes(bench, *(line.tax_code for line in values["lines"]))
    values = {"bill_to": values["customer_id"], **values}
    if bench.vendor == "localstripe":  # which charges cards alone
        await bench.client.create_customer(values["bill_to"], key=fresh("key"), payment_method="pm_card_visa")
    return StartSubscription(**values)


async def know_tax_codes(bench: Bench, *codes: str) -> None:
    """Once for each site, as whoever loads master data does."""
    known = bench.kept.setdefault("tax codes", set())
    for code in set(codes) - known:
        await bench.client.ensure_tax_rate(code, Decimal("0.25"), key=fresh("tax"))
    known |= set(codes)


async def cancel_subscription(bench: Bench) -> CancelSubscription:
    started = await start_subscription(bench)
    await bench.call(started)
    return CancelSubscription(subscription_id=started.subscription_id, order_id=started.order_id, reason="a test ends")


async def _subscriptions(bench: Bench, command: StartSubscription) -> float:
    states = (await bench.reader.subscriptions([command.subscription_id]))[command.subscription_id]
    return len([state for state in states if state != "canceled"])


async def _cancelled_subscriptions(bench: Bench, command: CancelSubscription) -> float:
    states = (await bench.reader.subscriptions([command.subscription_id]))[command.subscription_id]
    assert len(states) == 1
    return len([state for state in states if state == "canceled"])


# Customer success


async def start_onboarding(bench: Bench, **changes: Any) -> StartOnboarding:
    values: dict[str, Any] = {
        "contract_id": fresh("CT"),
        "order_id": fresh("SO"),
        "customer_id": fresh("C"),
        "plan": "recurring",
        "starts_on": STARTS_ON,
        "product_ids": ("ANL-STR", "FRM-ONB"),
    }
    return StartOnboarding(**{**values, **changes})


async def _onboardings(bench: Bench, command: StartOnboarding) -> float:
    return len((await bench.reader.onboardings([command.contract_id]))[command.contract_id])


# Support


def entitlement(**changes: Any) -> EntitlementLine:
    values: dict[str, Any] = {
        "entitlement_id": fresh("E"),
        "product_id": "ANL-STR",
        "level": "standard",
        "quantity": Decimal("2.50"),
        "starts_on": STARTS_ON,
        "ends_on": ENDS_ON,
    }
    return EntitlementLine(**{**values, **changes})


async def grant_entitlements(bench: Bench, **changes: Any) -> GrantEntitlements:
    values: dict[str, Any] = {
        "contract_id": fresh("CT"),
        "order_id": fresh("SO"),
        "customer_id": fresh("C"),
        "lines": (entitlement(), entitlement(product_id="FRM-ONB", ends_on=None)),
    }
    return GrantEntitlements(**{**values, **changes})


async def _entitlements(bench: Bench, command: GrantEntitlements) -> float:
    """Per line, so that a command which was carried out half shows as a half."""
    return len((await bench.reader.entitlements([command.contract_id]))[command.contract_id]) / len(command.lines)


# ERP


@dataclass(frozen=True)
class Market:
    """A customer, a product and a tax that are in the ERP."""

    customer: CustomerId
    product: str
    tax: str


async def market(bench: Bench) -> Market:
    """One for each site: nothing in these suites changes it."""
    if "market" not in bench.kept:
        bench.kept["market"] = await new_market(bench)
    found: Market = bench.kept["market"]
    return found


async def new_market(bench: Bench) -> Market:
    found = Market(CustomerId(fresh("C")), fresh("P"), fresh("VAT"))
    await bench.client.add_customers([NewCustomer(found.customer, "Customer of a test", "Oslo")])
    await bench.client.add_products([NewProduct(found.product, "Plan")], category=bench.site.category)
    await bench.client.add_tax_code(found.tax, Decimal("0.25"), NO)
    return found


async def create_order(bench: Bench, **changes: Any) -> CreateOrder:
    there = await market(bench)
    lines = (
        order_line(1, product_id=there.product, tax_code=there.tax, unit="Unit"),
        order_line(2, product_id=there.product, tax_code=there.tax, unit="Unit", quantity=Decimal(1), unit_price=Decimal("0.01")),
    )
    values: dict[str, Any] = {
        "order_id": OrderId(fresh("SO")),
        "quote_id": QuoteId(fresh("Q")),
        "customer_id": there.customer,
        "legal_entity": NO,
        "currency": "NOK",
        "bill_to": there.customer,
        "ship_to": there.customer,
        "purchase_order_number": "PO 4711",
        "payment_terms": "NET30",
        "lines": lines,
    }
    return CreateOrder(**{**values, **changes})


async def activate_order(bench: Bench) -> ActivateOrder:
    created = await create_order(bench)
    await bench.call(created)
    return ActivateOrder(order_id=created.order_id, legal_entity=NO)


async def cancel_order(bench: Bench) -> CancelOrder:
    created = await create_order(bench)
    await bench.call(created)
    return CancelOrder(order_id=created.order_id, legal_entity=NO, reason="a test ends")


async def _orders(bench: Bench, command: CreateOrder) -> float:
    """A draft is an order that was booked half."""
    states = (await bench.reader.orders([command.order_id]))[command.order_id]
    return sum(0.5 if state == "draft" else 1 for state in states)


async def _activated(bench: Bench, command: ActivateOrder) -> float:
    (state,) = (await bench.reader.orders([command.order_id]))[command.order_id]
    return 1 if state in {"processing", "done"} else 0


async def _cancelled_orders(bench: Bench, command: CancelOrder) -> float:
    (state,) = (await bench.reader.orders([command.order_id]))[command.order_id]
    return 1 if state == "cancelled" else 0


JOBS: tuple[Job, ...] = (
    Job("start-subscription", "stripe", start_subscription, _subscriptions),
    Job("cancel-subscription", "stripe", cancel_subscription, _cancelled_subscriptions),
    Job("start-subscription", "localstripe", start_subscription, _subscriptions),
    Job("cancel-subscription", "localstripe", cancel_subscription, _cancelled_subscriptions),
    Job("start-onboarding", "gainsight", start_onboarding, _onboardings),
    Job("grant-entitlements", "zendesk", grant_entitlements, _entitlements),
    Job("create-order", "tryton", create_order, _orders),
    Job("activate-order", "tryton", activate_order, _activated),
    Job("cancel-order", "tryton", cancel_order, _cancelled_orders),
)
