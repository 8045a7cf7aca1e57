"""What travels about master data. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar

from integration_fabric.messages.base import Event, NativeId
from integration_fabric.messages.ids import CustomerId, LegalEntity


class AccountChanged(Event):
    """The ERP's account is new or has changed."""

    topic: ClassVar[str] = "erp.account-changed.v1"
    schema_name: ClassVar[str] = "erp.v1.AccountChanged"
    key_field: ClassVar[str] = "account_code"

    account_code: str
    """The code in the chart of accounts."""
    name: str
    """For people."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    active: bool = True
    """Whether it can be used."""


class AccountingPeriodChanged(Event):
    """The ERP's accounting period is new or has changed."""

    topic: ClassVar[str] = "erp.accounting-period-changed.v1"
    schema_name: ClassVar[str] = "erp.v1.AccountingPeriodChanged"
    key_field: ClassVar[str] = "period_id"

    period_id: str
    """Canonical id: legal entity and period."""
    starts_on: date
    """First day."""
    ends_on: date
    """Last day."""
    is_open: bool
    """Whether it can be posted to."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    active: bool = True
    """Whether it can be used."""


class CustomerChanged(Event):
    """The ERP's customer is new or has changed."""

    topic: ClassVar[str] = "erp.customer-changed.v1"
    schema_name: ClassVar[str] = "erp.v1.CustomerChanged"
    key_field: ClassVar[str] = "customer_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("customer", "customer_id"),)
    native_ids: ClassVar[tuple[NativeId, ...]] = (NativeId("customer", "customer_id", "native_id"),)

    customer_id: CustomerId
    """Canonical id."""
    name: str
    """For people."""
    native_id: str
    """The ERP's own id of the customer."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    active: bool = True
    """Whether it can be used."""


class LegalEntityChanged(Event):
    """The ERP's legal entity is new or has changed."""

    topic: ClassVar[str] = "erp.legal-entity-changed.v1"
    schema_name: ClassVar[str] = "erp.v1.LegalEntityChanged"
    key_field: ClassVar[str] = "legal_entity"

    legal_entity: LegalEntity
    """The code of the entity."""
    name: str
    """For people."""
    currency: str
    """ISO 4217 code of its books."""
    active: bool = True
    """Whether it can be used."""


class ProductChanged(Event):
    """The ERP's product is new or has changed."""

    topic: ClassVar[str] = "erp.product-changed.v1"
    schema_name: ClassVar[str] = "erp.v1.ProductChanged"
    key_field: ClassVar[str] = "product_id"

    product_id: str
    """Canonical id."""
    name: str
    """For people."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    active: bool = True
    """Whether it can be used."""


class TaxCodeChanged(Event):
    """The ERP's tax code is new or has changed."""

    topic: ClassVar[str] = "erp.tax-code-changed.v1"
    schema_name: ClassVar[str] = "erp.v1.TaxCodeChanged"
    key_field: ClassVar[str] = "tax_code"

    tax_code: str
    """The code."""
    name: str
    """For people."""
    rate: Decimal
    """As a fraction: 0.25 is 25 %. Rounded to four decimals; percent has six of them."""
    legal_entity: LegalEntity
    """Whose books it belongs to."""
    active: bool = True
    """Whether it can be used."""
    percent: Decimal | None = None
    """In percent, for rates that four decimals of a fraction cannot say: 8.875. None for a tax that is an amount."""
