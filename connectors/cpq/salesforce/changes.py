"""Which quotes were approved in Salesforce, as a poller asks for it: a webhook that was lost is never sent again, and is caught up here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from connectors.cpq.salesforce.client import QueryPage, Salesforce, SalesforceRefused
from connectors.cpq.salesforce.records import ApprovedQuote, Changed, Line, Rows
from connectors.cpq.salesforce.translate import exact_json
from integration_fabric.connector_kit.polling import Found, Page, Source
from integration_fabric.connector_kit.shapes import shaped
from integration_fabric.messages.errors import BadCredential, VendorDrift

_LINES = "SBQQ__LineItems__r"
_LINE_FIELDS = [f"{field.alias}.Name" if name == "required_by" else str(field.alias) for name, field in Line.model_fields.items()]
_FIELDS = [
    *("Id", "SystemModstamp"),
    *(str(field.alias) for name, field in ApprovedQuote.model_fields.items() if name != "lines"),
    f"(SELECT {', '.join(_LINE_FIELDS)} FROM {_LINES} ORDER BY SBQQ__Number__c)",  # noqa: S608  names of ours
]
_APPROVED = "FROM SBQQ__Quote__c WHERE SBQQ__Status__c = 'Approved'"
_NEWEST = f"SELECT Id, SystemModstamp {_APPROVED} ORDER BY SystemModstamp DESC, Id DESC LIMIT 1"
_ALL = f"SELECT {', '.join(_FIELDS)} {_APPROVED}"
_IN_ORDER = "ORDER BY SystemModstamp, Id"
_FORBIDDEN = 403
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class Cursor(BaseModel):
    """How far the approved quotes were read, by the time of their last change and then by id. An empty one is the beginning of all."""

    model_config = ConfigDict(frozen=True)

    since: AwareDatetime = _EARLIEST
    after: str = ""
    """Of those that changed at that moment, the ones up to this id were read."""

    @property
    def place(self) -> tuple[datetime, str]:
        """What sorts."""
        return self.since, self.after


@dataclass(frozen=True, slots=True)
class SalesforceChanges(Source):
    """Approved quotes as they are now, in the shape of a webhook: one that was told by webhook too has the same event id.

    The first look finds none and begins behind what is approved by then: the past is not made into orders. For that let the cursor be `{}`.
    One that is changed after its approval comes once more, in its new version.

    Args:
        client: Of the organization.
        overlap: How far behind Salesforce's clock the next look begins; longer than the longest transaction, for a change bears the time
            when it was made and is seen when its transaction ends.
    """

    client: Salesforce
    overlap: timedelta = timedelta(seconds=10)

    async def read(self, cursor: str | None) -> Page:
        """The approved quotes that changed since the cursor, the oldest first. Raises FabricError."""
        try:
            if cursor is None:
                return Page((), (await self._newest()).model_dump_json())
            return await self._since(cursor)
        except SalesforceRefused as refused:
            if refused.status == _FORBIDDEN:
                raise BadCredential(f"salesforce: query: {refused}") from refused
            raise VendorDrift(f"the query was refused: {refused}") from refused

    async def _newest(self) -> Cursor:
        rows = (await self.client.query(_NEWEST)).rows.records
        return _place_of(rows[0]) if rows else Cursor()

    async def _since(self, cursor: str) -> Page:
        start = read_cursor(cursor)
        page = await self.client.query(f"{_ALL} AND SystemModstamp >= {_literal(start.since)} {_IN_ORDER}")
        horizon = self._horizon(page)
        rows = _fresh(page, start)
        # Looking again must begin further on, or it would find the same: not where all changed at one moment, or only just now.
        while page.rows.next and not (rows and _place_of(rows[-1]).since < horizon):
            page = await self.client.query_more(page.rows.next)
            rows += _fresh(page, start)
        places = _reached(rows, start, horizon)
        found = [Found(await self._payload(row), place.model_dump_json()) for row, place in zip(rows, places, strict=True)]
        return Page((), found[-1].cursor if found else cursor, more=page.rows.next is not None, payloads=found)

    def _horizon(self, page: QueryPage) -> datetime:
        newest = max((_place_of(row).since for row in page.rows.records), default=_EARLIEST)
        return (page.read_at or newest) - self.overlap

    async def _payload(self, row: dict[str, Any]) -> bytes:
        lines = [line async for line in self._lines(shaped(Rows, row[_LINES]))] if row.get(_LINES) else []
        return exact_json({"eventType": "quote.approved", "sobject": {**row, _LINES: {"records": lines}}}).encode()

    async def _lines(self, rows: Rows) -> AsyncIterator[dict[str, Any]]:
        """A quote with very many lines has them on pages of their own."""
        for line in rows.records:
            yield line
        while rows.next:
            rows = (await self.client.query_more(rows.next)).rows
            for line in rows.records:
                yield line


def read_cursor(text: str) -> Cursor:
    """The cursor that was saved. One that cannot be read is as the beginning: what is published again has the same ids."""
    try:
        return Cursor.model_validate_json(text)
    except ValidationError:
        return Cursor()


def _fresh(page: QueryPage, start: Cursor) -> list[dict[str, Any]]:
    return [row for row in page.rows.records if _place_of(row).place > start.place]


def _reached(rows: Sequence[dict[str, Any]], start: Cursor, horizon: datetime) -> Sequence[Cursor]:
    """Where a look begins after each row: behind it, but never so late that one could be missed which is not to be seen yet."""
    latest, reached = Cursor(since=horizon), []
    for row in rows:
        start = max(start, min(_place_of(row), latest, key=_place), key=_place)
        reached.append(start)
    return reached


def _place(cursor: Cursor) -> tuple[datetime, str]:
    return cursor.place


def _place_of(row: dict[str, Any]) -> Cursor:
    changed = shaped(Changed, row)
    return Cursor(since=changed.at, after=changed.id)


def _literal(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
