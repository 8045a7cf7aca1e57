"""Where polling goes on: no change may be missed, whenever its transaction ends."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import httpx

from connectors.erp.tryton.client import Tryton

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def http_date(at: datetime) -> str:
    return at.strftime("%a, %d %b %Y %H:%M:%S GMT")


def tax(number: int, changed_at: datetime) -> dict[str, object]:
    stamp = {part: getattr(changed_at, part) for part in ("year", "month", "day", "hour", "minute", "second", "microsecond")}
    return {
        "id": number,
        "name": f"T{number}",
        "description": "VAT",
        "rate": {"__class__": "Decimal", "decimal": "0.25"},
        "company": 1,
        "active": True,
        "create_date": {"__class__": "datetime", **stamp},
        "write_date": None,
    }


class Server:
    """Answers with these taxes, at this time of its clock."""

    def __init__(self, *taxes: dict[str, object], now: datetime | None) -> None:
        self.taxes, self.now = taxes, now
        self.domains: list[object] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.domains.append(json.loads(base64.urlsafe_b64decode(request.url.params["d"])))
        return httpx.Response(200, json=list(self.taxes), headers={"Date": http_date(self.now)} if self.now else {})

    def client(self) -> Tryton:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return Tryton(http, base_url="http://erp/", database="db", key="k", poll_overlap=timedelta(seconds=10))


async def test_the_first_poll_asks_for_everything() -> None:
    server = Server(now=NOON)

    changes = await server.client().changed_taxes(None)

    assert server.domains == [[]]
    assert (changes.records, changes.cursor) == ((), None)


async def test_a_poll_asks_for_what_was_created_or_written_since() -> None:
    server = Server(now=NOON)

    changes = await server.client().changed_taxes(NOON)

    (domain,) = server.domains
    ((operator, *conditions),) = domain  # type: ignore[misc]
    assert operator == "OR"
    assert [(field, comparison) for field, comparison, _ in conditions] == [("create_date", ">="), ("write_date", ">=")]
    assert changes.cursor == NOON


async def test_changes_come_in_the_order_of_their_time() -> None:
    server = Server(tax(1, NOON), tax(2, NOON - timedelta(seconds=5)), tax(3, NOON - timedelta(seconds=5)), now=NOON)

    changes = await server.client().changed_taxes(None)

    assert [record.id for record in changes.records] == [2, 3, 1]


async def test_the_cursor_stays_behind_the_clock_while_older_changes_may_still_be_in_flight() -> None:
    server = Server(tax(1, NOON - timedelta(seconds=1)), now=NOON)

    assert (await server.client().changed_taxes(None)).cursor == NOON - timedelta(seconds=10)


async def test_the_cursor_stands_at_the_newest_change_once_it_is_old() -> None:
    newest = NOON - timedelta(minutes=1)
    server = Server(tax(1, newest), now=NOON)

    assert (await server.client().changed_taxes(None)).cursor == newest


async def test_without_a_clock_the_newest_change_serves() -> None:
    server = Server(tax(1, NOON), now=None)

    assert (await server.client().changed_taxes(None)).cursor == NOON - timedelta(seconds=10)


async def test_the_cursor_never_goes_back() -> None:
    since = NOON - timedelta(seconds=2)
    server = Server(tax(1, NOON - timedelta(seconds=1)), now=NOON)

    assert (await server.client().changed_taxes(since)).cursor == since
