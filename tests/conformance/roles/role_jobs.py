"""Every command that changes something, for every connector: how to make a fresh one, and how to count what it left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from role_bench import ENDS_ON, NOW, STARTS_ON, Bench, fresh, order_line

from connectors.erp.tryton.records import NewCustomer, NewProduct
from integration_fabric.messages.base import Command
from integration_fabric.messages.entitlements import EntitlementLine, GrantEntitlements
from integration_fabric.messages.ids import CustomerId, InvoiceId, LegalEntity, OrderId, PaymentId, QuoteId
from integration_fabric.messages.interventions import CloseIntervention, OpenIntervention, Severity
from integration_fabric.messages.invoices import InvoiceLine, PostInvoice, ReceivableStatus, UpdateReceivable
from integration_fabric.messages.onboardings import StartOnboarding
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder
from integration_fabric.messages.payments import ApplyPayment
from integration_fabric.messages.quotes import BillingPeriod, ChargeType
from integration_fabric.messages.subscriptions import CancelSubscription, StartSubscription
from integration_fabric.roles.erp import PostedInvoice

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


async def open_intervention(bench: Bench, **changes: Any) -> OpenIntervention:
    values: dict[str, Any] = {
        "intervention_id": fresh("IV"),
        "customer_id": fresh("C"),
        "invoice_id": fresh("INV"),
        "reason": "Invoice INV-4711 is not paid: the card was declined twice",
        "severity": Severity.HIGH,
    }
    return OpenIntervention(**{**values, **changes})


async def close_intervention(bench: Bench) -> CloseIntervention:
    opened = await open_intervention(bench)
    await bench.call(opened)
    return CloseIntervention(intervention_id=opened.intervention_id, customer_id=opened.customer_id, resolution="The invoice was paid")


async def _interventions(bench: Bench, command: OpenIntervention) -> float:
    return len((await bench.reader.interventions([command.intervention_id]))[command.intervention_id])


async def _closed_interventions(bench: Bench, command: CloseIntervention) -> float:
    (state,) = (await bench.reader.interventions([command.intervention_id]))[command.intervention_id]
    return 1 if state == "closed" else 0


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


# The ERP's books


def invoice_line(there: Market, **changes: Any) -> InvoiceLine:
    values: dict[str, Any] = {
        "invoice_line_id": fresh("IL"),
        "product_id": there.product,
        "description": "Plan, a month",
        "quantity": Decimal(3),
        "unit_price": Decimal("33.3333"),
        "amount": Decimal("100.00"),
        "tax_code": there.tax,
        "tax_amount": Decimal("24.99"),
    }
    return InvoiceLine(**{**values, **changes})


async def post_invoice(bench: Bench, *lines: InvoiceLine, **changes: Any) -> PostInvoice:
    """An invoice of today over lines; its sums are theirs unless changes say otherwise."""
    there = await market(bench)
    lines = lines or (invoice_line(there), invoice_line(there, quantity=Decimal(1), unit_price=Decimal("0.01"), amount=Decimal("0.01")))
    tax, issued_on = sum(line.tax_amount for line in lines), NOW().date()
    values: dict[str, Any] = {
        "invoice_id": InvoiceId(fresh("INV")),
        "customer_id": there.customer,
        "legal_entity": NO,
        "currency": "NOK",
        "number": "B-2026-0815",
        "total_amount": sum(line.amount for line in lines) + tax,
        "tax_amount": tax,
        "issued_on": issued_on,
        "due_on": issued_on + timedelta(days=30),
        "lines": lines,
    }
    return PostInvoice(**{**values, **changes})


async def posted_invoice(bench: Bench) -> PostInvoice:
    """One that is in the books."""
    command = await post_invoice(bench)
    await bench.call(command)
    return command


def payment_of(invoice: PostInvoice, amount: Decimal | None = None, **changes: Any) -> ApplyPayment:
    """A payment of a posted invoice, of all of it unless an amount is given."""
    values: dict[str, Any] = {
        "payment_id": PaymentId(fresh("PAY")),
        "invoice_id": invoice.invoice_id,
        "legal_entity": invoice.legal_entity,
        "currency": invoice.currency,
        "amount": invoice.total_amount if amount is None else amount,
        "paid_at": NOW(),
        "method": "card",
    }
    return ApplyPayment(**{**values, **changes})


async def apply_payment(bench: Bench) -> ApplyPayment:
    return payment_of(await posted_invoice(bench))


def receivable(invoice_id: InvoiceId, status: ReceivableStatus) -> UpdateReceivable:
    return UpdateReceivable(invoice_id=invoice_id, legal_entity=NO, status=status, reason="card declined")


async def update_receivable(bench: Bench) -> UpdateReceivable:
    return receivable((await posted_invoice(bench)).invoice_id, ReceivableStatus.OVERDUE)


async def in_books(bench: Bench, invoice_id: InvoiceId) -> PostedInvoice:
    """The one invoice under an id."""
    found: PostedInvoice
    (found,) = (await bench.reader.invoices([invoice_id]))[invoice_id]
    return found


async def _invoices(bench: Bench, command: PostInvoice) -> float:
    """A draft is an invoice that was posted half."""
    found = (await bench.reader.invoices([command.invoice_id]))[command.invoice_id]
    return sum(1 if invoice.is_posted else 0.5 for invoice in found)


async def _payments(bench: Bench, command: ApplyPayment) -> float:
    """By what is missing of the invoice's total: two of them would be twice the amount."""
    found = await in_books(bench, command.invoice_id)
    return float((found.total - found.open) / command.amount)


async def _overdue(bench: Bench, command: UpdateReceivable) -> float:
    return 1 if (await in_books(bench, command.invoice_id)).is_overdue else 0


JOBS: tuple[Job, ...] = (
    Job("start-subscription", "stripe", start_subscription, _subscriptions),
    Job("cancel-subscription", "stripe", cancel_subscription, _cancelled_subscriptions),
    Job("start-subscription", "localstripe", start_subscription, _subscriptions),
    Job("cancel-subscription", "localstripe", cancel_subscription, _cancelled_subscriptions),
    Job("start-onboarding", "gainsight", start_onboarding, _onboardings),
    Job("open-intervention", "gainsight", open_intervention, _interventions),
    Job("close-intervention", "gainsight", close_intervention, _closed_interventions),
    Job("grant-entitlements", "zendesk", grant_entitlements, _entitlements),
    Job("grant-entitlements", "helpdesk", grant_entitlements, _entitlements),
    Job("create-order", "tryton", create_order, _orders),
    Job("activate-order", "tryton", activate_order, _activated),
    Job("cancel-order", "tryton", cancel_order, _cancelled_orders),
    Job("post-invoice", "tryton", post_invoice, _invoices),
    Job("apply-payment", "tryton", apply_payment, _payments),
    Job("update-receivable", "tryton", update_receivable, _overdue),
)
