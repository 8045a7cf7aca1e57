"""Tryton's dunning: where its users look for receivables that need them; HTTP only.

A dunning is made as a draft, in the tab where people begin: only a wizard, which REST does not have, takes it to "waiting" as it sends
letters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from connectors.erp.tryton.book_records import Dunning, Invoice
from connectors.erp.tryton.rest import Rest, TrytonRefused

PROCEDURE = "Payment failed"
"""The dunning procedure that tells what has happened."""

_DUNNING = ("line", "blocked", "create_date", "write_date")


@dataclass(frozen=True, slots=True)
class Level:
    """Where a dunning begins."""

    procedure: int
    level: int


@dataclass(frozen=True, slots=True)
class Dunnings:
    """The dunnings of one database. Every method raises as those of `Rest`."""

    rest: Rest

    async def find_level(self) -> Level | None:
        """The first level of the procedure."""
        page = await self.rest.search("account.dunning.procedure", [["name", "=", PROCEDURE]], ["levels"])
        return next((Level(row["id"], row["levels"][0]) for row in page.rows if row["levels"]), None)

    async def active(self, lines: Iterable[int]) -> dict[int, Dunning]:
        """The dunnings of receivable lines that are still to be paid, by line."""
        rows = await self.rest.among("account.dunning", lines, by="line", fields=_DUNNING)
        return {row["line"]: Dunning.of(row) for row in rows}

    async def show(self, invoice: Invoice, level: Level, *, blocked: bool) -> Dunning:
        """Have an invoice in dunning.

        Args:
            invoice: One that is posted and not paid.
            level: Where its dunning begins; one that has begun stays where it is.
            blocked: Whether people leave it alone for now.

        Returns:
            The dunning of its first receivable line.

        Raises:
            TrytonRefused: It cannot be dunned for.
        """
        there = await self.active(invoice.lines_to_pay)
        shown = [await self._shown(line, invoice.company, level, there.get(line), blocked=blocked) for line in invoice.lines_to_pay]
        return shown[0]

    async def clear(self, invoice: Invoice) -> None:
        """Take an invoice out of dunning."""
        for dunning in (await self.active(invoice.lines_to_pay)).values():
            await self.rest.delete("account.dunning", dunning.id)

    async def note(self, dunning: Dunning, text: str) -> None:
        """Say something about a dunning, once."""
        resource = f"account.dunning,{dunning.id}"
        there = await self.rest.search("ir.note", [["resource", "=", resource]], ["message"])
        if text not in {row["message"] for row in there.rows}:
            await self.rest.create("ir.note", {"resource": resource, "message": text}, ["id"])

    async def _shown(self, line: int, company: int, level: Level, there: Dunning | None, *, blocked: bool) -> Dunning:
        if there is None:
            there = await self._created(line, company, level, blocked=blocked)
        if there.blocked == blocked:
            return there
        return Dunning.of(await self.rest.update("account.dunning", there.id, {"blocked": blocked}, _DUNNING))

    async def _created(self, line: int, company: int, level: Level, *, blocked: bool) -> Dunning:
        values = {"company": company, "line": line, "procedure": level.procedure, "level": level.level, "blocked": blocked}
        try:
            return Dunning.of(await self.rest.create("account.dunning", values, _DUNNING, company=company))
        except TrytonRefused:
            # A line is dunned for once: an earlier call that is only now done has won.
            if found := (await self.active([line])).get(line):
                return found
            raise
