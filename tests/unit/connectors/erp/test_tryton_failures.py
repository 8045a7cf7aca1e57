"""What Tryton's failures say about a call."""

from __future__ import annotations

import httpx
import pytest

from connectors.erp.tryton.failures import judged
from connectors.erp.tryton.records import Sale
from connectors.erp.tryton.rest import TrytonBusy, TrytonRefused
from integration_fabric.messages.errors import BadCredential, FabricError, Throttled, Transient, Unavailable, UnknownOutcome, VendorDrift

READ = httpx.Request("GET", "http://erp/db/rest/model/sale.sale")
WRITE = httpx.Request("POST", "http://erp/db/rest/model/sale.sale")


async def fails(error: Exception) -> None:
    raise error


def status(code: int, request: httpx.Request, **headers: str) -> httpx.HTTPStatusError:
    response = httpx.Response(code, request=request, headers=headers, text="words")
    return httpx.HTTPStatusError("status", request=request, response=response)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TrytonBusy("database is locked", 400), Transient),
        (httpx.ConnectError("refused", request=WRITE), Unavailable),
        (httpx.ConnectTimeout("late", request=WRITE), Unavailable),
        (httpx.ReadTimeout("late", request=WRITE), UnknownOutcome),
        (httpx.ReadError("reset", request=WRITE), UnknownOutcome),
        (httpx.ReadTimeout("late", request=READ), Unavailable),
        (httpx.ReadError("reset", request=READ), Unavailable),
        (status(500, WRITE), UnknownOutcome),
        (status(502, READ), Transient),
        (status(401, WRITE), BadCredential),
        (status(403, WRITE), BadCredential),
        (status(429, READ), Throttled),
        (status(404, READ), VendorDrift),
        (ValueError("no JSON"), VendorDrift),
        (KeyError("party"), VendorDrift),
    ],
)
async def test_every_failure_has_a_name(error: Exception, kind: type[FabricError]) -> None:
    with pytest.raises(FabricError) as failure:
        await judged(fails(error))

    assert type(failure.value) is kind
    assert failure.value.__cause__ is error
    assert "\n" not in str(failure.value)


async def test_a_read_is_harmless_whatever_was_written_before() -> None:
    with pytest.raises(Unavailable, match=r"GET erp/db/rest/model/sale\.sale"):
        await judged(fails(httpx.ReadTimeout("late", request=READ)))


async def test_a_refusal_is_for_the_action_to_answer() -> None:
    with pytest.raises(TrytonRefused):
        await judged(fails(TrytonRefused("no", 400)))


async def test_a_record_of_another_shape_is_drift() -> None:
    async def call() -> Sale:
        return Sale.of({"id": 1, "state": "shipped"})

    with pytest.raises(VendorDrift):
        await judged(call())


async def test_what_a_call_returns_is_returned() -> None:
    async def call() -> int:
        return 7

    assert await judged(call()) == 7
