"""Tryton's accounting periods: which one a date falls into, and what people do with them; HTTP only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from connectors.erp.tryton.book_records import Period
from connectors.erp.tryton.rest import Rest

PERIOD = ("name", "company", "start_date", "end_date", "state", "create_date", "write_date")
"""The fields that are read of one."""


@dataclass(frozen=True, slots=True)
class Periods:
    """The periods of one database. Every method raises as those of `Rest`."""

    rest: Rest

    async def find(self, company: int, day: date) -> Period | None:
        """The period of one company that a date falls into; adjustment periods aside."""
        domain = [["company", "=", company], ["start_date", "<=", day], ["end_date", ">=", day], ["type", "=", "standard"]]
        page = await self.rest.search("account.period", domain, PERIOD)
        return Period.of(page.rows[0]) if page.rows else None

    async def closed_journals(self, period: Period) -> Mapping[int, str]:
        """Journals that take nothing in a period though it may be open, by the id of that part of theirs, with their names.

        They close with it, and are not reopened with it.
        """
        domain = [["period", "=", period.id], ["state", "=", "closed"]]
        page = await self.rest.search("account.journal.period", domain, ["journal.name"])
        return {row["id"]: row["journal"]["name"] for row in page.rows}

    async def reopen_journals(self, period: Period) -> None:
        """Press `reopen` of each that is closed."""
        for identity in await self.closed_journals(period):
            await self.rest.press("account.journal.period", identity, button="reopen", fields=["state"], company=period.company)

    async def press(self, period: Period, button: str) -> Period:
        """Press `close` or `reopen`; raises TrytonRefused where its state does not allow it."""
        return Period.of(await self.rest.press("account.period", period.id, button=button, fields=PERIOD, company=period.company))
