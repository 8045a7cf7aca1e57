"""Master data that has changed, as events: the same state of a record is the same event."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.erp.tryton.book_records import Account, Period, PeriodState
from connectors.erp.tryton.intake import (
    ALL_ENTITIES,
    Cursor,
    account_events,
    customer_events,
    period_events,
    product_events,
    read_cursor,
    tax_events,
)
from connectors.erp.tryton.records import Company, Customer, Product, Tax
from integration_fabric.messages.master_data import AccountChanged, AccountingPeriodChanged, CustomerChanged, ProductChanged, TaxCodeChanged

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


@pytest.mark.parametrize(
    ("rate", "shown", "percent"),
    [(Decimal("0.08875"), "0.0888", "8.8750"), (None, "0.0000", "None"), (Decimal("0.25"), "0.2500", "25.0000")],
)
def test_a_rate_fits_its_schema_and_more_of_it_stands_in_percent(rate: Decimal | None, shown: str, percent: str) -> None:
    (event,) = tax_events([tax(rate=rate)], COMPANIES)

    assert isinstance(event.body, TaxCodeChanged)
    assert (str(event.body.rate), str(event.body.percent)) == (shown, percent)


@pytest.mark.parametrize(("state", "is_open"), [(PeriodState.OPEN, True), (PeriodState.CLOSED, False), (PeriodState.LOCKED, False)])
def test_a_period_is_known_by_its_company_and_its_name(state: PeriodState, is_open: bool) -> None:
    first, last = date(2026, 1, 1), date(2026, 1, 31)
    period = Period(id=50, changed_at=AT, name="2026-01", company=2, state=state, start_date=first, end_date=last)

    (event,) = period_events([period, period.model_copy(update={"company": 9})], COMPANIES)

    assert isinstance(event.body, AccountingPeriodChanged)
    assert (event.body.period_id, event.body.starts_on, event.body.ends_on) == ("US/2026-01", first, last)
    assert (event.body.is_open, event.legal_entity) == (is_open, "US")


def test_an_account_is_known_by_its_code() -> None:
    account = Account(id=60, changed_at=AT, code="1.2.1", name="Receivables", company=2, closed=True)

    (event,) = account_events([account, account.model_copy(update={"code": None})], COMPANIES)

    assert isinstance(event.body, AccountChanged)
    assert (event.body.account_code, event.body.active, event.body.legal_entity) == ("1.2.1", False, "US")


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
