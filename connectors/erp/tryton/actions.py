"""ERP commands → Tryton calls. Each begins with looking what is there, so that it may be carried out again after any failure."""

from __future__ import annotations

from datetime import timedelta

from connectors.erp.tryton.erp import TrytonErp
from connectors.erp.tryton.failures import judged
from connectors.erp.tryton.records import SaleState
from connectors.erp.tryton.rest import TrytonRefused
from connectors.erp.tryton.translate import ACTIVE, BOOKED, MasterData, activated, booked, cancelled, new_sale, problem_of, problems
from integration_fabric.connector_kit.actions import action
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.orders import (
    ActivateOrder,
    CancelOrder,
    CreateOrder,
    OrderActivated,
    OrderActivationRejected,
    OrderBooked,
    OrderCancellationRejected,
    OrderCancelled,
    OrderRejected,
)
from integration_fabric.messages.quotes import QuoteRejected, QuoteValidated, ValidateQuote
from integration_fabric.runtime.context import Context

READERS = 4
"""Quotes validated at once: six reads each are what one server answers without keeping its writers waiting."""
WRITERS = 2
"""Orders written at once: Tryton makes about six a second with one, two or four writers, and on SQLite more than two collide."""
TIMEOUT = timedelta(seconds=20)
"""Of one command: three calls of up to some seconds each, where another writer is in the way."""


@action(Strategy.UPSERT, in_flight=READERS, timeout=TIMEOUT)
async def validate_quote(command: ValidateQuote, call: Context[TrytonErp]) -> QuoteValidated | QuoteRejected:
    """Reads only."""
    version = version_at(call.now)
    found = problems(command, await _master_data(command, call.needs))
    if found:
        return QuoteRejected(quote_id=command.quote_id, legal_entity=command.legal_entity, problems=found, aggregate_version=version)
    return QuoteValidated(quote_id=command.quote_id, legal_entity=command.legal_entity, aggregate_version=version)


@action(Strategy.LOOKUP_FIRST, in_flight=WRITERS, timeout=TIMEOUT)
async def create_order(command: CreateOrder, call: Context[TrytonErp]) -> OrderBooked | OrderRejected:
    """A quoted sale: numbered, and it can still be cancelled. What a quote's validation would name is named here too."""
    known = await _master_data(command, call.needs)
    found = problems(command, known)
    if not found:
        try:
            return booked(command, await judged(call.needs.ensure_quotation(new_sale(command, known))))
        except TrytonRefused as refused:
            found = (problem_of(refused, command.order_id, await judged(call.needs.find_sale(command.order_id))),)
    return OrderRejected(order_id=command.order_id, quote_id=command.quote_id, problems=found, aggregate_version=version_at(call.now))


@create_order.read_back
async def find_order(command: CreateOrder, call: Context[TrytonErp]) -> OrderBooked | None:
    """By reference. A draft is an order that was not booked: sending again goes on from it."""
    sale = await judged(call.needs.find_sale(command.order_id))
    return booked(command, sale) if sale and sale.state in BOOKED else None


@action(Strategy.LOOKUP_FIRST, in_flight=WRITERS, timeout=TIMEOUT)
async def activate_order(command: ActivateOrder, call: Context[TrytonErp]) -> OrderActivated | OrderActivationRejected:
    """Confirm the sale and wait until Tryton has taken it into processing."""
    try:
        return activated(command, await judged(call.needs.confirm(command.order_id)))
    except TrytonRefused as refused:
        problem = problem_of(refused, command.order_id, await judged(call.needs.find_sale(command.order_id)))
        return OrderActivationRejected(order_id=command.order_id, problems=(problem,), aggregate_version=version_at(call.now))


@activate_order.read_back
async def find_activated(command: ActivateOrder, call: Context[TrytonErp]) -> OrderActivated | None:
    """By reference and state."""
    sale = await judged(call.needs.find_sale(command.order_id))
    return activated(command, sale) if sale and sale.state in ACTIVE else None


@action(Strategy.LOOKUP_FIRST, in_flight=WRITERS, timeout=TIMEOUT)
async def cancel_order(command: CancelOrder, call: Context[TrytonErp]) -> OrderCancelled | OrderCancellationRejected:
    """Cancel the sale, as long as it was not confirmed."""
    try:
        return cancelled(command, await judged(call.needs.cancel(command.order_id)))
    except TrytonRefused as refused:
        problem = problem_of(refused, command.order_id, await judged(call.needs.find_sale(command.order_id)))
        return OrderCancellationRejected(order_id=command.order_id, problems=(problem,), aggregate_version=version_at(call.now))


@cancel_order.read_back
async def find_cancelled(command: CancelOrder, call: Context[TrytonErp]) -> OrderCancelled | None:
    """By reference and state."""
    sale = await judged(call.needs.find_sale(command.order_id))
    return cancelled(command, sale) if sale and sale.state is SaleState.CANCELLED else None


async def _master_data(asked: ValidateQuote | CreateOrder, erp: TrytonErp) -> MasterData:
    """What Tryton knows of what is named, in six reads however many lines there are."""
    company = (await judged(erp.companies())).get(asked.legal_entity)
    products = {line.product_id for line in asked.lines}
    tax_codes = {line.tax_code for line in asked.lines}
    return MasterData(
        company=company,
        currency=await judged(erp.find_currency(asked.currency)),
        payment_term=await judged(erp.find_payment_term(asked.payment_terms)),
        customer=await judged(erp.find_customer(asked.customer_id)),
        products=await judged(erp.find_products(products)),
        unsalable=await judged(erp.find_unsalable(products)),
        taxes=await judged(erp.find_taxes(tax_codes, company.id)) if company else {},
    )
