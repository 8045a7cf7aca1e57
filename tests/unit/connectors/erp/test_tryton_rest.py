"""What Tryton's REST interface says, and what is made of it. The answers are ones that a real Tryton 8.2 gave."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest

from connectors.erp.tryton.rest import Rest, TrytonBusy, TrytonRefused

Answer = Callable[[httpx.Request], httpx.Response]
HTML_ERROR = "<!doctype html>\n<html lang=en>\n<title>{status}</title>\n<h1>{status}</h1>\n<p>{text}</p>\n"


class Wire:
    """Answers every request with what the test says, and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[httpx.Response] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers.pop(0)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def rest(wire: Wire) -> AsyncIterator[Rest]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(wire)) as http:
        yield Rest(http, url="http://erp/db", key="secret")


def unpacked(packed: str) -> object:
    return json.loads(base64.urlsafe_b64decode(packed))


async def test_a_search_says_key_condition_order_and_fields(wire: Wire, rest: Rest) -> None:
    wire.answers.append(httpx.Response(200, json=[]))

    await rest.search("account.tax", [["write_date", ">=", datetime(2026, 1, 2, 3, 4, 5, 678, UTC)]], ["id", "name"], inactive=True)

    (request,) = wire.requests
    assert request.url.path == "/db/rest/model/account.tax"
    assert request.headers["Authorization"] == "bearer secret"
    assert unpacked(request.headers["X-Tryton-Context"]) == {"active_test": False}
    assert request.url.params.get_list("f") == ["id", "name"]
    assert unpacked(request.url.params["o"]) == [["id", "ASC"]]
    stamp = {"__class__": "datetime", "year": 2026, "month": 1, "day": 2, "hour": 3, "minute": 4, "second": 5, "microsecond": 678}
    assert unpacked(request.url.params["d"]) == [["write_date", ">=", stamp]]


async def test_field_types_come_as_ours(wire: Wire, rest: Rest) -> None:
    stamp = {"__class__": "datetime", "year": 2026, "month": 11, "day": 23, "hour": 3, "minute": 20, "second": 23, "microsecond": 104458}
    day = {"__class__": "date", "year": 2026, "month": 11, "day": 23}
    row = {"id": 1, "rate": {"__class__": "Decimal", "decimal": "0.25"}, "create_date": stamp, "sale_date": day, "party": {"id": 3}}
    wire.answers.append(httpx.Response(200, json=[row], headers={"Date": "Mon, 23 Nov 2026 03:21:30 GMT"}))

    page = await rest.search("account.tax", [], ["rate"])

    assert page.read_at == datetime(2026, 11, 23, 3, 21, 30, tzinfo=UTC)
    assert page.rows == (
        {
            "id": 1,
            "rate": Decimal("0.25"),
            "create_date": datetime(2026, 11, 23, 3, 20, 23, 104458, UTC),
            "sale_date": date(2026, 11, 23),
            "party": {"id": 3},
        },
    )


async def test_amounts_go_out_exact(wire: Wire, rest: Rest) -> None:
    wire.answers.append(httpx.Response(200, json={"id": 7}))

    await rest.create("account.tax", {"rate": Decimal("0.2500"), "start_date": date(2026, 1, 1)}, ["id"], company=2)

    (request,) = wire.requests
    assert unpacked(request.headers["X-Tryton-Context"]) == {"company": 2}
    assert json.loads(request.content) == {
        "rate": {"__class__": "Decimal", "decimal": "0.2500"},
        "start_date": {"__class__": "date", "year": 2026, "month": 1, "day": 1},
    }


async def test_a_search_goes_on_behind_the_last_id(wire: Wire, rest: Rest) -> None:
    wire.answers += [httpx.Response(200, json=[{"id": number} for number in range(500)]), httpx.Response(200, json=[{"id": 900}])]

    page = await rest.search("party.party", [["code", "=", "C"]], ["id"])

    assert len(page.rows) == 501
    assert [unpacked(request.url.params["d"]) for request in wire.requests] == [
        [["code", "=", "C"]],
        [["id", ">", 499], ["code", "=", "C"]],
    ]


async def test_a_refusal_carries_the_vendors_text(wire: Wire, rest: Rest) -> None:
    said = {"status": 400, "message": "The code on party must be unique.", "description": ""}
    wire.answers.append(httpx.Response(400, json=said))

    with pytest.raises(TrytonRefused) as refused:
        await rest.create("party.party", {}, ["id"])

    assert (refused.value.message, refused.value.status) == ("The code on party must be unique.", 400)


