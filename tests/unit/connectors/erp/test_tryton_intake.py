"""Master data that has changed, as events: the same state of a record is the same event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.erp.tryton.intake import ALL_ENTITIES, Cursor, customer_events, product_events, read_cursor, tax_events
from connectors.erp.tryton.records import Company, Customer, Product, Tax
from integration_fabric.messages.master_data import CustomerChanged, ProductChanged, TaxCodeChanged

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
COMPANIES = {"US": Company(id=2, changed_at=AT, legal_entity="US", name="Inc", party=3, currency=4, currency_code="USD")}


def tax(**changes: object) -> Tax:
    values = {"id": 40, "changed_at": AT, "code": "NY", "description": "New York", "rate": Decimal("0.0725"), "company": 2, "active": True}
    return Tax.model_validate(values | changes)


def test_a_tax_code_is_known_by_its_code_in_its_company() -> None:
    (event,) = tax_events([tax()], COMPANIES)

    assert event.body == TaxCodeChanged(
        tax_code="NY",
        name="New York",
        rate=Decimal("0.0725"),
        legal_entity="US",
        active=True,
        percent=Decimal("7.25"),
        aggregate_version=1_767_323_045_678_901,
    )
    assert event.body.key == "NY"
    assert (event.legal_entity, event.native_event_id) == ("US", "account.tax/40/2026-01-02T03:04:05.678901+00:00")


@pytest.mark.parametrize(("rate", "shown"), [(Decimal("0.08875"), "0.0888"), (None, "0.0000"), (Decimal("0.25"), "0.2500")])
def test_a_rate_fits_its_schema(rate: Decimal | None, shown: str) -> None:
    (event,) = tax_events([tax(rate=rate)], COMPANIES)

    assert isinstance(event.body, TaxCodeChanged)
    assert str(event.body.rate) == shown


def test_another_change_is_another_event_with_a_higher_version() -> None:
    first, again, later = tax_events([tax(), tax(), tax(changed_at=AT + timedelta(microseconds=1))], COMPANIES)

    assert again.native_event_id == first.native_event_id
    assert later.native_event_id != first.native_event_id
    assert later.body.aggregate_version == first.body.aggregate_version + 1


def test_a_product_stands_in_every_company_and_needs_a_code() -> None:
    product = Product(id=30, changed_at=AT, code="P-1", name="Plan", default_uom=1, active=False)

    (event,) = product_events([product, product.model_copy(update={"code": None})])

    assert isinstance(event.body, ProductChanged)
    assert (event.body.product_id, event.body.active, event.body.legal_entity, event.legal_entity) == ("P-1", False, ALL_ENTITIES, None)


def test_a_customer_carries_trytons_own_id() -> None:
    (event,) = customer_events([Customer(id=20, changed_at=AT, code="C-1", name="Birch", address=None, active=True)])

    assert isinstance(event.body, CustomerChanged)
    assert (event.body.customer_id, event.body.native_id) == ("C-1", "20")


def test_a_cursor_is_read_as_it_was_written() -> None:
    cursor = Cursor(taxes=AT, customers=AT + timedelta(days=1))

    assert read_cursor(cursor.model_dump_json()) == cursor


@pytest.mark.parametrize("text", [None, "", "42", "{", '{"taxes": "yesterday"}'])
def test_a_cursor_that_cannot_be_read_is_as_none(text: str | None) -> None:
    assert read_cursor(text) == Cursor()
