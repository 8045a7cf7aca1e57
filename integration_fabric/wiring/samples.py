"""Sample quotes and tax codes in the landscape's own words, with ids that no other test has."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

from connectors.simulators.landscape import (
    Landscape,
    Product,
    Quote as SampleQuote,
    QuoteLine,
    TaxCode,
    landscape,
    quotes as sample_quotes,
)

__all__ = ["Landscape", "SampleQuote", "TaxCode", "landscape", "sample_quote", "sample_quotes", "unused_tax_code"]

KNOWN_TAX_CODE = "NO-VAT-25"
STARTS_ON = date(2026, 1, 1)
"""In the past, so that billing charges it at once."""


def unused_tax_code(suffix: str) -> TaxCode:
    """A tax code of the first legal entity that no system knows yet."""
    return TaxCode(f"NO-TEST-{suffix}", f"Norway test rate {suffix}", Decimal("0.10"), "NO")


def sample_quote(*, tax_code: str | None = None, recurring: int = 1, one_off: int = 0, payer: str | None = None) -> SampleQuote:
    """A quote with an id of its own, to be approved.

    Args:
        tax_code: Of all lines; by default one that the ERP knows.
        recurring: How many recurring lines.
        one_off: How many one-off lines.
        payer: The customer who pays; by default the one who buys.
    """
    world = landscape()
    customer = next(customer for customer in world.customers if customer.legal_entity == "NO")
    quote_id = f"Q-{uuid4().hex[:12]}"
    products = [*_some(world, "recurring", recurring), *_some(world, "one_off", one_off)]
    return SampleQuote(
        quote_id=quote_id,
        customer_id=customer.id,
        legal_entity="NO",
        currency="NOK",
        sold_to=customer.id,
        bill_to=payer or customer.id,
        ship_to=customer.id,
        purchase_order_number=None,
        payment_terms="NET30",
        lines=tuple(_line(quote_id, number, product, tax_code or KNOWN_TAX_CODE) for number, product in enumerate(products, start=1)),
    )


def _some(world: Landscape, charge_type: str, count: int) -> list[Product]:
    return [product for product in world.products if product.charge_type == charge_type and not product.options][:count]


def _line(quote_id: str, number: int, product: Product, tax_code: str) -> QuoteLine:
    return QuoteLine(
        line_id=f"{quote_id}-{number}",
        parent_line_id=None,
        bundle_id=None,
        sku=product.sku,
        description=product.name,
        quantity=Decimal(number),
        unit=product.unit,
        unit_price=product.prices["NOK"],
        charge_type=product.charge_type,
        billing_period=product.billing_period,
        starts_on=STARTS_ON,
        ends_on=None if product.charge_type == "one_off" else STARTS_ON + timedelta(days=364),
        tax_code=tax_code,
        price_book_version="2026-1",
    )
