"""What billing collected, in Tryton's books: a statement of one line for each payment, which Tryton reconciles itself; HTTP only.

Tryton's own payments (`account.payment`) cannot be used over REST: from "submitted" only a wizard leads on, and their entries reconcile
an invoice that is paid at once, not one that is paid in parts. Statements are what its users book money with, they have buttons for
everything, and a part payment is reconciled with the others when the last one comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from connectors.erp.tryton.book_records import NewPayment, Statement, StatementState
from connectors.erp.tryton.rest import Rest, TrytonRefused

JOURNAL = "Billing collections"
"""How the name of the statement journals begins; there is one for each currency."""

_STATEMENT = ("name", "state", "company", "lines.related_to", "lines.amount", "create_date", "write_date")
_VALIDATED = frozenset({StatementState.VALIDATED, StatementState.POSTED})


@dataclass(frozen=True, slots=True)
class Payments:
    """The payments of one database. Every method raises as those of `Rest`."""

    rest: Rest

    async def find_journal(self, company: int, currency: str) -> int | None:
        """The statement journal for one currency of one company."""
        domain = [["company", "=", company], ["name", "=", f"{JOURNAL} {currency}"]]
        page = await self.rest.search("account.statement.journal", domain, ["id"])
        return int(page.rows[0]["id"]) if page.rows else None

    async def find(self, reference: str) -> Statement | None:
        """The payment with this reference, whatever its state."""
        found = await self.find_all([reference])
        return found[0] if found else None

    async def find_all(self, references: Iterable[str]) -> tuple[Statement, ...]:
        """Every payment with one of these references, whatever its state."""
        ours = [["journal.name", "like", f"{JOURNAL}%"]]
        return tuple(map(Statement.of, await self.rest.among("account.statement", references, by="name", fields=_STATEMENT, further=ours)))

    async def create(self, new: NewPayment) -> Statement:
        """A draft; the payment with this reference where there is one, if the database keeps them unique.

        Raises:
            TrytonRefused: The invoice is not posted, or is paid.
        """
        try:
            return Statement.of(await self.rest.create("account.statement", _values(new), _STATEMENT, company=new.invoice.company))
        except httpx.HTTPStatusError:
            # An earlier call that is only now done has won, and Tryton answers 500.
            if there := await self.find(new.reference):
                return there
            raise

    async def book(self, statement: Statement) -> Statement:
        """Make the entries of a draft, reconcile them with the invoice, and post them. A payment that lost its invoice is not posted.

        Raises:
            TrytonRefused: It is more than the invoice leaves to pay, or the period is closed.
        """
        if statement.state is StatementState.DRAFT:
            # Tryton would ask before it takes paid invoices from other drafts: those see it, and go.
            statement = await self._press(statement, "validate_statement", _VALIDATED, unasked=True)
        if statement.state is StatementState.VALIDATED and statement.invoice is not None:
            statement = await self._press(statement, "post", frozenset({StatementState.POSTED}))
        return statement

    async def discard(self, statement: Statement) -> None:
        """Take a payment away that is not posted, with its entries."""
        if statement.state is StatementState.VALIDATED:
            statement = await self._press(statement, "cancel", frozenset({StatementState.CANCELLED}))
        await self.rest.delete("account.statement", statement.id)

    async def _press(self, statement: Statement, button: str, wanted: frozenset[StatementState], *, unasked: bool = False) -> Statement:
        """Press a button; whoever pressed it a moment before us has done our work."""
        try:
            row = await self.rest.press(
                "account.statement", statement.id, button=button, fields=_STATEMENT, company=statement.company, unasked=unasked
            )
        except TrytonRefused:
            now = await self.find(statement.name)
            if now is None or now.state not in wanted:
                raise
            return now
        return Statement.of(row)


def _values(new: NewPayment) -> dict[str, Any]:
    line = {
        "date": new.paid_on,
        "number": new.reference,
        "description": new.method,
        "amount": new.amount,
        "party": new.invoice.party,
        "account": new.invoice.account,
        "related_to": f"account.invoice,{new.invoice.id}",
    }
    return {
        "company": new.invoice.company,
        "journal": new.journal,
        "name": new.reference,
        "date": new.paid_on,
        "total_amount": new.amount,
        "lines": [["create", [line]]],
    }
