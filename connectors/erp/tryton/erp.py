"""Tryton as the ERP role needs it: orders and master data, which products are not for sale, and the books."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta

import httpx

from connectors.erp.tryton.book_records import Account, Period
from connectors.erp.tryton.client import Tryton
from connectors.erp.tryton.dunnings import Dunnings
from connectors.erp.tryton.invoices import Invoices
from connectors.erp.tryton.payments import Payments
from connectors.erp.tryton.periods import PERIOD, Periods
from connectors.erp.tryton.records import Changes
from connectors.erp.tryton.rest import Row, TrytonRefused
from integration_fabric.connector_kit.http_client import HOOKS
from integration_fabric.connector_kit.http_connections import Connections

CONNECTIONS = 32
_ACCOUNT = ("code", "name", "company", "closed", "create_date", "write_date")


class TrytonErp(Tryton):
    """One database of one Tryton server, as the actions, the reader and the poller use it. Raises as every method of `Tryton`."""

    def __init__(
        self, http: httpx.AsyncClient, *, base_url: str, database: str, key: str, poll_overlap: timedelta = timedelta(seconds=10)
    ) -> None:
        """As `Tryton`, and with it `invoices`, `payments` (what billing collected), `dunnings` (what people must see to) and `periods`."""
        super().__init__(http, base_url=base_url, database=database, key=key, poll_overlap=poll_overlap)
        self.invoices = Invoices(self._rest)
        self.payments = Payments(self._rest)
        self.dunnings = Dunnings(self._rest)
        self.periods = Periods(self._rest)

    async def find_unsalable(self, codes: Iterable[str]) -> Collection[str]:
        """Which of the products in use with these codes are not for sale."""
        rows = await self._rest.among("product.product", codes, by="code", fields=["code"], further=[["salable", "=", False]])
        return {row["code"] for row in rows}

    async def close_period(self, legal_entity: str, day: date) -> Period:
        """Close the period that a date falls into; nothing where it is closed. Raises TrytonRefused, also where there is none (404)."""
        return await self._turned(legal_entity, day, "close", is_open=False)

    async def open_period(self, legal_entity: str, day: date) -> Period:
        """Reopen the period that a date falls into, and the journals that were closed with it. Raises as `close_period`."""
        period = await self._turned(legal_entity, day, "reopen", is_open=True)
        await self.periods.reopen_journals(period)
        return period

    async def changed_periods(self, since: datetime | None) -> Changes[Period]:
        """As `changed_taxes`, for accounting periods; one has changed, too, where a journal was closed or reopened for it."""
        page = await self._changed("account.period", since, PERIOD)
        journals: dict[int, list[Row]] = {}
        for row in (await self._changed("account.journal.period", since, ("period", "create_date", "write_date"))).rows:
            journals.setdefault(row["period"], []).append(row)
        others = await self._rest.among("account.period", journals.keys() - {row["id"] for row in page.rows}, by="id", fields=PERIOD)
        rows = [{**row, "journals": journals.get(row["id"], [])} for row in (*page.rows, *others)]
        return self._changes([Period.of(row) for row in rows], page, since)

    async def changed_accounts(self, since: datetime | None) -> Changes[Account]:
        """As `changed_taxes`, for accounts."""
        page = await self._changed("account.account", since, _ACCOUNT)
        return self._changes([Account.of(row) for row in page.rows], page, since)

    async def _turned(self, legal_entity: str, day: date, button: str, *, is_open: bool) -> Period:
        company = (await self.companies()).get(legal_entity)
        period = await self.periods.find(company.id, day) if company else None
        if period is None:
            raise TrytonRefused(f"there is no period of {legal_entity} for {day}", httpx.codes.NOT_FOUND)
        return period if period.is_open == is_open else await self.periods.press(period, button)


@asynccontextmanager
async def open_tryton(
    *, url: str, database: str, key: str, answer_within: timedelta = timedelta(seconds=8), poll_overlap: timedelta = timedelta(seconds=10)
) -> AsyncIterator[TrytonErp]:
    """A client of one database, closed at the end.

    Args:
        url: Of the server without the database, e.g. `http://127.0.0.1:8000`.
        database: Its name.
        key: Of the user application "rest".
        answer_within: For one call.
        poll_overlap: See `Tryton`.
    """
    bounds = httpx.Timeout(answer_within.total_seconds(), connect=min(3.0, answer_within.total_seconds()))
    async with httpx.AsyncClient(timeout=bounds, transport=Connections(CONNECTIONS), trust_env=False, event_hooks=HOOKS) as http:
        yield TrytonErp(http, base_url=url, database=database, key=key, poll_overlap=poll_overlap)
