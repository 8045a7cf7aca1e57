"""Canonical entities that others refer to, and which event says that one of them has changed. A hold on (entity, id) ends by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from integration_fabric.messages.base import Event
from integration_fabric.messages.master_data import (
    AccountChanged,
    AccountingPeriodChanged,
    CustomerChanged,
    LegalEntityChanged,
    ProductChanged,
    TaxCodeChanged,
)

CHANGES: Mapping[type[Event], str] = {
    ProductChanged: "product",
    CustomerChanged: "customer",
    TaxCodeChanged: "tax-code",
    LegalEntityChanged: "legal-entity",
    AccountChanged: "account",
    AccountingPeriodChanged: "accounting-period",
}


@dataclass(frozen=True, slots=True)
class EntityRef:
    """One entity, by its kind and canonical id."""

    entity: str
    id: str


def changed(event: Event) -> EntityRef | None:
    """What an event says has changed, if it is master data."""
    entity = CHANGES.get(type(event))
    return EntityRef(entity, event.key) if entity else None
