"""Tryton's REST interface as it is on the wire: addresses, the JSON of its field types, and its two ways to say no; `client.py` calls it.

Failures of the connection and every status without a meaning of its own stay httpx's exceptions: what to make of them is decided elsewhere.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

Row = dict[str, Any]
"""One record as it came: field name to value. Its shape is checked where a record is made of it."""
Domain = Sequence[Any]
"""Tryton's search condition, e.g. `[["code", "=", "P-1"]]`."""

# One page of a search. Records are small; a URL or an answer of some hundred kilobytes is the worst case.
PAGE_RECORDS = 500

# Codes in one search: the condition stands in the URL, which stays below 16 kB with the longest codes in use.
CODES_A_SEARCH = 200

# What Tryton's backends say when two transactions collided and nothing was done. Whole phrases: "locked" alone also names a state of a
# fiscal year, and that is a refusal.
_COLLISION = re.compile(
    r"database (table )?is locked|ConcurrencyException|deadlock detected|could not obtain lock|could not serialize access", re.IGNORECASE
)


class TrytonRefused(Exception):
    """Tryton said no: a value, a state or a right is not as it must be. Nothing was done; sending it again changes nothing.

    Args:
        message: The vendor's text.
        status: The HTTP status. 404 where there is no such record; 200 where Tryton took the call and left the record as it was.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(f"{message} (status {status})")
        self.message, self.status = message, status


class TrytonBusy(Exception):
    """Another transaction was in the way. Nothing was done; the same call may well succeed in a moment.

    Args:
        message: The vendor's text.
        status: The HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(f"{message} (status {status})")
        self.message, self.status = message, status


@dataclass(frozen=True, slots=True)
class Page:
    """Records in the order of their ids, and the server's clock when it read them, where it told."""

    rows: tuple[Row, ...]
    read_at: datetime | None


class Rest:
    """One database of one server. It holds no state: safe to share among tasks of one event loop.

    Args:
        http: Carries the calls; its timeouts and limits hold. It is the caller's to close.
        url: Address of the database, e.g. `http://127.0.0.1:8000/tryton`.
        key: Key of the user application.
    """

    def __init__(self, http: httpx.AsyncClient, *, url: str, key: str) -> None:
        self._http, self._models, self._key = http, f"{url}/rest/model", key

    async def search(
        self, model: str, domain: Domain, fields: Sequence[str], *, inactive: bool = False, company: int | None = None
    ) -> Page:
        """Every record that matches, read page by page.

        Args:
            model: e.g. `sale.sale`.
            domain: The condition.
            fields: What to read; a dotted name reads through a relation.
            inactive: Whether records that were taken out of use are found too.
            company: Whose values are read, of fields that have one for each company.

        Returns:
            The records, ordered by id, as of the first page's time.
        """
        context = {**({"active_test": False} if inactive else {}), **_of_company(company)}
        rows: list[Row] = []
        read_at: datetime | None = None
        while True:
            # By id, not by offset: records that come or go between two pages shift nothing.
            beyond = [["id", ">", rows[-1]["id"]]] if rows else []
            page = {"d": _packed([*beyond, *domain]), "o": _packed([["id", "ASC"]]), "s": str(PAGE_RECORDS), "f": list(fields)}
            response = await self._send("GET", model, params=page, context=context)
            found: list[Row] = _parsed(response)
            read_at = read_at or _date_of(response)
            rows.extend(found)
            if len(found) < PAGE_RECORDS:
                return Page(tuple(rows), read_at)

    async def first(self, model: str, domain: Domain, fields: Sequence[str], *, order: Sequence[tuple[str, str]]) -> Row | None:
        """The first record that matches, in an order such as `[("date", "DESC")]`."""
        page = {"d": _packed(list(domain)), "o": _packed([list(by) for by in order]), "s": "1", "f": list(fields)}
        found: list[Row] = _parsed(await self._send("GET", model, params=page, context={}))
        return found[0] if found else None

    async def among(
        self, model: str, codes: Iterable[str | int], *, by: str, fields: Sequence[str], further: Domain = (), company: int | None = None
    ) -> list[Row]:
        """Every record in use that has one of the codes in the field `by`, and meets the further conditions."""
        wanted = sorted(set(codes), key=str)
        rows: list[Row] = []
        for start in range(0, len(wanted), CODES_A_SEARCH):
            domain = [[by, "in", wanted[start : start + CODES_A_SEARCH]], *further]
            rows.extend((await self.search(model, domain, fields, company=company)).rows)
        return rows

    async def create(self, model: str, values: Mapping[str, Any], fields: Sequence[str], *, company: int | None = None) -> Row:
        """Create one record and read it. Tryton fills in its defaults, but runs none of its forms' rules.

        Returns:
            The fields asked for.

        Raises:
            TrytonRefused: A value is missing or wrong.
            TrytonBusy: A transaction was in the way.
            httpx.HTTPError: Anything else.
        """
        return _row(await self._send("POST", model, params={"f": list(fields)}, context=_of_company(company), body=values))

    async def update(self, model: str, record: int, values: Mapping[str, Any], fields: Sequence[str]) -> Row:
        """Change one record and read it. Raises as `create`."""
        return _row(await self._send("PUT", f"{model}/{record}", params={"f": list(fields)}, context={}, body=values))

    async def delete(self, model: str, record: int) -> None:
        """Delete one record; nothing where it is gone already. Raises as `create`."""
        try:
            await self._send("DELETE", f"{model}/{record}", params={}, context={})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise

    async def press(
        self, model: str, record: int, *, button: str, fields: Sequence[str], company: int | None = None, unasked: bool = False
    ) -> Row:
        """Press a button of one record and read the record.

        Args:
            model: Of which model.
            record: Its id.
            button: The button's name.
            fields: What to read afterwards.
            company: Whose books it is about.
            unasked: Whether to answer Tryton's questions ("do you want to proceed?") with yes; without it they are refusals.

        Returns:
            The fields asked for, as they are after it.

        Raises:
            TrytonRefused: The button is not to be pressed in this state.
            TrytonBusy: A transaction was in the way.
            httpx.HTTPError: Anything else.
        """
        context = {**_of_company(company), **({"_skip_warnings": True} if unasked else {})}
        return _row(await self._send("POST", f"{model}/{record}/{button}", params={"f": list(fields)}, context=context))

    async def _send(
        self, method: str, path: str, *, params: Mapping[str, Any], context: Mapping[str, Any], body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        headers = {"Authorization": f"bearer {self._key}", "Accept": "application/json"}
        if context:
            headers["X-Tryton-Context"] = _packed(context)
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body, default=_wire_value).encode()
        response = await self._http.request(method, f"{self._models}/{path}", params=params, headers=headers, content=content)
        _check(response)
        return response


