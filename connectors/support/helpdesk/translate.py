"""Canonical commands ↔ django-helpdesk's records. Pure; the actions call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from connectors.support.helpdesk.records import NewTicket, Ticket
from connectors.support.helpdesk.refusals import HelpdeskRefused
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.messages.entitlements import EntitlementLine, EntitlementsGranted, GrantEntitlements
from integration_fabric.messages.problems import Problem

MAX_TITLE = 200
"""Characters that a title holds; the ids that it is made of stand whole in custom fields."""

_OF_COMMAND: Mapping[str, str] = {"contract": "contract_id", "order": "order_id", "customer": "customer_id"}
"""The custom fields that every line of a contract has alike, and where the command says them."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is left to do for one line."""

    number: int
    """Of the line."""
    new: NewTicket
    ticket: int | None
    """The ticket to be changed; None where there is none yet."""


def due(command: GrantEntitlements, standing: Sequence[Ticket]) -> Sequence[Due]:
    """The lines that have no ticket, or one that says something else; empty when the command is carried out.

    Where an id has several tickets, as a server without our index may, the oldest is the entitlement; the others show in the reader.
    """
    oldest = {ticket.external_id: ticket for ticket in reversed(standing)}
    left = []
    # Of lines with one id the last one holds.
    for number in {line.entitlement_id: number for number, line in enumerate(command.lines)}.values():
        line = command.lines[number]
        ticket = oldest.get(line.entitlement_id)
        if ticket is None or not _says(ticket, command, line):
            left.append(Due(number, new_ticket(command, line), ticket.id if ticket else None))
    return left


def new_ticket(command: GrantEntitlements, line: EntitlementLine) -> NewTicket:
    """One line as a ticket; its external id is the canonical one."""
    until = f"to {line.ends_on.isoformat()}" if line.ends_on else "without an end"
    return NewTicket(
        title=f"{line.product_id} for {command.customer_id}"[:MAX_TITLE],
        description=f"Support level {line.level} for {plain(line.quantity)} of {line.product_id} from {line.starts_on.isoformat()} {until}",
        fields={
            "external_id": line.entitlement_id,
            "contract": command.contract_id,
            "order": command.order_id,
            "customer": command.customer_id,
            "product": line.product_id,
            "level": line.level,
            "quantity": plain(line.quantity),
            "starts_on": line.starts_on.isoformat(),
            "ends_on": line.ends_on.isoformat() if line.ends_on else None,
        },
    )


def plain(quantity: Decimal) -> str:
    """A quantity as text, exact, without an exponent or trailing zeros."""
    return format(quantity.normalize(), "f")


def granted(command: GrantEntitlements, standing: Sequence[Ticket], otherwise: int) -> EntitlementsGranted:
    """The reply; `otherwise` is the version where no line says when it was changed."""
    return EntitlementsGranted(
        contract_id=command.contract_id,
        entitlement_ids=tuple(line.entitlement_id for line in command.lines),
        aggregate_version=max((version_at(each.modified) for each in standing), default=otherwise),
    )


def problem_of(refused: HelpdeskRefused, command: GrantEntitlements, number: int) -> Problem:
    """Why django-helpdesk said no, in the command's terms: about the contract, order or customer, or about one of the lines."""
    code, hint = "refused-by-support", f"{refused.field}: {refused}"
    if refused.field in _OF_COMMAND:
        field = _OF_COMMAND[refused.field]
        return Problem(entity=refused.field, id=getattr(command, field), field=field, code=code, hint=hint)
    return Problem(entity="entitlement", id=command.lines[number].entitlement_id, field=f"lines[{number}]", code=code, hint=hint)


def _says(ticket: Ticket, command: GrantEntitlements, line: EntitlementLine) -> bool:
    stands = (ticket.contract, ticket.order, ticket.customer, ticket.product, ticket.level)
    return (*stands, ticket.quantity, ticket.starts_on, ticket.ends_on) == (
        command.contract_id,
        command.order_id,
        command.customer_id,
        line.product_id,
        line.level,
        line.quantity,
        line.starts_on,
        line.ends_on,
    )
