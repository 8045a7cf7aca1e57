"""Rows become records, or are refused where they come in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pydantic
import pytest

from connectors.erp.tryton.records import Company, Customer, Product, Sale, SaleState, Tax

CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = CREATED_AT + timedelta(hours=1)
STAMPS = {"create_date": CREATED_AT, "write_date": None}


def test_a_sale() -> None:
    row = {"id": 4, "reference": "O-1", "number": None, "state": "draft", "company": 1, "__name__": "sale.sale"}

    sale = Sale.of({**row, **STAMPS, "untaxed_amount": Decimal("10.00"), "total_amount": Decimal("12.50"), "write_date": LATER})

    assert (sale.id, sale.state, sale.total_amount, sale.changed_at) == (4, SaleState.DRAFT, Decimal("12.50"), LATER)


def test_a_sale_in_a_state_that_nobody_knows_is_refused() -> None:
    row = {"id": 4, "reference": "O-1", "number": None, "company": 1, **STAMPS, "untaxed_amount": Decimal(0), "total_amount": Decimal(0)}

    with pytest.raises(pydantic.ValidationError, match="state"):
        Sale.of({**row, "state": "shipped"})


def test_a_tax_takes_its_code_from_its_name() -> None:
    # SQLite gives booleans as numbers.
    tax = Tax.of({"id": 1, "name": "NO-25", "description": "VAT", "rate": Decimal("0.25"), "company": 1, "active": 1, **STAMPS})

    assert (tax.code, tax.rate, tax.active, tax.changed_at) == ("NO-25", Decimal("0.25"), True, CREATED_AT)


def test_a_product_changes_with_its_template() -> None:
    row = {"id": 1, "code": "P", "name": "Plan", "default_uom": 1, "active": True, **STAMPS}

    product = Product.of({**row, "template": {"id": 9, "create_date": CREATED_AT, "write_date": LATER}})

    assert product.changed_at == LATER


def test_a_customer_changes_with_its_addresses() -> None:
    addresses = [{"id": 5, **STAMPS}, {"id": 6, "create_date": LATER, "write_date": None}]

    customer = Customer.of({"id": 3, "code": "C", "name": "C", "active": True, "addresses": addresses, **STAMPS})

    assert (customer.address, customer.changed_at) == (5, LATER)


def test_a_customer_without_an_address() -> None:
    assert Customer.of({"id": 3, "code": "C", "name": "C", "active": True, "addresses": [], **STAMPS}).address is None


def test_a_company_is_known_by_the_code_of_its_party() -> None:
    row = {"id": 1, "party": {"id": 7, "code": "NO", "name": "Norway"}, "currency": {"id": 2, "code": "NOK"}, **STAMPS}

    company = Company.of(row)

    assert (company.legal_entity, company.party, company.currency, company.currency_code) == ("NO", 7, 2, "NOK")