def _of_company(company: int | None) -> dict[str, int]:
    return {"company": company} if company else {}


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    message = _message(response)
    if _COLLISION.search(message):
        raise TrytonBusy(message, response.status_code)
    if response.status_code == httpx.codes.BAD_REQUEST:
        raise TrytonRefused(message, response.status_code)
    response.raise_for_status()


def _message(response: httpx.Response) -> str:
    """The vendor's text: `message` and `description` of a JSON answer, the paragraph of an HTML one."""
    try:
        said = response.json()
        return " ".join(part for part in (said["message"], said.get("description")) if part)
    except (ValueError, KeyError, TypeError, AttributeError):
        paragraph = re.search(r"<p>(.*?)</p>", response.text, re.DOTALL)
        return paragraph.group(1) if paragraph else response.text


def _packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, default=_wire_value).encode()).decode()


def _parsed(response: httpx.Response) -> Any:
    return json.loads(response.content, object_hook=_own_value, parse_float=Decimal)


def _row(response: httpx.Response) -> Row:
    row: Row = _parsed(response)
    return row


def _date_of(response: httpx.Response) -> datetime | None:
    said = response.headers.get("Date")
    return parsedate_to_datetime(said).astimezone(UTC) if said else None


def _wire_value(value: object) -> object:
    """What JSON has no type for, as Tryton writes it. Times go as UTC, which is what its server keeps."""
    match value:
        case Decimal():
            return {"__class__": "Decimal", "decimal": str(value)}
        case datetime():
            utc = value.astimezone(UTC)
            parts = {name: getattr(utc, name) for name in ("year", "month", "day", "hour", "minute", "second", "microsecond")}
            return {"__class__": "datetime", **parts}
        case date():
            return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
        case _:
            raise TypeError(f"Tryton has no JSON for {type(value).__name__}")


def _own_value(fields: Row) -> object:
    match fields.pop("__class__", None):
        case "Decimal":
            return Decimal(fields["decimal"])
        case "datetime":
            return datetime(**fields, tzinfo=UTC)
        case "date":
            return date(**fields)
        case _:
            return fields
