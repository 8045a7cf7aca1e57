from __future__ import annotations

import ast
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from connectors.simulators import landscape as module
from connectors.simulators.landscape import MISSING_TAX_CODE, landscape, quotes


def test_it_is_as_large_as_promised():
    world = landscape()

    assert (
        len(world.products) == len({product.sku for product in world.products}) == len({product.name for product in world.products}) == 100
    )
    assert (
        len(world.customers)
        == len({customer.id for customer in world.customers})
        == len({customer.name for customer in world.customers})
        == 50
    )
    assert {entity.code: entity.currency for entity in world.legal_entities} == {"NO": "NOK", "US": "USD"}
    assert [tax.code for tax in world.tax_codes if tax.missing_at_start] == ["NO-VAT-15"]
    assert len(world.tax_codes) == 6
    bundles = [product for product in world.products if product.options]
    assert len(bundles) == 10
    skus = {product.sku for product in world.products}
    assert all(2 <= len(bundle.options) <= 4 and set(bundle.options) <= skus for bundle in bundles)


def test_it_is_the_same_each_time():
    assert landscape() == landscape()
    assert quotes(40) == quotes(40)
    assert quotes(10) == quotes(40)[:10]
    assert quotes(10, seed=8) != quotes(10)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
@pytest.mark.parametrize("seed", [1, 7])
def test_exactly_one_quote_needs_the_missing_tax_code(count, seed):
    made = quotes(count, seed)

    assert [quote.quote_id for quote in made] == [f"Q-{1001 + number}" for number in range(count)]
    assert sum(any(line.tax_code == MISSING_TAX_CODE for line in quote.lines) for quote in made) == 1


def test_quotes_fit_the_master_data():
    world = landscape()
    customers = {customer.id: customer for customer in world.customers}
    products = {product.sku: product for product in world.products}
    taxes = {tax.code: tax for tax in world.tax_codes}
    terms = {term.code for term in world.payment_terms}
    units = {unit.code for unit in world.units}

    for quote in quotes(60):
        assert customers[quote.customer_id].legal_entity == customers[quote.bill_to].legal_entity == quote.legal_entity
        assert quote.payment_terms in terms
        lines = {line.line_id: line for line in quote.lines}
        for position, line in enumerate(quote.lines):
            assert line.unit_price == products[line.sku].prices[quote.currency]
            assert taxes[line.tax_code].legal_entity == quote.legal_entity
            assert line.unit in units
            assert isinstance(line.unit_price, Decimal)
            if line.parent_line_id is not None:
                parent = lines[line.parent_line_id]
                assert quote.lines.index(parent) < position
                assert line.sku in products[parent.sku].options
                assert line.bundle_id == parent.bundle_id == parent.line_id


def test_quotes_have_every_kind_of_line():
    lines = [line for quote in quotes(20) for line in quote.lines]

    assert {line.charge_type for line in lines} == {"one_off", "recurring", "usage"}
    assert any(line.parent_line_id for line in lines)
    assert all(
        date(2027, 1, 1) <= line.starts_on < date(2027, 4, 1) for quote in quotes(5, first_day=date(2027, 1, 1)) for line in quote.lines
    )


def test_no_quote_is_no_answer():
    with pytest.raises(ValueError, match="count is 0"):
        quotes(0)


def test_it_imports_nothing_but_the_standard_library():
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    assert imported <= set(sys.stdlib_module_names)
