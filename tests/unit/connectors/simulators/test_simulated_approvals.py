"""The CPQ's poller on the simulator: what a lost webhook would have told is found, and among very many quotes at once."""

from __future__ import annotations

import json
import time

import pytest

from connectors.cpq.salesforce.changes import SalesforceChanges
from connectors.cpq.salesforce.client import open_salesforce
from connectors.cpq.salesforce.intake import SalesforceIntake
from connectors.simulators.landscape import quotes
from connectors.simulators.quote_payloads import salesforce_quote
from connectors.simulators.salesforce import QUOTE, VENDOR
from connectors.simulators.store import Store

QUOTES = f"/sobjects/{QUOTE}"


@pytest.fixture
async def source(simulators):
    async with open_salesforce(system="salesforce", url=f"{simulators.url}/salesforce", key="salesforce-token") as client:
        yield SalesforceChanges(client)


def names(page) -> list[str]:
    return [json.loads(found.payload)["sobject"]["Name"] for found in page.payloads]


async def test_what_is_polled_is_the_same_event_as_the_webhook(simulators, source, receiver, quote):
    await simulators.salesforce.post(QUOTES, json=quote("Q-old", SBQQ__Status__c="Approved"))
    cursor = (await source.read(None)).cursor
    await simulators.salesforce.post(QUOTES, json=quote("Q-draft"))
    bundled = salesforce_quote(next(each for each in quotes(10) if any(line.bundle_id for line in each.lines)))
    made = (await simulators.salesforce.post(QUOTES, json=bundled)).json()["id"]
    await simulators.salesforce.patch(f"{QUOTES}/{made}", json={"SBQQ__Status__c": "Approved"})

    page = await source.read(cursor)

    assert names(page) == [bundled["Name"]]
    await simulators.control.set_faults("salesforce", webhook_url=receiver.url)
    told = [(await receiver.next())[1] for _ in range(2)]
    (webhook,) = [body for body in told if json.loads(body)["sobject"]["Name"] == bundled["Name"]]
    assert SalesforceIntake().events(page.payloads[0].payload, {}) == SalesforceIntake().events(webhook, {})


async def test_one_more_among_ten_thousand_is_found_at_once(start, tmp_path, quote):
    (tmp_path / "state").mkdir()
    store = Store(tmp_path / "state" / "salesforce.sqlite", VENDOR.indexed)
    lines = {"totalSize": 1, "done": True, "records": quote("Q")["SBQQ__LineItems__r"]["records"]}
    with store.transaction():
        for number in range(10_000):
            at = f"2026-01-02T03:{number // 200:02d}:{number % 60:02d}.000+0000"
            more = {"Id": f"a0q{number:05d}", "SBQQ__Status__c": "Approved", "SystemModstamp": at, "LastModifiedDate": at, "Version__c": 1}
            body = quote(f"Q-{number}", **more) | {"SBQQ__LineItems__r": lines}
            store.insert(QUOTE, body["Id"], body, external_id=body["Name"], unique_key=body["Name"])
    plan = store.db.execute(
        "EXPLAIN QUERY PLAN SELECT id FROM records WHERE kind = ? AND json_extract(body, '$.SBQQ__Status__c') = ?"
        " AND json_extract(body, '$.SystemModstamp') >= ?",
        (QUOTE, "Approved", "2026"),
    ).fetchall()
    store.close()
    assert "records_by_SBQQ__Status__c_and_SystemModstamp" in str(plan)

    async with (
        start() as simulators,
        open_salesforce(system="salesforce", url=f"{simulators.url}/salesforce", key="salesforce-token") as client,
    ):
        source = SalesforceChanges(client)
        began = time.monotonic()
        cursor = (await source.read(None)).cursor
        await simulators.salesforce.post(QUOTES, json=quote("Q-new", SBQQ__Status__c="Approved"))
        found = names(await source.read(cursor))
        took_s = time.monotonic() - began

        assert found == ["Q-new"]
        assert took_s < 1  # without the index each look reads and sorts ten thousand quotes

        read, cursor, more = 0, "{}", True
        while more:
            page = await source.read(cursor)
            read, cursor, more = read + len(page.payloads), page.cursor, page.more
        assert read == 10_001
