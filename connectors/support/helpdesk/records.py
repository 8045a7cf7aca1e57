"""django-helpdesk's records as the client reads and writes them: the vendor's words and fields, checked where they come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

QUEUE = "entitlements"
"""Slug of the queue whose tickets are entitlements."""


class Shape(BaseModel):
    """What django-helpdesk sends. Further fields are its own to add, and are ignored."""

    model_config = ConfigDict(frozen=True)


class Queue(Shape):
    """Where tickets are."""

    id: int
    slug: str


class Created(Shape):
    """A ticket as the stock interface answers its making."""

    id: int
    external_id: str = Field(alias="custom_external_id")
    """Without it a ticket could not be found again: a server without this field leaves it out, and says nothing."""


class Ticket(Shape):
    """An entitlement. A field is None or empty where a person left it so."""

    id: int
    modified: AwareDatetime
    external_id: str | None = Field(default=None, alias="custom_external_id")
    contract: str | None = Field(default=None, alias="custom_contract")
    order: str | None = Field(default=None, alias="custom_order")
    customer: str | None = Field(default=None, alias="custom_customer")
    product: str | None = Field(default=None, alias="custom_product")
    level: str | None = Field(default=None, alias="custom_level")
    quantity: Decimal | None = Field(default=None, alias="custom_quantity")
    starts_on: date | None = Field(default=None, alias="custom_starts_on")
    ends_on: date | None = Field(default=None, alias="custom_ends_on")


@dataclass(frozen=True, slots=True)
class NewTicket:
    """An entitlement to be there as it is here."""

    title: str
    description: str
    fields: Mapping[str, str | None]
    """Custom fields by their names; None for one that is empty."""
