"""Tryton's records as the client reads and writes them: the vendor's words and fields, checked where they come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from connectors.erp.tryton.rest import Row

RecordT_co = TypeVar("RecordT_co", bound="Record", covariant=True)


class SaleState(StrEnum):
    """What becomes of a sale: draft → quotation → confirmed → processing → done; cancelled from the first two."""

    DRAFT = "draft"
    QUOTATION = "quotation"
    CONFIRMED = "confirmed"
    PROCESSING = "processing"
    DONE = "done"
    CANCELLED = "cancelled"


class Record(BaseModel):
    """What every record has. Further fields of an answer are the vendor's to add, and are ignored."""

    model_config = ConfigDict(frozen=True)

    id: int
    """Tryton's own id, unique per model and database."""
    changed_at: datetime
    """When the record, or what it is made of, was written last (UTC)."""

    @classmethod
    def of(cls, row: Row) -> Self:
        """The record that a row tells of.

        Raises:
            pydantic.ValidationError: The row lacks a field, or a field has another type.
        """
        return cls.model_validate({**row, "changed_at": _changed_at(row)})


class Company(Record):
    """A legal entity. Its code is the code of its party."""

    legal_entity: str
    name: str
    party: int
    currency: int
    currency_code: str

    @classmethod
    def of(cls, row: Row) -> Self:
        """See `Record.of`."""
        party, currency = row["party"], row["currency"]
        return super().of(
            {
                **row,
                "party": party["id"],
                "legal_entity": party["code"],
                "name": party["name"],
                "currency": currency["id"],
                "currency_code": currency["code"],
            }
        )


class Sale(Record):
    """An order. Amounts are in the sale's currency."""

    reference: str
    number: str | None
    """Given when it is quoted."""
    state: SaleState
    company: int
    untaxed_amount: Decimal
    total_amount: Decimal


class Tax(Record):
    """A tax of one company. Tryton has no code for it: the code is its name, and its description is what people read on an invoice."""

    code: str
    description: str
    rate: Decimal | None
    """As a fraction: 0.25 is 25 %. None where the tax is not a percentage."""
    company: int
    active: bool

    @classmethod
    def of(cls, row: Row) -> Self:
        """See `Record.of`."""
        return super().of({**row, "code": row["name"]})


class Product(Record):
    """A product that can be sold, in every company. It changes when its template does."""

    code: str | None
    name: str
    default_uom: int
    """The unit that it is sold in."""
    active: bool


class Customer(Record):
    """A party, in every company. It changes when one of its addresses does."""

    code: str
    """The canonical id of the customer; unique in the database."""
    name: str
    address: int | None
    """The first address; a sale cannot be quoted without one."""
    active: bool

    @classmethod
    def of(cls, row: Row) -> Self:
        """See `Record.of`."""
        addresses = row.get("addresses") or ()
        return super().of({**row, "address": addresses[0]["id"] if addresses else None})


@dataclass(frozen=True, slots=True)
class Changes(Generic[RecordT_co]):
    """What has changed since a time, oldest change first, and where to go on."""

    records: tuple[RecordT_co, ...]
    cursor: datetime | None
    """Give it to the next call. It may lie before the newest change, so that records come again: whoever asks tells them by id and
    `changed_at`."""


@dataclass(frozen=True, slots=True)
class NewSaleLine:
    """One line to be sold. Tryton runs no form's rules over REST, so everything is said."""

    product: int
    unit: int
    quantity: Decimal
    """Tryton keeps it as a float: exact up to 15 digits, and at most as many decimals as its unit has (none for "Unit")."""
    unit_price: Decimal
    """In the sale's currency, with at most four decimals."""
    taxes: Sequence[int]
    description: str = ""


@dataclass(frozen=True, slots=True)
class NewSale:
    """A sale to be booked. Its reference is the canonical id of the order."""

    reference: str
    company: int
    currency: int
    party: int
    address: int
    payment_term: int
    lines: Sequence[NewSaleLine]
    description: str = ""
    """For people, e.g. the customer's own order number."""


@dataclass(frozen=True, slots=True)
class NewProduct:
    """A service to be sold by the unit."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A customer with one address."""

    code: str
    name: str
    city: str = ""


def _changed_at(row: Row) -> datetime | None:
    """The newest write of the record itself and of what was read with it through its relations."""
    parts = [row, *(part for value in row.values() for part in (value if isinstance(value, list) else [value]) if isinstance(part, dict))]
    times = [time for part in parts for time in _times(part)]
    return max(times, default=None)


def _times(part: dict[str, Any]) -> list[datetime]:
    return [part[name] for name in ("create_date", "write_date") if part.get(name) is not None]
