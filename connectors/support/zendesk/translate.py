"""Canonical commands ↔ Zendesk's records. Pure; the actions call it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from connectors.support.zendesk.records import CONTRACT, Entitlement, NewEntitlement, Organization
from connectors.support.zendesk.refusals import ZendeskRefused
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.messages.entitlements import EntitlementLine, EntitlementsGranted, GrantEntitlements
from integration_fabric.messages.problems import Problem

_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def new_entitlement(command: GrantEntitlements, line: EntitlementLine, organization: Organization) -> NewEntitlement:
    """One line as a record of the custom object; its external id is the canonical one."""
    return NewEntitlement(
        external_id=line.entitlement_id,
        name=f"{line.product_id} for {command.customer_id}",
        fields={
            CONTRACT: command.contract_id,
            "order_id": command.order_id,
            "customer_id": command.customer_id,
            "organization": organization.id,
            "product_id": line.product_id,
            "level": line.level,
            "quantity": plain(line.quantity),
            "starts_on": line.starts_on.isoformat(),
            "ends_on": line.ends_on.isoformat() if line.ends_on else None,
        },
    )


def plain(quantity: Decimal) -> str:
    """A quantity as text, exact, without an exponent or trailing zeros."""
    return format(quantity.normalize(), "f")


def granted(command: GrantEntitlements, entitlements: Sequence[Entitlement], otherwise: int) -> EntitlementsGranted:
    """The reply; `otherwise` is the version where no line says when it was changed."""
    return EntitlementsGranted(
        contract_id=command.contract_id,
        entitlement_ids=tuple(line.entitlement_id for line in command.lines),
        aggregate_version=max((version_at(each.updated_at) for each in entitlements), default=otherwise),
    )


def problem_of(refused: ZendeskRefused, command: GrantEntitlements, number: int | None) -> Problem:
    """Why Zendesk said no, in the command's terms: about the customer, or about one of the lines."""
    code = _CAPITAL.sub("-", refused.code).lower() or "refused-by-support"
    if number is None:
        return Problem(entity="customer", id=command.customer_id, field="customer_id", code=code, hint=str(refused))
    line = command.lines[number]
    return Problem(entity="entitlement", id=line.entitlement_id, field=f"lines[{number}]", code=code, hint=str(refused))
