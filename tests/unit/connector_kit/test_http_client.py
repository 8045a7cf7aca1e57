"""Every way in which an HTTP call can end, named by what it says about the call (guarantee G4)."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from http_server import HANG, HANG_UP, Vendor, answer, serving

from integration_fabric.connector_kit import http_client as client_module
from integration_fabric.connector_kit.http_client import HttpClient, http_client
from integration_fabric.delivery.withholding import Withheld, withholding_writes
from integration_fabric.messages.errors import BadCredential, FabricError, Throttled, Transient, Unavailable, UnknownOutcome, VendorDrift

WITHIN = timedelta(seconds=0.5)


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    """Listens."""
    async with serving() as vendor:
        yield vendor


@pytest.fixture
async def client(vendor: Vendor) -> AsyncIterator[HttpClient]:
    """Of that vendor."""
    async with http_client(system="stripe", base_url=vendor.url, headers={"authorization": "Bearer key"}, answer_within=WITHIN) as client:
        yield client


async def failure(client: HttpClient, method: str, **more: bool) -> FabricError:
    with pytest.raises(FabricError) as raised:
        await client.call(method, "/v1/things", json={"a": 1} if method == "POST" else None, **more)
    return raised.value


# -- nothing was answered


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_where_nothing_listens_nothing_was_sent(method: str) -> None:
    async with serving() as gone:
        url = gone.url
    async with http_client(system="stripe", base_url=url, headers={}, answer_within=WITHIN) as client:
        error = await failure(client, method)
    assert type(error) is Unavailable
    assert str(error).startswith(f"stripe: {method} /v1/things: ConnectError")


@pytest.mark.parametrize("ending", [HANG, HANG_UP, b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut"])
async def test_a_write_that_was_sent_and_not_answered_is_unknown(vendor: Vendor, client: HttpClient, ending: bytes) -> None:
    vendor.answers = [ending]
    assert type(await failure(client, "POST")) is UnknownOutcome
    assert vendor.requests == [("POST", "/v1/things", b'{"a":1}')], "sent once"


@pytest.mark.parametrize("ending", [HANG, HANG_UP])
async def test_a_read_that_was_not_answered_says_nothing_about_the_message(vendor: Vendor, client: HttpClient, ending: bytes) -> None:
    vendor.answers = [ending]
    assert type(await failure(client, "GET")) is Unavailable


async def test_a_write_that_changes_nothing_may_be_said_to_be_a_read(vendor: Vendor, client: HttpClient) -> None:
    """A search by POST; and a GET that does something."""
    vendor.answers = [HANG_UP, HANG_UP]
    assert type(await failure(client, "POST", reads=True)) is Unavailable
    assert type(await failure(client, "GET", reads=False)) is UnknownOutcome


async def test_in_a_shadow_no_write_is_sent_and_reads_are(vendor: Vendor, client: HttpClient) -> None:
    vendor.answers = [answer("200 OK"), answer("200 OK"), answer("200 OK")]
    with withholding_writes():
        for method, reads in (("POST", None), ("PUT", False), ("GET", False)):
            with pytest.raises(Withheld, match=f"{method} /v1/things") as raised:
                await client.call(method, "/v1/things?key=secret", reads=reads, content=b"12345")
            assert raised.value.size_bytes == 5
        assert vendor.requests == []
        await client.call("GET", "/v1/things")
        await client.call("POST", "/v1/search", reads=True)
    await client.call("POST", "/v1/things")
    assert [(method, path) for method, path, _ in vendor.requests] == [
        ("GET", "/v1/things"),
        ("POST", "/v1/search"),
        ("POST", "/v1/things"),
    ]


async def test_a_connection_that_the_system_closed_meanwhile_leaves_a_write_unknown(vendor: Vendor, client: HttpClient) -> None:
    """It was kept open after an answer; whether the request got through before the end nobody can say."""
    vendor.answers = [answer("200 OK"), HANG_UP]
    await client.call("POST", "/v1/first")
    assert type(await failure(client, "POST")) is UnknownOutcome


# -- answers


@pytest.mark.parametrize(
    ("status", "verdicts"),
    [
        ("500 Internal Server Error", (Transient, UnknownOutcome)),
        ("502 Bad Gateway", (Transient, UnknownOutcome)),
        ("503 Service Unavailable", (Transient, UnknownOutcome)),
        ("504 Gateway Timeout", (Transient, UnknownOutcome)),
        ("429 Too Many Requests", (Throttled, Throttled)),
        ("401 Unauthorized", (BadCredential, BadCredential)),
    ],
)
async def test_what_a_status_says_of_a_read_and_of_a_write(
    vendor: Vendor, client: HttpClient, status: str, verdicts: tuple[type[FabricError], type[FabricError]]
) -> None:
    vendor.answers = [answer(status), answer(status)]
    assert (type(await failure(client, "GET")), type(await failure(client, "POST"))) == verdicts


async def test_a_system_in_maintenance_that_says_when_to_come_back_did_nothing(vendor: Vendor, client: HttpClient) -> None:
    vendor.answers = [answer("503 Service Unavailable", retry_after="120")]
    assert type(await failure(client, "POST")) is Unavailable


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("7", timedelta(seconds=7)),
        ("86400", timedelta(minutes=1)),
        ("9" * 400, timedelta(minutes=1)),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
        ("\xb2", None),
        ("", None),
    ],
)
async def test_how_long_to_wait_is_taken_from_the_answer(
    vendor: Vendor, client: HttpClient, said: str, understood: timedelta | None
) -> None:
    vendor.answers = [answer("429 Too Many Requests", retry_after=said)]
    error = await failure(client, "POST")
    assert isinstance(error, Throttled)
    assert error.retry_after == understood


@pytest.mark.parametrize(
    "status", ["200 OK", "201 Created", "400 Bad Request", "404 Not Found", "409 Conflict", "422 Unprocessable Content"]
)
async def test_what_the_system_dealt_with_is_for_the_connector_to_read(vendor: Vendor, client: HttpClient, status: str) -> None:
    vendor.answers = [answer(status, b'{"id": "sub_1"}', x_request_id="r-1")]
    found = await client.call("POST", "/v1/things")
    assert found.status == int(status[:3])
    assert found.is_success == status.startswith("2")
    assert found.json() == {"id": "sub_1"}
    assert found.headers["x-request-id"] == "r-1"


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"", b"\xff\xfe", b'{"cut": '])
async def test_an_answer_that_is_no_json_must_not_lead_to_another_call(vendor: Vendor, client: HttpClient, body: bytes) -> None:
    vendor.answers = [answer("200 OK", body)]
    found = await client.call("POST", "/v1/things")
    with pytest.raises(VendorDrift, match="no JSON"):
        found.json()


async def test_an_answer_too_large_to_be_one_is_refused(vendor: Vendor, client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 1000)
    vendor.answers = [answer("200 OK", b"x" * 1001)]
    assert type(await failure(client, "GET")) is VendorDrift


async def test_an_answer_that_cannot_be_unpacked_says_nothing_about_what_was_done(vendor: Vendor, client: HttpClient) -> None:
    packed = gzip.compress(b'{"id": 1}')
    vendor.answers = [answer("200 OK", b"no gzip", content_encoding="gzip"), answer("200 OK", packed, content_encoding="gzip")]
    assert type(await failure(client, "POST")) is VendorDrift
    assert (await client.call("GET", "/v1/things")).json() == {"id": 1}


async def test_a_redirect_is_not_followed(vendor: Vendor, client: HttpClient) -> None:
    """A credential must not go where an answer says."""
    vendor.answers = [answer("302 Found", location="http://127.0.0.1:1/elsewhere")]
    assert (await client.call("GET", "/v1/things")).status == 302
    assert len(vendor.requests) == 1
