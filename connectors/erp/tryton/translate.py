"""Canonical commands ↔ Tryton's records. Pure; the actions call it with what they have read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx

from connectors.erp.tryton.records import Company, Customer, NewSale, NewSaleLine, Product, Sale, SaleState, Tax
from connectors.erp.tryton.rest import TrytonRefused
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.messages.orders import (
    ActivateOrder,
    CancelOrder,
    CreateOrder,
    OrderActivated,
    OrderBooked,
    OrderCancelled,
    OrderLine,
)
from integration_fabric.messages.problems import Problem
from integration_fabric.messages.quotes import QuoteLine, ValidateQuote

ACTIVE = frozenset({SaleState.PROCESSING, SaleState.DONE})
"""Released for fulfilment."""
BOOKED = frozenset({SaleState.QUOTATION, SaleState.CONFIRMED}) | ACTIVE
"""Numbered: booking is through."""


@dataclass(frozen=True, slots=True)
class MasterData:
    """What Tryton knows of what a quote or an order names. What it does not know is None, or is missing."""

    company: Company | None
    currency: int | None
    payment_term: int | None
    customer: Customer | None
    products: Mapping[str, Product]
    unsalable: Collection[str]
    taxes: Mapping[str, Tax]
    """Of the company."""


def problems(asked: ValidateQuote | CreateOrder, known: MasterData) -> tuple[Problem, ...]:
    """Everything that is missing or wrong, line by line; empty where the order can be booked.

    Without a company there are no taxes to judge: then only the company is named.
    """
    lines: Sequence[QuoteLine | OrderLine] = asked.lines
    in_lines = (problem for number, line in enumerate(lines) for problem in _line_problems(line, f"lines[{number}]", asked, known))
    return (*_head_problems(asked, known), *in_lines)


def _head_problems(asked: ValidateQuote | CreateOrder, known: MasterData) -> Iterator[Problem]:
    if known.company is None:
        hint = "add the company, with this as the code of its party, and let the integration's user see it"
        yield Problem(entity="legal-entity", id=asked.legal_entity, field="legal_entity", code="unknown-legal-entity", hint=hint)
    if known.customer is None:
        hint = "add a party with this code, or take it into use again"
        yield Problem(entity="customer", id=asked.customer_id, field="customer_id", code="unknown-customer", hint=hint)
    elif known.customer.address is None:
        hint = "give the party an address: an order cannot be quoted without one"
        yield Problem(entity="customer", id=asked.customer_id, field="customer_id", code="customer-without-address", hint=hint)
    if known.currency is None:
        hint = "add the currency, or correct the quote"
        yield Problem(entity="currency", id=asked.currency, field="currency", code="unknown-currency", hint=hint)
    if known.payment_term is None:
        hint = "add a payment term with this name, or correct the quote"
        yield Problem(entity="payment-term", id=asked.payment_terms, field="payment_terms", code="unknown-payment-term", hint=hint)
    if not asked.lines:
        yield Problem(entity="quote", id=asked.quote_id, field="lines", code="no-lines", hint="there is nothing to book")


def _line_problems(line: QuoteLine | OrderLine, where: str, asked: ValidateQuote | CreateOrder, known: MasterData) -> Iterator[Problem]:
    if line.product_id not in known.products:
        hint = "add a product with this code, or take it into use again"
        yield Problem(entity="product", id=line.product_id, field=f"{where}.product_id", code="unknown-product", hint=hint)
    elif line.product_id in known.unsalable:
        yield Problem(
            entity="product", id=line.product_id, field=f"{where}.product_id", code="unsalable-product", hint="mark the product as salable"
        )
    if known.company is not None and line.tax_code not in known.taxes:
        hint = f"add a tax with this name to company {asked.legal_entity}, or take it into use again"
        yield Problem(entity="tax-code", id=line.tax_code, field=f"{where}.tax_code", code="unknown-tax-code", hint=hint)


def new_sale(command: CreateOrder, known: MasterData) -> NewSale:
    """The order as a sale; `problems` found none."""
    assert known.company is not None
    assert known.customer is not None
    assert known.customer.address is not None
    assert known.currency is not None
    assert known.payment_term is not None
    return NewSale(
        reference=command.order_id,
        company=known.company.id,
        currency=known.currency,
        party=known.customer.id,
        address=known.customer.address,
        payment_term=known.payment_term,
        lines=tuple(_sale_line(line, known) for line in command.lines),
        description=_description(command),
    )


def _sale_line(line: OrderLine, known: MasterData) -> NewSaleLine:
    product = known.products[line.product_id]
    return NewSaleLine(product.id, product.default_uom, line.quantity, line.unit_price, (known.taxes[line.tax_code].id,), line.description)


def _description(command: CreateOrder) -> str:
    """What people look for in a sale: the customer's order number, and parties other than the customer."""
    parts = (
        command.purchase_order_number or "",
        f"bill to {command.bill_to}" if command.bill_to != command.customer_id else "",
        f"ship to {command.ship_to}" if command.ship_to != command.customer_id else "",
    )
    return "; ".join(part for part in parts if part)


def booked(command: CreateOrder, sale: Sale) -> OrderBooked:
    """The reply to a sale that is numbered."""
    return OrderBooked(
        order_id=command.order_id,
        quote_id=command.quote_id,
        legal_entity=command.legal_entity,
        currency=command.currency,
        native_id=str(sale.id),
        number=sale.number or "",
        total_amount=sale.untaxed_amount,
        aggregate_version=version_at(sale.changed_at),
    )


def activated(command: ActivateOrder, sale: Sale) -> OrderActivated:
    """The reply to a sale that is released."""
    return OrderActivated(
        order_id=command.order_id,
        legal_entity=command.legal_entity,
        activated_at=sale.changed_at,
        aggregate_version=version_at(sale.changed_at),
    )


def cancelled(command: CancelOrder, sale: Sale) -> OrderCancelled:
    """The reply to a sale that is cancelled."""
    return OrderCancelled(order_id=command.order_id, legal_entity=command.legal_entity, aggregate_version=version_at(sale.changed_at))


def problem_of(refused: TrytonRefused, order_id: str, sale: Sale | None) -> Problem:
    """Why Tryton said no to something about an order, whose sale stands like this now."""
    return Problem(entity="order", id=order_id, field="order_id", code=_code(refused, sale), hint=refused.message)


def _code(refused: TrytonRefused, sale: Sale | None) -> str:
    match sale.state if sale else None:
        case None if refused.status == httpx.codes.NOT_FOUND:
            return "unknown-order"
        case SaleState.CANCELLED:
            return "order-cancelled"
        case SaleState.CONFIRMED | SaleState.PROCESSING | SaleState.DONE:
            return "order-already-activated"
        case _:
            return "refused-by-erp"
