"""Salesforce CPQ's HTTP interface: queries, for the poller, and people's work on quotes, with which tests and the demo drive the CPQ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote as quoted

import httpx
from pydantic import Field, RootModel

from connectors.cpq.salesforce.records import NewQuote, Quote, Rows, Shape
from connectors.cpq.salesforce.translate import Json, exact_json, quote_fields
from integration_fabric.connector_kit.http_client import Answer, HttpClient, http_client
from integration_fabric.connector_kit.shapes import parse_json, shaped

_QUERY = "/services/data/v61.0/query"
_QUOTES = "/services/data/v61.0/sobjects/SBQQ__Quote__c"
_BATCH = {"Sforce-Query-Options": "batchSize=200"}
"""The least that Salesforce allows: a quote with fifty lines is 25 kB, and the answer to a read is held in memory."""


class SalesforceRefused(Exception):
    """Salesforce said no: nothing was done.

    Args:
        message: The vendor's text.
        code: The vendor's code, e.g. `DUPLICATE_VALUE`.
        status: The HTTP status.
    """

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(f"{message} ({code})")
        self.code, self.status = code, status


class Reason(Shape):
    """One reason for a refusal."""

    message: str
    code: str = Field(alias="errorCode")


class Reasons(RootModel[tuple[Reason, ...]]):
    """An answer that is no success."""


class Made(Shape):
    """The answer to a creation."""

    id: str


@dataclass(frozen=True, slots=True)
class QueryPage:
    """One answer to a query."""

    rows: Rows
    read_at: datetime | None
    """When, by Salesforce's clock; None where it did not say."""


@dataclass(frozen=True, slots=True)
class Salesforce:
    """One organization. Safe to share among the tasks of one event loop.

    Every method may raise what `HttpClient.call` raises, SalesforceRefused, and VendorDrift for an answer of another shape.
    """

    http: HttpClient

    async def create_quote(self, new: NewQuote) -> str:
        """Make a quote in draft. Returns Salesforce's own id of it. Raises SalesforceRefused where its name is taken."""
        answer = await self._write("POST", _QUOTES, quote_fields(new))
        return shaped(Made, answer.json()).id

    async def approve_quote(self, quote_id: str) -> None:
        """Approve a quote by its canonical id; its webhook follows. Raises SalesforceRefused where there is none."""
        await self._set_status(quote_id, "Approved")

    async def reopen_quote(self, quote_id: str) -> None:
        """Take a quote back into draft by its canonical id. Raises SalesforceRefused where there is none."""
        await self._set_status(quote_id, "Draft")

    async def find_quote(self, quote_id: str) -> Quote | None:
        """A quote by its canonical id."""
        try:
            return shaped(Quote, (await self._read(quote_id)).json())
        except SalesforceRefused as refused:
            if refused.status != httpx.codes.NOT_FOUND:
                raise
            return None

    async def query(self, statement: str) -> QueryPage:
        """The first page of what a SOQL statement finds; numbers are exact."""
        return _page(await self.http.call("GET", _QUERY, params={"q": statement}, headers=_BATCH))

    async def query_more(self, url: str) -> QueryPage:
        """A further page, by the `next` of the one before."""
        return _page(await self.http.call("GET", url, headers=_BATCH))

    async def _set_status(self, quote_id: str, status: str) -> None:
        quote = shaped(Quote, (await self._read(quote_id)).json())
        await self._write("PATCH", f"{_QUOTES}/{quote.id}", {"SBQQ__Status__c": status})

    async def _read(self, quote_id: str) -> Answer:
        return _dealt_with(await self.http.call("GET", f"{_QUOTES}/Name/{quoted(quote_id, safe='')}"))

    async def _write(self, method: str, path: str, body: Json) -> Answer:
        content = exact_json(body).encode()
        return _dealt_with(await self.http.call(method, path, content=content, headers={"Content-Type": "application/json"}))


@asynccontextmanager
async def open_salesforce(*, system: str, url: str, key: str, answer_within: timedelta = timedelta(seconds=8)) -> AsyncIterator[Salesforce]:
    """A client of one organization, closed at the end.

    Args:
        system: Its name in the fabric, for messages.
        url: Of the instance, without `/services`.
        key: An OAuth access token.
        answer_within: For one call.
    """
    async with http_client(system=system, base_url=url, headers={"Authorization": f"Bearer {key}"}, answer_within=answer_within) as http:
        yield Salesforce(http)


def _page(answer: Answer) -> QueryPage:
    said = _dealt_with(answer).headers.get("Date")
    return QueryPage(shaped(Rows, parse_json(answer.content)), parsedate_to_datetime(said).astimezone(UTC) if said else None)


def _dealt_with(answer: Answer) -> Answer:
    if answer.is_success:
        return answer
    reasons = shaped(Reasons, answer.json()).root
    message = "; ".join(reason.message for reason in reasons) or answer.text
    raise SalesforceRefused(message, code=reasons[0].code if reasons else "", status=answer.status)
