"""What travels about entitlements. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar

from integration_fabric.messages.base import Command, Event, Part, Replies
from integration_fabric.messages.ids import ContractId, CustomerId, OrderId
from integration_fabric.messages.problems import Problem


class EntitlementLine(Part):
    """The right to support for one product of a contract."""

    entitlement_id: str
    """Canonical id, minted by the process."""
    product_id: str
    """The product that is covered."""
    level: str
    """The support level, e.g. standard."""
    quantity: Decimal
    """How many units are covered."""
    starts_on: date
    """First day covered."""
    ends_on: date | None = None
    """Last day covered; empty for an open end."""


class EntitlementsGranted(Event):
    """Support knows what the contract covers."""

    topic: ClassVar[str] = "support.entitlements-granted.v1"
    schema_name: ClassVar[str] = "support.v1.EntitlementsGranted"
    key_field: ClassVar[str] = "contract_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("contract", "contract_id"),)

    contract_id: ContractId
    """Canonical id of the contract."""
    entitlement_ids: tuple[str, ...] = ()
    """Canonical ids of what was granted."""


class EntitlementsRejected(Event):
    """Support refused the entitlements."""

    topic: ClassVar[str] = "support.entitlements-rejected.v1"
    schema_name: ClassVar[str] = "support.v1.EntitlementsRejected"
    key_field: ClassVar[str] = "contract_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("contract", "contract_id"),)

    contract_id: ContractId
    """Canonical id of the contract."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class GrantEntitlements(Command):
    """Give the customer the right to support for all lines of a contract."""

    topic: ClassVar[str] = "support.grant-entitlements.v1"
    schema_name: ClassVar[str] = "support.v1.GrantEntitlements"
    key_field: ClassVar[str] = "contract_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("contract", "contract_id"),
        ("order", "order_id"),
        ("customer", "customer_id"),
    )
    replies: ClassVar[Replies] = Replies(done=EntitlementsGranted, refused=EntitlementsRejected)

    contract_id: ContractId
    """Canonical id of the contract."""
    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    lines: tuple[EntitlementLine, ...] = ()
    """What is covered."""
