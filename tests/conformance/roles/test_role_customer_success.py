"""What customer success adds to the cases of every action: what is there already, what people did, and what was never opened."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from role_bench import Bench, fresh
from role_jobs import close_intervention, open_intervention, start_onboarding

from connectors.customer_success.gainsight.records import EXTERNAL_ID
from integration_fabric.messages.interventions import CloseIntervention, InterventionClosed, InterventionOpened, InterventionRejected
from integration_fabric.messages.onboardings import OnboardingStarted


@pytest.fixture
async def success(make_bench: Any) -> Bench:
    bench: Bench = await make_bench("gainsight")
    return bench


# Onboardings


async def test_the_onboarding_says_what_it_is_for(success: Bench) -> None:
    command = await start_onboarding(success)

    reply = await success.call(command)

    assert isinstance(reply, OnboardingStarted)
    (cta,) = await success.control.records("gainsight", "call_to_action", external_id=command.contract_id)
    assert cta.id == reply.native_id
    expected = {
        "TypeName": "Onboarding",
        "StatusName": "New",
        "PlaybookName": "recurring",
        "DueDate": command.starts_on.isoformat(),
        "Contract_Id__c": command.contract_id,
        "Order_Id__c": command.order_id,
        "Products__c": "ANL-STR, FRM-ONB",
        "CompanyName": command.customer_id,
    }
    assert {name: cta.body[name] for name in expected} == expected


async def test_an_onboarding_that_a_person_began_is_the_onboarding(success: Bench) -> None:
    command = await start_onboarding(success)
    first = await success.call(command)
    renewal = await start_onboarding(success, contract_id=command.contract_id)

    second = await success.call(renewal)

    assert isinstance(first, OnboardingStarted)
    assert isinstance(second, OnboardingStarted)
    assert second.native_id == first.native_id


async def test_two_at_once_begin_one(success: Bench) -> None:
    command = await start_onboarding(success)

    replies = await asyncio.gather(*(success.call(command) for _ in range(5)))

    assert len({reply.native_id for reply in replies if isinstance(reply, OnboardingStarted)}) == 1
    assert len(await success.control.records("gainsight", "call_to_action", external_id=command.contract_id)) == 1
    assert len(await success.control.records("gainsight", "Company", external_id=command.customer_id)) == 1


@pytest.mark.parametrize("make", [start_onboarding, open_intervention])
async def test_a_name_that_people_gave_a_company_stays(success: Bench, make: Any) -> None:
    command = await make(success)
    await success.client.upsert_company(command.customer_id, name="Birch Logistics AS")

    await success.call(command)

    (company,) = await success.control.records("gainsight", "Company", external_id=command.customer_id)
    assert company.body["Name"] == "Birch Logistics AS"


@pytest.mark.parametrize("others", [0, 30])
async def test_the_reader_counts_onboardings_alone(success: Bench, others: int) -> None:
    command, risk = await start_onboarding(success), fresh("CT")
    await success.call(command)
    values = {EXTERNAL_ID: risk, "Name": "Risk", "TypeName": "Risk", "CompanyExternalId": command.customer_id}
    await success.client.http.call("POST", "/v2/cockpit/cta", json={"records": [values]})

    wanted = [command.contract_id, risk, *(fresh("CT") for _ in range(others))]
    found = await success.reader.onboardings(wanted)

    assert [list(found[each]) for each in wanted] == [["New"], [], *([] for _ in range(others))]


# Interventions


async def ctas(success: Bench, intervention_id: str) -> list[dict[str, Any]]:
    return [record.body for record in await success.control.records("gainsight", "call_to_action", external_id=intervention_id)]


async def test_the_risk_says_what_it_is_about(success: Bench) -> None:
    command = await open_intervention(success)

    reply = await success.call(command)

    assert isinstance(reply, InterventionOpened)
    (cta,) = await ctas(success, command.intervention_id)
    expected = {
        "Gsid": reply.native_id,
        "TypeName": "Risk",
        "StatusName": "New",
        "PriorityName": "High",
        "ReasonName": command.reason,
        "Comments": command.reason,
        "Invoice_Id__c": command.invoice_id,
        "CompanyName": command.customer_id,
    }
    assert {name: cta[name] for name in expected} == expected


async def test_two_at_once_open_one(success: Bench) -> None:
    command = await open_intervention(success)

    replies = await asyncio.gather(*(success.call(command) for _ in range(5)))

    assert len({reply.native_id for reply in replies if isinstance(reply, InterventionOpened)}) == 1
    assert len(await ctas(success, command.intervention_id)) == 1


async def test_closing_says_what_settled_it_below_what_it_was_about(success: Bench) -> None:
    opened = await open_intervention(success)
    await success.call(opened)
    command = CloseIntervention(intervention_id=opened.intervention_id, customer_id=opened.customer_id, resolution="Paid on 3 March")

    reply = await success.call(command)

    assert isinstance(reply, InterventionClosed)
    (cta,) = await ctas(success, command.intervention_id)
    assert (cta["StatusName"], cta["IsClosed"]) == ("Closed Success", True)
    assert cta["Comments"] == f"{opened.reason}\nPaid on 3 March"


async def test_closing_what_is_closed_changes_nothing(success: Bench) -> None:
    command = await close_intervention(success)
    (cta,) = await ctas(success, command.intervention_id)
    await success.client.http.call("PUT", f"/v2/cockpit/cta/{cta['Gsid']}", json={"StatusName": "Closed Lost", "Comments": "by hand"})

    reply = await success.call(command)

    assert isinstance(reply, InterventionClosed)
    (cta,) = await ctas(success, command.intervention_id)
    assert (cta["StatusName"], cta["Comments"]) == ("Closed Lost", "by hand")


async def test_two_who_close_it_at_once_both_find_it_closed(success: Bench) -> None:
    command = await close_intervention(success)

    replies = await asyncio.gather(*(success.call(command) for _ in range(5)))

    assert {type(reply) for reply in replies} == {InterventionClosed}
    (cta,) = await ctas(success, command.intervention_id)
    assert cta["Comments"].count(command.resolution) == 1


async def test_what_was_never_opened_cannot_be_closed(success: Bench) -> None:
    onboarding = await start_onboarding(success)
    await success.call(onboarding)

    for identity in (fresh("IV"), onboarding.contract_id):
        reply = await success.call(CloseIntervention(intervention_id=identity, customer_id=onboarding.customer_id, resolution="paid"))

        assert isinstance(reply, InterventionRejected)
        assert [(problem.code, problem.id) for problem in reply.problems] == [("unknown-intervention", identity)]
    assert await success.reader.onboardings([onboarding.contract_id]) == {onboarding.contract_id: ["New"]}


async def test_opening_what_is_closed_leaves_it_closed(success: Bench) -> None:
    opening = await open_intervention(success)
    first = await success.call(opening)
    closing = CloseIntervention(intervention_id=opening.intervention_id, customer_id=opening.customer_id, resolution="paid")
    await success.call(closing)

    again = await success.call(opening)

    assert isinstance(first, InterventionOpened)
    assert isinstance(again, InterventionOpened)
    assert again.native_id == first.native_id
    assert await success.reader.interventions([opening.intervention_id]) == {opening.intervention_id: ["closed"]}


async def test_an_id_that_something_else_has_is_refused(success: Bench) -> None:
    onboarding = await start_onboarding(success)
    await success.call(onboarding)
    command = await open_intervention(success, intervention_id=onboarding.contract_id)

    reply = await success.call(command)

    assert isinstance(reply, InterventionRejected)
    assert [(problem.entity, problem.code) for problem in reply.problems] == [("intervention", "refused-by-customer-success")]
    assert await success.read_back(command) is None
    assert await success.reader.interventions([command.intervention_id]) == {command.intervention_id: []}


async def test_a_customer_that_is_refused_is_named(success: Bench) -> None:
    reply = await success.call(await open_intervention(success, customer_id=""))

    assert isinstance(reply, InterventionRejected)
    assert len(reply.problems) == 1
    assert "External_Id__c" in reply.problems[0].hint


@pytest.mark.parametrize("others", [0, 30])
async def test_the_reader_tells_open_from_closed(success: Bench, others: int) -> None:
    opened, closing, onboarding = await open_intervention(success), await close_intervention(success), await start_onboarding(success)
    for command in (opened, closing, onboarding):
        await success.call(command)

    wanted = [opened.intervention_id, closing.intervention_id, onboarding.contract_id, *(fresh("IV") for _ in range(others))]
    found = await success.reader.interventions(wanted)

    assert [list(found[each]) for each in wanted] == [["open"], ["closed"], [], *([] for _ in range(others))]
