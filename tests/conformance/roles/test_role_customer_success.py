"""What customer success adds to the cases of every action: onboardings that are there already, and companies that people named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from role_bench import Bench, fresh
from role_jobs import start_onboarding

from connectors.customer_success.gainsight.records import EXTERNAL_ID
from integration_fabric.messages.onboardings import OnboardingStarted


@pytest.fixture
async def success(make_bench: Any) -> Bench:
    bench: Bench = await make_bench("gainsight")
    return bench


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


async def test_a_name_that_people_gave_a_company_stays(success: Bench) -> None:
    command = await start_onboarding(success)
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
