"""What support adds to the cases of every action: lines that change, refusals line by line, and organizations that people named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from role_bench import Bench, fresh
from role_jobs import entitlement, grant_entitlements

from integration_fabric.messages.entitlements import EntitlementsGranted, EntitlementsRejected


@pytest.fixture
async def support(make_bench: Any) -> Bench:
    bench: Bench = await make_bench("zendesk")
    return bench


async def test_each_line_is_an_entitlement_of_the_customer(support: Bench) -> None:
    command = await grant_entitlements(support)

    reply = await support.call(command)

    assert isinstance(reply, EntitlementsGranted)
    assert reply.entitlement_ids == tuple(line.entitlement_id for line in command.lines)
    (organization,) = await support.control.records("zendesk", "organization", external_id=command.customer_id)
    (record,) = await support.control.records("zendesk", "entitlement", external_id=command.lines[0].entitlement_id)
    assert record.body["custom_object_fields"] == {
        "contract_id": command.contract_id,
        "order_id": command.order_id,
        "customer_id": command.customer_id,
        "organization": int(organization.id),
        "product_id": "ANL-STR",
        "level": "standard",
        "quantity": "2.5",
        "starts_on": "2026-01-15",
        "ends_on": "2027-01-14",
    }


async def test_a_line_that_changed_is_changed(support: Bench) -> None:
    command = await grant_entitlements(support)
    await support.call(command)
    more = command.lines[0].model_copy(update={"quantity": Decimal(7), "ends_on": None})

    await support.call(command.model_copy(update={"lines": (more, command.lines[1])}))

    (record,) = await support.control.records("zendesk", "entitlement", external_id=more.entitlement_id)
    assert (record.body["custom_object_fields"]["quantity"], record.body["custom_object_fields"]["ends_on"]) == ("7", None)


async def test_a_name_that_people_gave_an_organization_stays(support: Bench) -> None:
    command = await grant_entitlements(support)
    await support.client.upsert_organization(command.customer_id, name="Birch Logistics AS")

    await support.call(command)

    (organization,) = await support.control.records("zendesk", "organization", external_id=command.customer_id)
    assert organization.body["name"] == "Birch Logistics AS"


async def test_a_line_that_support_refuses_is_named(support: Bench) -> None:
    command = await grant_entitlements(support, lines=(entitlement(), entitlement(entitlement_id="")))

    reply = await support.call(command)

    assert isinstance(reply, EntitlementsRejected)
    (problem,) = reply.problems
    assert (problem.code, problem.entity, problem.field) == ("blank-value", "entitlement", "lines[1]")
    assert "cannot be blank" in problem.hint


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
