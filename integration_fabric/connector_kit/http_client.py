"""HTTP as connectors speak it: every failure is named by what it says about the call (guarantee G4)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx

from integration_fabric.connector_kit.http_connections import Connections
from integration_fabric.delivery.deadline import before_sending
from integration_fabric.delivery.withholding import before_writing
from integration_fabric.messages.errors import BadCredential, FabricError, Throttled, Transient, Unavailable, UnknownOutcome, VendorDrift

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""An answer is read whole into memory; none of the calls asks for more than a page."""
READS = frozenset({"GET", "HEAD"})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


HARMLESS = "fabric.harmless"
"""The extension of a request that says whether it changes nothing, where its method does not."""


async def _may_be_sent(request: httpx.Request) -> None:
    if not request.extensions.get(HARMLESS, request.method in READS):
        before_writing(request.method, request.url.path, int(request.headers.get("content-length", 0)))
    before_sending()


HOOKS: dict[str, list[Callable[..., Any]]] = {"request": [_may_be_sent]}
"""For every client of httpx that actions use: nothing is sent after the deadline of the intent, no write in a shadow; each is counted."""


class Answer:
    """A vendor's answer with a status below 500 that is neither 401 nor 429."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self._response = response

    @property
    def is_success(self) -> bool:
        """Whether the vendor did it."""
        return self._response.is_success

    @property
    def text(self) -> str:
        """The body, for people: at most 500 characters."""
        return self._response.text[:500]

    @property
    def content(self) -> bytes:
        """The body as it came, for those who read numbers exactly."""
        return self._response.content

    def json(self) -> Any:
        """The body. Raises VendorDrift where it is no JSON: it says nothing about what was done, and must not lead to another call."""
        try:
            return self._response.json()
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise VendorDrift(f"the answer ({self.status}) is no JSON: {self.text[:120]!r}") from error


class HttpClient:
    """One system's HTTP API."""

    def __init__(self, client: httpx.AsyncClient, *, system: str) -> None:
        """Take a client with base URL, credentials and timeouts set; the caller closes it."""
        self._client, self._system = client, system

    async def call(self, method: str, path: str, *, reads: bool | None = None, **request: Any) -> Answer:
        """Make one call.

        Args:
            method: HTTP method.
            path: Below the base URL.
            reads: Whether it changes nothing; by default what the method says.
            **request: As httpx takes it: params, json, data, headers.

        Raises:
            Unavailable: nothing was sent, or a read was not answered.
            UnknownOutcome: a write was sent and not answered, or answered with 5xx.
            Transient: a read was answered with 5xx.
            Throttled: 429, with what Retry-After says.
            BadCredential: 401.
            VendorDrift: an answer that cannot be unpacked, or is too large.
            Withheld: it would have changed something, in a shadow.
        """
        harmless = method.upper() in READS if reads is None else reads
        what = f"{self._system}: {method} {path}"
        try:
            response = await self._client.request(method, path, extensions={HARMLESS: harmless}, **request)
        except httpx.TransportError as error:
            raise failure_of_transport(error, what, harmless=harmless) from error
        except httpx.DecodingError as error:
            raise VendorDrift(f"{what}: the answer cannot be unpacked: {_reason(error)}") from error
        failure = failure_of_answer(response, what, harmless=harmless)
        if failure is not None:
            raise failure
        return Answer(response)


def failure_of_transport(error: httpx.TransportError, what: str, *, harmless: bool) -> FabricError:
    """What it says about a call that it was not answered.

    Args:
        error: As httpx raised it.
        what: The call, for people.
        harmless: Whether the call changes nothing.
    """
    # a read that nobody answered says nothing about the message: the system is away, and the lane waits for it
    failure = Unavailable if harmless or isinstance(error, _NEVER_SENT) else UnknownOutcome
    return failure(f"{what}: {_reason(error)}")


def failure_of_answer(response: httpx.Response, what: str, *, harmless: bool) -> FabricError | None:
    """What an answer says about its call; None where the vendor dealt with it (any other status below 500). Arguments as above."""
    status = response.status_code
    if len(response.content) > MAX_ANSWER_BYTES:
        return VendorDrift(f"{what}: the answer has {len(response.content)} bytes")
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Throttled(f"{what}: 429", retry_after=retry_after(response))
    if status == httpx.codes.UNAUTHORIZED:
        return BadCredential(f"{what}: 401 {response.text[:200]}")
    if status == httpx.codes.SERVICE_UNAVAILABLE and "retry-after" in response.headers:
        return Unavailable(f"{what}: 503, retry after {response.headers['retry-after']}")
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        failure = Transient if harmless else UnknownOutcome
        return failure(f"{what}: {status} {response.text[:200]}")
    return None


def retry_after(response: httpx.Response) -> timedelta | None:
    """What `Retry-After` says in seconds, at most a minute at a time; a date is passed over (RFC 9110, 10.2.3)."""
    text = response.headers.get("retry-after", "")
    return timedelta(seconds=min(float(text), 60.0)) if text.isascii() and text.isdigit() else None


@asynccontextmanager
async def http_client(
    *, system: str, base_url: str, headers: dict[str, str], answer_within: timedelta, connections: int = 32
) -> AsyncIterator[HttpClient]:
    """Open a client for one system and close it at the end."""
    bounds = httpx.Timeout(answer_within.total_seconds(), connect=min(3.0, answer_within.total_seconds()))
    async with httpx.AsyncClient(
        base_url=base_url, headers=headers, timeout=bounds, transport=Connections(connections), trust_env=False, event_hooks=HOOKS
    ) as client:
        yield HttpClient(client, system=system)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