async def test_a_locked_fiscal_year_is_a_refusal(wire: Wire, rest: Rest) -> None:
    wire.answers.append(httpx.Response(400, json={"status": 400, "message": "The fiscal year is locked.", "description": "Open it."}))

    with pytest.raises(TrytonRefused, match=r"The fiscal year is locked\. Open it\."):
        await rest.press("sale.sale", 1, button="quote", fields=["id"])


@pytest.mark.parametrize(
    ("status", "text"),
    [(503, "database is locked"), (503, "deadlock detected"), (500, "could not serialize access due to concurrent update")],
)
async def test_a_collision_is_busy(wire: Wire, rest: Rest, status: int, text: str) -> None:
    wire.answers.append(httpx.Response(status, text=HTML_ERROR.format(status=status, text=text)))

    with pytest.raises(TrytonBusy) as busy:
        await rest.press("sale.sale", 1, button="quote", fields=["id"])

    assert (busy.value.message, busy.value.status) == (text, status)


async def test_a_collision_in_a_validation_error_is_busy(wire: Wire, rest: Rest) -> None:
    wire.answers.append(httpx.Response(400, json={"status": 400, "message": "database is locked", "description": ""}))

    with pytest.raises(TrytonBusy, match="database is locked"):
        await rest.create("party.party", {}, ["id"])


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503])
async def test_any_other_status_stays_what_httpx_makes_of_it(wire: Wire, rest: Rest, status: int) -> None:
    wire.answers.append(httpx.Response(status, text=HTML_ERROR.format(status=status, text="no")))

    with pytest.raises(httpx.HTTPStatusError) as failure:
        await rest.search("sale.sale", [], ["id"])

    assert failure.value.response.status_code == status


async def test_a_broken_connection_stays_what_httpx_makes_of_it() -> None:
    def torn(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("torn", request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(torn)) as http:
        with pytest.raises(httpx.ReadError):
            await Rest(http, url="http://erp/db", key="secret").create("party.party", {}, ["id"])


async def test_the_first_record_is_asked_for_in_an_order(wire: Wire, rest: Rest) -> None:
    wire.answers += [httpx.Response(200, json=[{"id": 3}]), httpx.Response(200, json=[])]

    assert await rest.first("account.invoice", [["id", ">", 1]], ["id"], order=[("invoice_date", "DESC")]) == {"id": 3}
    assert await rest.first("account.invoice", [], ["id"], order=[]) is None

    (request, _) = wire.requests
    assert (request.url.params["s"], unpacked(request.url.params["o"])) == ("1", [["invoice_date", "DESC"]])


async def test_many_codes_are_asked_for_in_several_searches(wire: Wire, rest: Rest) -> None:
    wire.answers += [httpx.Response(200, json=[{"id": 1}]), httpx.Response(200, json=[{"id": 2}])]

    rows = await rest.among("sale.sale", [f"SO-{number}" for number in range(201)], by="reference", fields=["id"], company=7)

    assert [row["id"] for row in rows] == [1, 2]
    assert all(unpacked(request.headers["X-Tryton-Context"]) == {"company": 7} for request in wire.requests)


async def test_a_question_is_answered_only_where_it_is_said(wire: Wire, rest: Rest) -> None:
    wire.answers += [httpx.Response(200, json={"id": 1}), httpx.Response(200, json={"id": 1})]

    await rest.press("account.invoice", 1, button="post", fields=["id"], company=2, unasked=True)
    await rest.press("account.invoice", 1, button="post", fields=["id"], company=2)

    assert [unpacked(request.headers["X-Tryton-Context"]) for request in wire.requests] == [
        {"company": 2, "_skip_warnings": True},
        {"company": 2},
    ]


async def test_deleting_what_is_gone_is_done_and_a_refusal_is_one(wire: Wire, rest: Rest) -> None:
    refusal = {"status": 400, "message": "You cannot modify invoice", "description": ""}
    wire.answers += [httpx.Response(204), httpx.Response(404), httpx.Response(400, json=refusal), httpx.Response(500)]

    await rest.delete("account.invoice", 1)
    await rest.delete("account.invoice", 1)
    with pytest.raises(TrytonRefused):
        await rest.delete("account.invoice", 1)
    with pytest.raises(httpx.HTTPStatusError):
        await rest.delete("account.invoice", 1)

    assert {request.method for request in wire.requests} == {"DELETE"}
