"""Stripe's own SDK over the fabric's HTTP; the clients of Stripe and of localstripe make their calls through it.

Nothing is sent after the deadline of the intent, nothing is tried again behind anybody's back, and every failure is named by what it says
about the call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

import httpx
import stripe

from connectors.billing.stripe.records import Identified, Shape
from connectors.billing.stripe.refusals import Error, ErrorAnswer, failure
from integration_fabric.connector_kit.http_client import HOOKS, READS, failure_of_answer, failure_of_transport
from integration_fabric.connector_kit.http_connections import Connections
from integration_fabric.connector_kit.shapes import parse_json, shaped
from integration_fabric.messages.errors import VendorDrift

API_VERSION = "2024-06-20"
"""Pinned: what events and answers look like, whatever the account or the SDK prefer."""
CONNECTIONS = 32
CONNECT_WITHIN_S = 3.0

# The SDK would write an id to the user's home folder, and tell Stripe how long its calls take.
stripe.enable_telemetry = False

ShapeT = TypeVar("ShapeT", bound=Shape)
RecordT = TypeVar("RecordT", bound=Identified)


class Listed(Shape, Generic[RecordT]):
    """One page."""

    data: tuple[RecordT, ...]
    has_more: bool


def never(_: object) -> bool:
    """Every record of a list is of interest."""
    return False


class OverHttpx(stripe.HTTPClient):
    """How the SDK reaches the network: by a client of httpx, which its owner closes."""

    name = "httpx"

    def __init__(self, http: httpx.AsyncClient, *, system: str) -> None:
        super().__init__()
        self._http, self._system = http, system

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Make one call. Raises what `HttpClient.call` raises."""
        harmless = method.upper() in READS
        what = f"{self._system}: {method.upper()} {httpx.URL(url).path}"
        try:
            response = await self._http.request(method, url, headers=dict(headers), content=post_data)
        except httpx.TransportError as error:
            raise failure_of_transport(error, what, harmless=harmless) from error
        except httpx.DecodingError as error:
            raise VendorDrift(f"{what}: the answer cannot be unpacked: {error}") from error
        problem = failure_of_answer(response, what, harmless=harmless)
        if problem is not None:
            raise problem
        return response.content, response.status_code, response.headers

    async def close_async(self) -> None:
        """Nothing: whoever opened the client closes it."""


@dataclass(frozen=True, slots=True)
class Api:
    """One account. Safe to share among the tasks of one event loop."""

    sdk: stripe.StripeClient = field(repr=False)
    named: Callable[[int, Error], Exception] = failure
    """What an error with its status means."""

    @property
    def v1(self) -> stripe.V1Services:
        """The SDK's calls; each goes through `answer` or `pages`."""
        return self.sdk.v1

    async def answer(self, call: Awaitable[object], shape: type[ShapeT]) -> ShapeT:
        """What a call of the SDK was answered.

        Raises:
            StripeRefused: Stripe said no.
            FabricError: as `refusals.failure` and `HttpClient.call` name it; VendorDrift for an answer of another shape.
        """
        try:
            found = await call
        except stripe.StripeError as error:
            body = error.http_body if isinstance(error.http_body, str) else ""
            raise self.named(error.http_status or 0, shaped(ErrorAnswer, parse_json(body.encode())).error) from error
        except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError) as error:
            raise VendorDrift(f"Stripe's SDK cannot read the answer: {type(error).__name__} {error}") from error
        response = getattr(found, "last_response", None)
        if response is None:
            raise VendorDrift("the answer is no object")
        return shaped(shape, parse_json(response.body.encode()))

    async def pages(
        self,
        page_after: Callable[[str | None], Awaitable[object]],
        shape: type[Listed[RecordT]],
        *,
        until: Callable[[RecordT], bool] = never,
    ) -> list[RecordT]:
        """All records of a list, in its order.

        Args:
            page_after: Asks for the page after an id, and for the first one after None.
            shape: Of a page.
            until: Whether a record is the last one of interest.
        """
        found: list[RecordT] = []
        after: str | None = None
        while True:
            page = await self.answer(page_after(after), shape)
            found += page.data
            if not page.has_more or not page.data or until(page.data[-1]):
                return found
            after = page.data[-1].id


def api_over(http: httpx.AsyncClient, *, system: str, url: str, key: str) -> Api:
    """The account that a key opens, over a client of httpx that has the fabric's hooks."""
    return Api(
        stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": url},
            max_network_retries=0,
            http_client=OverHttpx(http, system=system),
        )
    )


@asynccontextmanager
async def open_api(*, system: str, url: str, key: str, answer_within: timedelta) -> AsyncIterator[Api]:
    """Open an account and close its connections at the end.

    Args:
        system: Its name in the fabric, for messages.
        url: Without `/v1`, e.g. `https://api.stripe.com`.
        key: The secret key.
        answer_within: For one call.
    """
    within_s = answer_within.total_seconds()
    bounds = httpx.Timeout(within_s, connect=min(CONNECT_WITHIN_S, within_s))
    async with httpx.AsyncClient(timeout=bounds, transport=Connections(CONNECTIONS), trust_env=False, event_hooks=HOOKS) as http:
        yield api_over(http, system=system, url=url, key=key)
