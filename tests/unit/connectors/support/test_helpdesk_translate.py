"""Entitlements as django-helpdesk takes them, and what is left to do when some of them are there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from connectors.support.helpdesk.records import Ticket
from connectors.support.helpdesk.refusals import AlreadyThere, HelpdeskRefused, failure
from connectors.support.helpdesk.translate import MAX_TITLE, due, granted, new_ticket, problem_of
from integration_fabric.connector_kit.http_client import Answer
from integration_fabric.messages.entitlements import EntitlementLine, GrantEntitlements
from integration_fabric.messages.errors import BadCredential, VendorDrift

MODIFIED = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def line(identity: str, **changes: Any) -> EntitlementLine:
    values: dict[str, Any] = {
        "entitlement_id": identity,
        "product_id": "P-1",
        "level": "standard",
        "quantity": Decimal("2.50"),
        "starts_on": date(2026, 1, 15),
    }
    return EntitlementLine(**{**values, **changes})


def command(*lines: EntitlementLine) -> GrantEntitlements:
    values: dict[str, Any] = {"contract_id": "CT-1", "order_id": "SO-1", "customer_id": "C-1", "lines": lines}
    return GrantEntitlements(**values)


def ticket(number: int, identity: str, **changes: Any) -> Ticket:
    """As the server shows what `new_ticket` made of `line(identity)`."""
    fields = new_ticket(command(), line(identity)).fields
    values = {f"custom_{name}": value for name, value in fields.items()}
    return Ticket.model_validate({"id": number, "modified": MODIFIED, **values, **changes})


# Commands to tickets


def test_a_line_becomes_a_ticket_of_its_own_id() -> None:
    new = new_ticket(command(), line("E-1", ends_on=date(2027, 1, 14)))

    assert new.fields == {
        "external_id": "E-1",
        "contract": "CT-1",
        "order": "SO-1",
        "customer": "C-1",
        "product": "P-1",
        "level": "standard",
        "quantity": "2.5",
        "starts_on": "2026-01-15",
        "ends_on": "2027-01-14",
    }
    assert new.title == "P-1 for C-1"
    assert "from 2026-01-15 to 2027-01-14" in new.description


def test_a_title_that_is_too_long_is_cut() -> None:
    assert len(new_ticket(command(), line("E-1", product_id="P" * 300)).title) == MAX_TITLE


def test_a_line_without_an_end_has_none() -> None:
    new = new_ticket(command(), line("E-1"))

    assert new.fields["ends_on"] is None
    assert new.description.endswith("without an end")


# What is left to do


def test_at_first_every_line_is_to_be_made() -> None:
    left = due(command(line("E-1"), line("E-2")), [])

    assert [(each.number, each.ticket, each.new.fields["external_id"]) for each in left] == [(0, None, "E-1"), (1, None, "E-2")]


def test_of_a_contract_that_was_done_half_the_rest_is_left() -> None:
    left = due(command(line("E-1"), line("E-2"), line("E-3")), [ticket(7, "E-2")])

    assert [each.number for each in left] == [0, 2]


def test_when_every_line_is_there_nothing_is_left() -> None:
    assert due(command(line("E-1"), line("E-2")), [ticket(8, "E-2"), ticket(7, "E-1", custom_quantity="2.500000")]) == []


@pytest.mark.parametrize(
    "stands",
    [
        {"custom_contract": "CT-2"},
        {"custom_order": ""},
        {"custom_customer": None},
        {"custom_product": "P-2"},
        {"custom_level": "gold"},
        {"custom_quantity": "2.51"},
        {"custom_starts_on": "2026-01-16"},
        {"custom_ends_on": "2027-01-14"},
    ],
)
def test_a_ticket_that_says_something_else_is_to_be_changed(stands: dict[str, Any]) -> None:
    (left,) = due(command(line("E-1")), [ticket(7, "E-1", **stands)])

    assert (left.number, left.ticket) == (0, 7)


def test_of_several_tickets_with_one_id_the_oldest_is_the_entitlement() -> None:
    standing = [ticket(7, "E-1"), ticket(8, "E-1", custom_level="gold")]

    assert due(command(line("E-1")), standing) == []
    assert [each.ticket for each in due(command(line("E-1", level="gold")), standing)] == [7]


def test_of_lines_with_one_id_the_last_one_holds() -> None:
    (left,) = due(command(line("E-1"), line("E-1", level="gold")), [])

    assert (left.number, left.new.fields["level"]) == (1, "gold")


# Tickets to replies


def test_the_reply_has_the_time_of_the_latest_change() -> None:
    later = MODIFIED + timedelta(seconds=1)

    reply = granted(command(line("E-1"), line("E-2")), [ticket(7, "E-1", modified=later), ticket(8, "E-2")], otherwise=0)

    assert (reply.contract_id, reply.entitlement_ids) == ("CT-1", ("E-1", "E-2"))
    assert reply.aggregate_version == int(MODIFIED.timestamp()) * 1_000_000 + 1_000_006
    assert granted(command(), [], otherwise=17).aggregate_version == 17


# Refusals


def answer(status: int, body: Any) -> Answer:
    return Answer(httpx.Response(status, json=body))


@pytest.mark.parametrize(
    ("status", "body", "kind", "field"),
    [
        (400, {"custom_level": ["This field may not be blank."]}, HelpdeskRefused, "level"),
        (409, {"custom_external_id": ["A ticket with this external id exists."]}, AlreadyThere, "external_id"),
        (400, {"queue": ["This field is required."]}, VendorDrift, None),
        (400, {"detail": "JSON parse error"}, VendorDrift, None),
        (400, ["nonsense"], VendorDrift, None),
        (404, {"detail": "No CustomField matches the given query."}, VendorDrift, None),
        (405, {"detail": "Method not allowed"}, VendorDrift, None),
        (403, {"detail": "You do not have permission to perform this action."}, BadCredential, None),
    ],
)
def test_an_error_says_whether_it_is_a_refusal(status: int, body: Any, kind: type[Exception], field: str | None) -> None:
    error = failure(answer(status, body))

    assert type(error) is kind
    assert getattr(error, "field", None) == field


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("customer", ("customer", "C-1", "customer_id")),
        ("order", ("order", "SO-1", "order_id")),
        ("contract", ("contract", "CT-1", "contract_id")),
        ("level", ("entitlement", "E-2", "lines[1]")),
        ("external_id", ("entitlement", "E-2", "lines[1]")),
    ],
)
def test_a_refusal_is_told_in_the_commands_terms(field: str, told: tuple[str, str, str]) -> None:
    problem = problem_of(HelpdeskRefused("because", field=field), command(line("E-1"), line("E-2")), 1)

    assert (problem.entity, problem.id, problem.field) == told
    assert (problem.code, problem.hint) == ("refused-by-support", f"{field}: because")
