"""Zendesk's records as the client reads and writes them: the vendor's words and fields, checked where they come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import AwareDatetime, BaseModel, ConfigDict

CONTRACT = "contract_id"
"""The custom field that carries the contract's canonical id."""


class Shape(BaseModel):
    """What Zendesk sends. Further fields are Zendesk's to add, and are ignored."""

    model_config = ConfigDict(frozen=True)


class Organization(Shape):
    """A customer."""

    id: int


class Entitlement(Shape):
    """A record of the custom object `entitlement`."""

    id: str
    external_id: str | None = None
    custom_object_fields: Mapping[str, object]
    updated_at: AwareDatetime


@dataclass(frozen=True, slots=True)
class NewEntitlement:
    """An entitlement to be there as it is here."""

    external_id: str
    name: str
    fields: Mapping[str, str | int | None]
