"""Tryton's master data → events. Pure; the poll source calls it with the records that have changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from connectors.erp.tryton.book_records import Account, Period
from connectors.erp.tryton.book_translate import period_id
from connectors.erp.tryton.records import Company, Customer, Product, Record, Tax
from integration_fabric.connector_kit.intake import Incoming
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.messages.base import Event
from integration_fabric.messages.ids import CustomerId, LegalEntity
from integration_fabric.messages.master_data import (
    AccountChanged,
    AccountingPeriodChanged,
    CustomerChanged,
    ProductChanged,
    TaxCodeChanged,
)

ALL_ENTITIES = LegalEntity("*")
"""Products and customers stand in every company of a database."""

_PLACES = Decimal("0.0001")


class Cursor(BaseModel):
    """How far each model was read; None from the beginning."""

    model_config = ConfigDict(frozen=True)

    taxes: AwareDatetime | None = None
    products: AwareDatetime | None = None
    customers: AwareDatetime | None = None
    periods: AwareDatetime | None = None
    accounts: AwareDatetime | None = None


def read_cursor(text: str | None) -> Cursor:
    """The cursor that was saved. One that cannot be read is as none: what is published again has the same ids."""
    try:
        return Cursor.model_validate_json(text) if text else Cursor()
    except ValidationError:
        return Cursor()


def tax_events(taxes: Sequence[Tax], companies: Mapping[str, Company]) -> Iterator[Incoming]:
    """One event for each change of a tax code."""
    entities = _entities(companies)
    for tax in taxes:
        entity = entities.get(tax.company, ALL_ENTITIES)
        body = TaxCodeChanged(
            tax_code=tax.code,
            name=tax.description,
            rate=_rate(tax),
            legal_entity=entity,
            active=tax.active,
            percent=_percent(tax),
            aggregate_version=version_at(tax.changed_at),
        )
        yield _incoming(body, "account.tax", tax, entity)


def _rate(tax: Tax) -> Decimal:
    """As the schema can say it: with four decimals, and zero for a tax that is an amount. One rate must not hold up all others."""
    return (tax.rate or Decimal(0)).quantize(_PLACES)


def _percent(tax: Tax) -> Decimal | None:
    """Two decimals more than the rate: 8.875 % is 0.0888 there."""
    return None if tax.rate is None else (tax.rate * 100).quantize(_PLACES)


def period_events(periods: Sequence[Period], companies: Mapping[str, Company]) -> Iterator[Incoming]:
    """One event for each change of an accounting period of a company that is worked with."""
    entities = _entities(companies)
    for period in periods:
        if entity := entities.get(period.company):
            body = AccountingPeriodChanged(
                period_id=period_id(entity, period.name),
                starts_on=period.start_date,
                ends_on=period.end_date,
                is_open=period.is_open,
                legal_entity=entity,
                aggregate_version=version_at(period.changed_at),
            )
            yield _incoming(body, "account.period", period, entity)


def account_events(accounts: Sequence[Account], companies: Mapping[str, Company]) -> Iterator[Incoming]:
    """One event for each change of an account that has a code, in a company that is worked with; nobody can name the others."""
    entities = _entities(companies)
    for account in accounts:
        entity = entities.get(account.company)
        if entity and account.code:
            body = AccountChanged(
                account_code=account.code,
                name=account.name,
                legal_entity=entity,
                active=not account.closed,
                aggregate_version=version_at(account.changed_at),
            )
            yield _incoming(body, "account.account", account, entity)


def _entities(companies: Mapping[str, Company]) -> dict[int, LegalEntity]:
    return {company.id: LegalEntity(company.legal_entity) for company in companies.values()}


def product_events(products: Sequence[Product]) -> Iterator[Incoming]:
    """One event for each change of a product that has a code; nobody can name the others."""
    for product in products:
        if product.code:
            body = ProductChanged(
                product_id=product.code,
                name=product.name,
                legal_entity=ALL_ENTITIES,
                active=product.active,
                aggregate_version=version_at(product.changed_at),
            )
            yield _incoming(body, "product.product", product, None)


def customer_events(customers: Sequence[Customer]) -> Iterator[Incoming]:
    """One event for each change of a customer."""
    for customer in customers:
        body = CustomerChanged(
            customer_id=CustomerId(customer.code),
            name=customer.name,
            native_id=str(customer.id),
            legal_entity=ALL_ENTITIES,
            active=customer.active,
            aggregate_version=version_at(customer.changed_at),
        )
        yield _incoming(body, "party.party", customer, None)


def _incoming(body: Event, model: str, record: Record, entity: LegalEntity | None) -> Incoming:
    identity = native_event_id(model, record.id, record.changed_at)
    return Incoming(body, native_event_id=identity, correlation_id=identity, legal_entity=entity)


def native_event_id(model: str, record: int, changed_at: datetime) -> str:
    """The same each time that the same state of a record is read."""
    return f"{model}/{record}/{changed_at.isoformat()}"
