"""Customer invoices in Tryton's books: found by reference, created and posted so that each may be asked for twice; HTTP only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx

from connectors.erp.tryton.book_records import BookedProduct, BookedTax, Currency, Debtor, Invoice, InvoiceState, NewInvoice
from connectors.erp.tryton.rest import Rest, TrytonRefused

_STAMPS = ("create_date", "write_date")
_INVOICE = (
    *("reference", "number", "state", "company", "party", "account", "currency.code", "invoice_date"),
    *("untaxed_amount", "tax_amount", "total_amount", "amount_to_pay"),
    *("move.date", "move.create_date", "lines_to_pay", "reconciled"),
    *_STAMPS,
)
_PRODUCT = (
    *("code", "default_uom.digits", "template.account_category.account_revenue", "template.account_category.account_parent"),
    "template.account_category.parent.account_revenue",
)
_DEBTOR = ("addresses", "account_receivable")
_TAX = ("name", "description", "invoice_account", "credit_note_account")
# How often to try another date: each time another invoice with a later date must have been numbered in between.
_NUMBERINGS = 4


@dataclass(frozen=True, slots=True)
class Invoices:
    """The customer invoices of one database. Every method raises as those of `Rest`."""

    rest: Rest
    _currencies: dict[str, Currency] = field(default_factory=dict)
    _journals: dict[str, int] = field(default_factory=dict)
    _receivable: dict[int, int] = field(default_factory=dict)

    async def find(self, reference: str) -> Invoice | None:
        """The invoice with this reference: the oldest that is not cancelled, or else the oldest."""
        found = await self.find_all([reference])
        return next((invoice for invoice in found if invoice.state is not InvoiceState.CANCELLED), found[0] if found else None)

    async def find_all(self, references: Iterable[str]) -> tuple[Invoice, ...]:
        """Every customer invoice with one of these references, whatever its state."""
        rows = await self.rest.among("account.invoice", references, by="reference", fields=_INVOICE, further=[["type", "=", "out"]])
        return tuple(map(Invoice.of, rows))

    async def create(self, new: NewInvoice) -> Invoice:
        """A draft; the invoice with this reference where there is one, if the database keeps references unique."""
        try:
            return Invoice.of(await self.rest.create("account.invoice", _values(new), _INVOICE, company=new.company))
        except httpx.HTTPStatusError:
            # An earlier call that is only now done has won, and Tryton answers 500.
            if there := await self.find(new.reference):
                return there
            raise

    async def post(self, draft: Invoice, issued_on: date) -> Invoice:
        """Post a draft. Whoever posted it a moment before us has done our work.

        Tryton numbers by date: an invoice that is older than the last numbered one gets the date of that as the date of its number. Its
        date in the books, and with it the period and the taxes, stays `issued_on`.

        Raises:
            TrytonRefused: It cannot be posted.
        """
        invoice = draft
        for _ in range(_NUMBERINGS):
            try:
                return await self._press_post(invoice)
            except TrytonRefused:
                invoice = await self.read(invoice.id)
                if invoice.in_books:
                    return invoice
                last = await self._last_numbered(invoice, issued_on)
                if last is None or (invoice.invoice_date and last <= invoice.invoice_date):
                    raise
                invoice = Invoice.of(await self.rest.update("account.invoice", invoice.id, {"invoice_date": last}, _INVOICE))
        return await self._press_post(invoice)

    async def discard(self, draft: Invoice) -> None:
        """Take a draft away."""
        await self.rest.delete("account.invoice", draft.id)

    async def settle(self, invoice: Invoice) -> Invoice:
        """Let Tryton see that a reconciled invoice is paid, where it died before it did so itself."""
        if invoice.state is InvoiceState.PAID or not invoice.is_reconciled:
            return invoice
        return Invoice.of(await self.rest.press("account.invoice", invoice.id, button="process", fields=_INVOICE, company=invoice.company))

    async def read(self, record: int) -> Invoice:
        """The invoice with this id."""
        page = await self.rest.search("account.invoice", [["id", "=", record]], _INVOICE)
        return Invoice.of(page.rows[0])

    # What an invoice refers to

    async def find_currency(self, code: str) -> Currency | None:
        """The currency with this ISO 4217 code. One that is there stays as it is, and is read once."""
        if code not in self._currencies:
            page = await self.rest.search("currency.currency", [["code", "=", code]], ["code", "rounding"])
            self._currencies.update({row["code"]: Currency.model_validate(row) for row in page.rows})
        return self._currencies.get(code)

    async def find_products(self, codes: Iterable[str], company: int) -> dict[str, BookedProduct]:
        """The products in use with these codes, with one company's accounts, by code."""
        rows = await self.rest.among("product.product", codes, by="code", fields=_PRODUCT, company=company)
        return {row["code"]: BookedProduct.of(row) for row in rows}

    async def find_taxes(self, codes: Iterable[str], company: int) -> dict[str, BookedTax]:
        """The taxes in use with these codes in one company, by code."""
        rows = await self.rest.among("account.tax", codes, by="name", fields=_TAX, further=[["company", "=", company]])
        return {row["name"]: BookedTax.model_validate(row) for row in rows}

    async def find_debtor(self, code: str, company: int) -> Debtor | None:
        """The customer in use with this canonical id, with the account that it owes through in one company: its own, or the company's."""
        rows = await self.rest.among("party.party", [code], by="code", fields=_DEBTOR, company=company)
        if not rows:
            return None
        return Debtor.of({**rows[0], "account": rows[0]["account_receivable"] or await self._default_receivable(company)})

    async def find_journal(self) -> int | None:
        """The journal of customer invoices; read once, when there is one."""
        if not self._journals:
            page = await self.rest.search("account.journal", [["type", "=", "revenue"]], ["type"])
            self._journals.update({row["type"]: row["id"] for row in page.rows})
        return self._journals.get("revenue")

    # How it is done

    async def _press_post(self, invoice: Invoice) -> Invoice:
        # Tryton asks about due dates that have passed, dates to come, and taxes other than the products': all of that is billing's to know.
        return Invoice.of(
            await self.rest.press("account.invoice", invoice.id, button="post", fields=_INVOICE, company=invoice.company, unasked=True)
        )

    async def _default_receivable(self, company: int) -> int | None:
        if company not in self._receivable:
            page = await self.rest.search("account.configuration", [], ["default_account_receivable"], company=company)
            found: list[int] = [row["default_account_receivable"] for row in page.rows if row["default_account_receivable"]]
            if not found:
                return None
            self._receivable[company] = found[0]
        return self._receivable[company]

    async def _last_numbered(self, invoice: Invoice, issued_on: date) -> date | None:
        """The date of the last numbered invoice of the fiscal year, where it is later."""
        domain = [
            ["company", "=", invoice.company],
            ["sequence", "!=", None],
            ["invoice_date", ">", issued_on],
            ["move.period.fiscalyear.start_date", "<=", issued_on],
            ["move.period.fiscalyear.end_date", ">=", issued_on],
        ]
        row = await self.rest.first("account.invoice", domain, ["invoice_date"], order=[("invoice_date", "DESC")])
        found: date | None = row["invoice_date"] if row else None
        return found


def _values(new: NewInvoice) -> dict[str, Any]:
    return {
        "type": "out",
        "reference": new.reference,
        "description": new.description,
        "company": new.company,
        "currency": new.currency,
        "party": new.party,
        "invoice_address": new.address,
        "account": new.account,
        "journal": new.journal,
        "invoice_date": new.issued_on,
        "accounting_date": new.issued_on,
        # Without a payment term, everything is due on this date.
        "payment_term_date": new.due_on,
        "lines": [
            [
                "create",
                [
                    {
                        "type": "line",
                        "company": new.company,
                        "currency": new.currency,
                        "product": line.product,
                        "unit": line.unit,
                        "quantity": float(line.quantity),
                        "unit_price": line.unit_price,
                        "account": line.account,
                        "description": line.description,
                    }
                    for line in new.lines
                ],
            ]
        ],
        # Billing's own amounts: Tryton computes those of taxes that its lines have, and these lines have none.
        "taxes": [
            [
                "create",
                [
                    {
                        "manual": True,
                        "tax": tax.tax,
                        "account": tax.account,
                        "description": tax.description,
                        "base": tax.base,
                        "amount": tax.amount,
                    }
                    for tax in new.taxes
                ],
            ]
        ],
    }
