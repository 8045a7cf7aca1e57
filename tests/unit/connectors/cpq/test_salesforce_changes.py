"""Approved quotes by polling: each once in the end, none passed over, and the same events as by webhook."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings, strategies as st

from connectors.cpq.salesforce.changes import Cursor, SalesforceChanges
from connectors.cpq.salesforce.client import Salesforce
from connectors.cpq.salesforce.intake import SalesforceIntake
from integration_fabric.connector_kit.http_client import HttpClient
from integration_fabric.connector_kit.polling import Page
from integration_fabric.messages.errors import BadCredential, VendorDrift

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
LONG_AGO = NOON - timedelta(hours=1)
LINE = {
    "Name": "1",
    "SBQQ__RequiredBy__r": None,
    "SBQQ__ProductCode__c": "ANL-STR",
    "SBQQ__Quantity__c": 12,
    "Unit__c": "User",
    "SBQQ__NetPrice__c": 99.9,
    "SBQQ__ChargeType__c": "One-Time",
    "SBQQ__StartDate__c": "2026-01-15",
    "Tax_Code__c": "NO-VAT-25",
    "Price_Book_Version__c": "2026-1",
}


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"


def quote(number: int, at: datetime, **changes: Any) -> dict[str, Any]:
    return {
        "attributes": {"type": "SBQQ__Quote__c"},
        "Id": f"a0q{number:05d}",
        "Name": f"Q-{number}",
        "SBQQ__Account__c": "C-1",
        "Legal_Entity__c": "NO",
        "CurrencyIsoCode": "NOK",
        "SBQQ__Status__c": "Approved",
        "SBQQ__Type__c": "Quote",
        "Sold_To__c": "C-1",
        "Bill_To__c": "C-1",
        "Ship_To__c": "C-1",
        "SBQQ__PaymentTerms__c": "NET30",
        "Approved_At__c": stamp(at),
        "SystemModstamp": stamp(at),
        "Version__c": 2,
        "SBQQ__LineItems__r": {"totalSize": 1, "done": True, "records": [LINE]},
        **changes,
    }


class Organization:
    """Answers queries for approved quotes as Salesforce does, so many on a page."""

    def __init__(self, *quotes: dict[str, Any], now: datetime | None = NOON, page: int = 200) -> None:
        self.quotes, self.now, self.page = list(quotes), now, page
        self.statements: list[str] = []
        self.further: dict[str, dict[str, Any]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        headers = {"Date": self.now.strftime("%a, %d %b %Y %H:%M:%S GMT")} if self.now else {}
        if (statement := request.url.params.get("q")) is None:
            return httpx.Response(200, json=self.further[request.url.path], headers=headers)
        self.statements.append(statement)
        return httpx.Response(200, json=self._pages(self._found(statement)), headers=headers)

    def _found(self, statement: str) -> Sequence[dict[str, Any]]:
        newest_first = sorted(self.quotes, key=lambda each: (each["SystemModstamp"], each["Id"]), reverse=True)
        if statement.endswith("LIMIT 1"):
            return newest_first[:1]
        since = re.search(r"SystemModstamp >= (\S+) ORDER BY SystemModstamp, Id$", statement)
        assert since is not None, statement
        return [each for each in newest_first[::-1] if datetime.fromisoformat(each["SystemModstamp"]) >= datetime.fromisoformat(since[1])]

    def _pages(self, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
        answer = {"totalSize": len(found), "done": len(found) <= self.page, "records": list(found[: self.page])}
        if not answer["done"]:
            path = f"/services/data/v61.0/query/{len(self.further)}"
            self.further[path] = {}
            self.further[path] = self._pages(found[self.page :])
            answer["nextRecordsUrl"] = path
        return answer

    def source(self) -> SalesforceChanges:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self), base_url="http://cpq/")
        return SalesforceChanges(Salesforce(HttpClient(http, system="salesforce")))


def names(page: Page) -> list[str]:
    return [json.loads(found.payload)["sobject"]["Name"] for found in page.payloads]


async def pages(source: SalesforceChanges, cursor: str | None) -> AsyncIterator[Page]:
    while True:
        page = await source.read(cursor)
        yield page
        assert page.cursor != cursor or not page.more, "it would look at the same for ever"
        if not page.more:
            return
        cursor = page.cursor


async def test_the_past_is_not_made_into_orders() -> None:
    organization = Organization(quote(1, LONG_AGO), quote(2, LONG_AGO))
    source = organization.source()

    first = await source.read(None)
    organization.quotes.append(quote(3, LONG_AGO))

    assert (first.payloads, first.events, first.more) == ((), (), False)
    assert names(await source.read(first.cursor)) == ["Q-3"]


async def test_an_empty_organization_is_read_from_its_first_quote() -> None:
    organization = Organization()
    cursor = (await organization.source().read(None)).cursor
    organization.quotes.append(quote(1, NOON))

    assert names(await organization.source().read(cursor)) == ["Q-1"]


async def test_an_empty_cursor_is_the_beginning() -> None:
    assert names(await Organization(quote(1, LONG_AGO)).source().read("{}")) == ["Q-1"]


async def test_it_asks_for_what_intake_reads() -> None:
    organization = Organization()
    await organization.source().read("{}")

    (statement,) = organization.statements
    for field in ("SystemModstamp", "Version__c", "SBQQ__RequiredBy__r.Name", "Tax_Code__c", "SBQQ__Status__c = 'Approved'"):
        assert field in statement


async def test_it_is_the_same_event_as_by_webhook() -> None:
    told = quote(1, LONG_AGO)
    webhook = json.dumps({"eventId": "7f", "eventType": "quote.approved", "eventTime": stamp(LONG_AGO), "sobject": told}).encode()

    (found,) = (await Organization(told).source().read("{}")).payloads

    assert SalesforceIntake().events(found.payload, {}) == SalesforceIntake().events(webhook, {})


async def test_amounts_stay_exact() -> None:
    text = json.dumps({"totalSize": 1, "done": True, "records": [quote(1, LONG_AGO)]}).replace("99.9", "99999999999999.0001")
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, text=text)), base_url="http://cpq/")

    (found,) = (await SalesforceChanges(Salesforce(HttpClient(http, system="salesforce"))).read("{}")).payloads

    assert b'"SBQQ__NetPrice__c":99999999999999.0001' in found.payload


async def test_each_cursor_stands_behind_its_quote() -> None:
    organization = Organization(*(quote(number, LONG_AGO + timedelta(seconds=number % 2)) for number in range(4)))
    page = await organization.source().read("{}")
    assert names(page) == ["Q-0", "Q-2", "Q-1", "Q-3"]

    for number, found in enumerate(page.payloads):
        assert names(await organization.source().read(found.cursor)) == names(page)[number + 1 :]
    assert page.cursor == page.payloads[-1].cursor


async def test_nothing_new_leaves_the_cursor_as_it_is() -> None:
    organization = Organization(quote(1, LONG_AGO))
    cursor = (await organization.source().read("{}")).cursor

    again = await organization.source().read(cursor)

    assert (again.payloads, again.cursor) == ([], cursor)


@pytest.mark.parametrize("now", [NOON, None])
async def test_what_a_slow_transaction_shows_late_is_not_passed_over(now: datetime | None) -> None:
    organization = Organization(quote(2, NOON), now=now)
    cursor = (await organization.source().read("{}")).cursor
    organization.quotes.append(quote(1, NOON - timedelta(seconds=9)))

    assert names(await organization.source().read(cursor)) == ["Q-1", "Q-2"]


async def test_the_cursor_never_goes_back() -> None:
    organization = Organization(quote(1, NOON - timedelta(seconds=1)))
    since = Cursor(since=NOON - timedelta(seconds=2)).model_dump_json()

    assert (await organization.source().read(since)).cursor == since


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=25), st.integers(1, 5), st.integers(-15, 30))
async def test_page_by_page_every_quote_comes(moments: list[int], page: int, seconds_later: int) -> None:
    quotes = [quote(number, NOON + timedelta(seconds=moment)) for number, moment in enumerate(moments)]
    organization = Organization(*quotes, now=NOON + timedelta(seconds=seconds_later), page=page)

    seen = [name async for found in pages(organization.source(), "{}") for name in names(found)]

    assert set(seen) == {each["Name"] for each in quotes}


async def test_the_lines_of_a_very_long_quote_have_pages_of_their_own() -> None:
    organization = Organization()
    further = {"totalSize": 2, "done": True, "records": [{**LINE, "Name": "2"}]}
    organization.further["/services/data/v61.0/query/lines"] = further
    some = {"totalSize": 2, "done": False, "records": [LINE], "nextRecordsUrl": "/services/data/v61.0/query/lines"}
    organization.quotes.append(quote(1, LONG_AGO, SBQQ__LineItems__r=some))

    (found,) = (await organization.source().read("{}")).payloads

    (incoming,) = SalesforceIntake().events(found.payload, {})
    assert [line.line_id for line in incoming.body.lines] == ["1", "2"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, [{"message": "No such column 'Version__c'", "errorCode": "INVALID_FIELD"}], VendorDrift),
        (403, [{"message": "no access", "errorCode": "INSUFFICIENT_ACCESS"}], BadCredential),
        (200, {"done": True, "rows": []}, VendorDrift),
        (200, {"done": True, "records": [{"Id": "a0q1"}]}, VendorDrift),
    ],
)
async def test_what_a_poller_can_be_told(status: int, body: Any, error: type[Exception]) -> None:
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(status, json=body)), base_url="http://cpq/")

    with pytest.raises(error):
        await SalesforceChanges(Salesforce(HttpClient(http, system="salesforce"))).read("{}")
