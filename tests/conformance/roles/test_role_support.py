"""What support adds to the cases of every action: lines that change, refusals line by line, contracts that were done half.

On Zendesk (simulated) and on django-helpdesk (real): the same cases, and below them what one of the two alone has.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from role_bench import Bench, Desk, fresh
from role_jobs import entitlement, grant_entitlements

from connectors.support.helpdesk.records import QUEUE, Ticket
from connectors.support.helpdesk.translate import due
from integration_fabric.messages.entitlements import EntitlementsGranted, EntitlementsRejected


@pytest.fixture(params=["zendesk", pytest.param("helpdesk", marks=pytest.mark.helpdesk)])
async def support(request: pytest.FixtureRequest, make_bench: Any) -> Bench:
    bench: Bench = await make_bench(request.param, "real" if request.param == "helpdesk" else "simulated")
    return bench


@pytest.fixture
async def zendesk(make_bench: Any) -> Bench:
    bench: Bench = await make_bench("zendesk")
    return bench


@pytest.fixture
async def helpdesk(make_bench: Any) -> Bench:
    bench: Bench = await make_bench("helpdesk", "real")
    return bench


async def standing(support: Bench, entitlement_id: str) -> Mapping[str, Any]:
    """The one record of an entitlement, in our words, as it is read from the system itself."""
    if support.vendor == "helpdesk":
        (ticket,) = await support.client.find_by_external_id([entitlement_id])
        return _of_ticket(ticket)
    (record,) = await support.control.records("zendesk", "entitlement", external_id=entitlement_id)
    return _of_custom_record(record.body["custom_object_fields"])


def _of_ticket(ticket: Ticket) -> Mapping[str, Any]:
    return {
        "contract_id": ticket.contract,
        "order_id": ticket.order,
        "customer_id": ticket.customer,
        "product_id": ticket.product,
        "level": ticket.level,
        "quantity": ticket.quantity,
        "starts_on": ticket.starts_on,
        "ends_on": ticket.ends_on,
    }


def _of_custom_record(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    dates = {name: date.fromisoformat(fields[name]) if fields[name] else None for name in ("starts_on", "ends_on")}
    return {**{name: value for name, value in fields.items() if name != "organization"}, "quantity": Decimal(fields["quantity"]), **dates}


# Both


async def test_each_line_is_an_entitlement_of_the_customer(support: Bench) -> None:
    command = await grant_entitlements(support)

    reply = await support.call(command)

    assert isinstance(reply, EntitlementsGranted)
    assert reply.entitlement_ids == tuple(line.entitlement_id for line in command.lines)
    expected = {
        "contract_id": command.contract_id,
        "order_id": command.order_id,
        "customer_id": command.customer_id,
        "product_id": "ANL-STR",
        "level": "standard",
        "quantity": Decimal("2.5"),
        "starts_on": date(2026, 1, 15),
        "ends_on": date(2027, 1, 14),
    }
    assert await standing(support, command.lines[0].entitlement_id) == expected
    assert await standing(support, command.lines[1].entitlement_id) == {**expected, "product_id": "FRM-ONB", "ends_on": None}


async def test_a_line_that_changed_is_changed(support: Bench) -> None:
    command = await grant_entitlements(support)
    first = await support.call(command)
    more = command.lines[0].model_copy(update={"quantity": Decimal(7), "ends_on": None})

    second = await support.call(command.model_copy(update={"lines": (more, command.lines[1])}))

    assert isinstance(second, EntitlementsGranted)
    assert second.aggregate_version >= first.aggregate_version
    changed = await standing(support, more.entitlement_id)
    assert (changed["quantity"], changed["ends_on"], changed["level"]) == (7, None, "standard")
    assert len((await support.reader.entitlements([command.contract_id]))[command.contract_id]) == 2


async def test_a_line_that_came_later_is_added_to_the_others(support: Bench) -> None:
    command = await grant_entitlements(support)
    await support.call(command)
    more = command.model_copy(update={"lines": (*command.lines, entitlement())})

    reply = await support.call(more)

    assert isinstance(reply, EntitlementsGranted)
    ids = (await support.reader.entitlements([command.contract_id]))[command.contract_id]
    assert sorted(ids) == sorted(line.entitlement_id for line in more.lines)


async def test_two_at_once_make_each_line_once(support: Bench) -> None:
    command = await grant_entitlements(support)

    replies = await asyncio.gather(*(support.call(command) for _ in range(4)))

    assert {type(reply) for reply in replies} == {EntitlementsGranted}
    ids = (await support.reader.entitlements([command.contract_id]))[command.contract_id]
    assert sorted(ids) == sorted(line.entitlement_id for line in command.lines)


async def test_a_line_that_support_refuses_is_named_and_the_others_stand(support: Bench) -> None:
    command = await grant_entitlements(support, lines=(entitlement(), entitlement(entitlement_id="")))

    reply = await support.call(command)

    assert isinstance(reply, EntitlementsRejected)
    (problem,) = reply.problems
    assert (problem.entity, problem.id, problem.field) == ("entitlement", "", "lines[1]")
    assert problem.code == ("blank-value" if support.vendor == "zendesk" else "refused-by-support")
    assert "be blank" in problem.hint
    assert await support.reader.entitlements([command.contract_id]) == {command.contract_id: [command.lines[0].entitlement_id]}


async def test_a_customer_that_support_refuses_is_named(support: Bench) -> None:
    command = await grant_entitlements(support, customer_id="")

    reply = await support.call(command)

    assert isinstance(reply, EntitlementsRejected)
    assert [(problem.entity, problem.field) for problem in reply.problems] == [("customer", "customer_id")]
    assert await support.reader.entitlements([command.contract_id]) == {command.contract_id: []}


async def test_the_reader_reads_more_than_a_page(support: Bench) -> None:
    large = await grant_entitlements(support, lines=tuple(entitlement() for _ in range(210)))
    small, none = await grant_entitlements(support), fresh("CT")
    await support.call(large)
    await support.call(small)

    found = await support.reader.entitlements([large.contract_id, small.contract_id, none])

    assert sorted(found[large.contract_id]) == sorted(line.entitlement_id for line in large.lines)
    assert len(found[small.contract_id]) == 2
    assert found[none] == []


# Zendesk


async def test_zendesks_entitlement_names_its_organization(zendesk: Bench) -> None:
    command = await grant_entitlements(zendesk)

    await zendesk.call(command)

    (organization,) = await zendesk.control.records("zendesk", "organization", external_id=command.customer_id)
    (record,) = await zendesk.control.records("zendesk", "entitlement", external_id=command.lines[0].entitlement_id)
    assert record.body["custom_object_fields"]["organization"] == int(organization.id)


async def test_a_name_that_people_gave_an_organization_stays(zendesk: Bench) -> None:
    command = await grant_entitlements(zendesk)
    await zendesk.client.upsert_organization(command.customer_id, name="Birch Logistics AS")

    await zendesk.call(command)

    (organization,) = await zendesk.control.records("zendesk", "organization", external_id=command.customer_id)
    assert organization.body["name"] == "Birch Logistics AS"


# django-helpdesk


@pytest.mark.helpdesk
@pytest.mark.parametrize(("change", "words"), [({"level": ""}, "level: .* blank"), ({"level": "x" * 300}, "level: .*(characters|long)")])
async def test_a_value_that_helpdesk_refuses_is_named(helpdesk: Bench, change: dict[str, Any], words: str) -> None:
    command = await grant_entitlements(helpdesk, lines=(entitlement(**change),))

    reply = await helpdesk.call(command)

    assert isinstance(reply, EntitlementsRejected)
    (problem,) = reply.problems
    assert problem.id == command.lines[0].entitlement_id
    assert re.match(words, problem.hint)


@pytest.mark.helpdesk
async def test_a_contract_that_was_done_half_is_gone_on_from(helpdesk: Bench, desk: Desk) -> None:
    command = await grant_entitlements(helpdesk, lines=tuple(entitlement() for _ in range(4)))
    await helpdesk.call(command.model_copy(update={"lines": command.lines[1:3]}))
    begun = await helpdesk.client.find_by_contract([command.contract_id])
    assert await helpdesk.read_back(command) is None, "half is not done"

    carried = await desk.carry_out(helpdesk, command)

    assert isinstance(carried.reply, EntitlementsGranted)
    tickets = await helpdesk.client.find_by_contract([command.contract_id])
    assert sorted(ticket.external_id or "" for ticket in tickets) == sorted(line.entitlement_id for line in command.lines)
    assert [ticket for ticket in tickets if ticket.external_id in {each.external_id for each in begun}] == list(begun), "left as they were"


@pytest.mark.helpdesk
async def test_reading_back_wants_what_the_command_says(helpdesk: Bench) -> None:
    command = await grant_entitlements(helpdesk)
    await helpdesk.call(command)
    more = command.lines[0].model_copy(update={"quantity": Decimal(7)})

    assert await helpdesk.read_back(command.model_copy(update={"lines": (more, command.lines[1])})) is None


@pytest.mark.helpdesk
async def test_of_two_creations_in_flight_one_succeeds_and_leaves_no_half_of_the_other(helpdesk: Bench) -> None:
    command = await grant_entitlements(helpdesk, lines=(entitlement(),))
    (new,) = due(command, [])
    queue = await helpdesk.client.find_queue(QUEUE)
    body = {"queue": queue.id, "title": fresh("title"), "description": "x", "priority": 3}
    fields = {f"custom_{name}": value for name, value in new.new.fields.items()}

    answers = await asyncio.gather(*(helpdesk.client.http.call("POST", "/api/tickets/", json={**body, **fields}) for _ in range(5)))

    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
    everything = (await helpdesk.client.http.call("GET", "/api/tickets/", params={"page_size": 1000})).json()["results"]
    assert len([ticket for ticket in everything if ticket["title"] == body["title"]]) == 1


@pytest.mark.helpdesk
async def test_a_ticket_that_a_person_made_is_counted_by_its_number(helpdesk: Bench) -> None:
    contract = fresh("CT")
    queue = await helpdesk.client.find_queue(QUEUE)
    body = {"queue": queue.id, "title": "By hand", "description": "x", "priority": 3, "custom_contract": contract}
    made = await helpdesk.client.http.call("POST", "/api/tickets/", json=body)
    twice = await helpdesk.client.http.call("POST", "/api/tickets/", json=body)

    found = await helpdesk.reader.entitlements([contract])

    assert found == {contract: [str(made.json()["id"]), str(twice.json()["id"])]}, "an empty external id is not unique"
