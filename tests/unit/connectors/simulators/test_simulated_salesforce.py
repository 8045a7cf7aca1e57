from __future__ import annotations

from decimal import Decimal

import pytest

from connectors.simulators.landscape import quotes
from connectors.simulators.quote_payloads import salesforce_quote
from connectors.simulators.soql import MalformedQueryError, UnknownFieldError, parse_query

QUOTES = "/sobjects/SBQQ__Quote__c"


async def test_a_quote_is_created_read_and_approved(simulators, quote):
    created = await simulators.salesforce.post(QUOTES, json=quote("Q-1"))
    assert created.status_code == 201
    quote_id = created.json()["id"]

    approved = await simulators.salesforce.patch(f"{QUOTES}/{quote_id}", json={"SBQQ__Status__c": "Approved"})

    assert approved.status_code == 204
    read = (await simulators.salesforce.get(f"{QUOTES}/{quote_id}")).json()
    assert (read["Name"], read["SBQQ__Status__c"], read["Version__c"]) == ("Q-1", "Approved", 2)
    assert read["Approved_At__c"] == read["LastModifiedDate"]
    assert read["Bill_To__c"] == "C-1001"
    assert (await simulators.salesforce.get(f"{QUOTES}/Name/Q-1")).json() == read


async def test_a_bundle_names_its_lines_before_their_options(simulators):
    bundled = next(each for each in quotes(10) if any(line.bundle_id for line in each.lines))
    quote_id = (await simulators.salesforce.post(QUOTES, json=salesforce_quote(bundled))).json()["id"]

    lines = (await simulators.salesforce.get(f"{QUOTES}/{quote_id}")).json()["SBQQ__LineItems__r"]["records"]

    names = {line["Id"]: line["Name"] for line in lines}
    assert [names.get(line["SBQQ__RequiredBy__c"]) for line in lines] == [line.parent_line_id for line in bundled.lines]
    assert [Decimal(str(line["SBQQ__NetPrice__c"])) for line in lines] == [line.unit_price for line in bundled.lines]

    orphan = salesforce_quote(bundled) | {"Name": "Q-2"}
    orphan["SBQQ__LineItems__r"]["records"].reverse()
    refused = await simulators.salesforce.post(QUOTES, json=orphan)
    assert refused.status_code == 400
    assert "a bundle stands before its options" in refused.json()[0]["message"]


async def test_a_second_quote_of_the_same_name_is_refused(simulators, quote):
    first = (await simulators.salesforce.post(QUOTES, json=quote("Q-1"))).json()["id"]

    second = await simulators.salesforce.post(QUOTES, json=quote("Q-1"))

    assert second.status_code == 400
    assert second.json()[0]["errorCode"] == "DUPLICATE_VALUE"
    assert first in second.json()[0]["message"]
    assert await simulators.control.counts("salesforce") == {"SBQQ__Quote__c": 1}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Colour__c": "red"}, "INVALID_FIELD"),
        ({"SBQQ__Status__c": "Great"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Legal_Entity__c": None}, "REQUIRED_FIELD_MISSING"),
        ({"SBQQ__LineItems__r": {"records": []}}, "INVALID_FIELD"),
        ({"SBQQ__StartDate__c": "tomorrow"}, "JSON_PARSER_ERROR"),
    ],
)
async def test_what_the_platform_does_not_know_is_refused(simulators, quote, change, code):
    refused = await simulators.salesforce.post(QUOTES, json=quote(**change))

    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, code)
    assert await simulators.control.counts("salesforce") == {}


async def test_lines_of_an_approved_quote_are_locked_and_approving_again_changes_no_event(simulators, quote):
    quote_id = (await simulators.salesforce.post(QUOTES, json=quote("Q-1", SBQQ__Status__c="Approved"))).json()["id"]
    lines = {"SBQQ__LineItems__r": quote("Q-1")["SBQQ__LineItems__r"]}

    locked = await simulators.salesforce.patch(f"{QUOTES}/{quote_id}", json=lines)
    assert locked.json()[0]["errorCode"] == "ENTITY_IS_LOCKED"

    await simulators.salesforce.patch(f"{QUOTES}/{quote_id}", json={"SBQQ__Status__c": "Approved"})
    assert (await simulators.control.webhooks("salesforce"))["pending"] == 1

    await simulators.salesforce.patch(f"{QUOTES}/{quote_id}", json={"SBQQ__Status__c": "Draft"})
    assert (await simulators.salesforce.patch(f"{QUOTES}/{quote_id}", json=lines)).status_code == 204
    await simulators.salesforce.patch(f"{QUOTES}/{quote_id}", json={"SBQQ__Status__c": "Approved"})
    assert (await simulators.control.webhooks("salesforce"))["pending"] == 2


async def test_a_poller_pages_by_the_time_of_change(simulators, quote):
    for number in range(5):
        await simulators.salesforce.post(QUOTES, json=quote(f"Q-{number}"))
    everything = (await simulators.salesforce.get("/query", params={"q": "SELECT Id FROM SBQQ__Quote__c ORDER BY LastModifiedDate"})).json()
    assert (everything["totalSize"], everything["done"]) == (5, True)
    changed = everything["records"][2]["LastModifiedDate"]

    since = (
        f"SELECT FIELDS(ALL) FROM SBQQ__Quote__c WHERE LastModifiedDate >= {changed} AND SBQQ__Status__c = 'Draft' ORDER BY Name LIMIT 2"
    )
    page = (await simulators.salesforce.get("/query", params={"q": since})).json()

    assert [record["Name"] for record in page["records"]] == ["Q-2", "Q-3"]
    assert page["records"][0]["SBQQ__LineItems__r"]["records"][0]["SBQQ__ProductCode__c"] == "ANL-TEA"


async def test_a_long_answer_goes_on_behind_a_locator(simulators, quote, monkeypatch):
    monkeypatch.setattr("connectors.simulators.salesforce.PAGE", 2)
    for number in range(5):
        await simulators.salesforce.post(QUOTES, json=quote(f"Q-{number}"))

    names, url = [], "/salesforce/services/data/v60.0/query?q=SELECT+Id+FROM+SBQQ__Quote__c+ORDER+BY+Name"
    while url:
        page = (await simulators.salesforce.get(simulators.url + url)).json()
        names += [record["Name"] for record in page["records"]]
        url = f"/salesforce{page['nextRecordsUrl']}" if not page["done"] else ""

    assert names == [f"Q-{number}" for number in range(5)]


def test_soql_understands_lists_and_null():
    query = parse_query("select Id from Q where A IN ('x', 'y') and B != null order by A desc limit 3 offset 1", {"A", "B"})

    assert query.values == ("x", "y")
    assert (query.limit, query.offset) == (3, 1)
    assert "IN (?, ?)" in query.where
    assert "IS NOT NULL" in query.where


@pytest.mark.parametrize("statement", ["DELETE FROM Q", "SELECT Id FROM Q WHERE A LIKE 'x%'", "SELECT Id FROM Q WHERE A = yesterday"])
def test_soql_refuses_what_it_does_not_understand(statement):
    with pytest.raises(MalformedQueryError):
        parse_query(statement, {"A"})


def test_soql_refuses_an_unknown_field():
    with pytest.raises(UnknownFieldError, match="'C'"):
        parse_query("SELECT Id FROM Q WHERE C = 1", {"A"})
