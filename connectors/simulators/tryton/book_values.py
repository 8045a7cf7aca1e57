"""What the ERP simulator computes of its books when they are read: amounts of invoices, what is left to pay, accounts of a company."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from connectors.simulators.exchange import JsonObject
from connectors.simulators.store import Record, Store
from connectors.simulators.tryton.values import decimal, wire_date

INVOICE, LINE, TAX, MOVE_LINE = "account.invoice", "account.invoice.line", "account.invoice.tax", "account.move.line"
_ZERO = Decimal("0.00")


class Reader(Protocol):
    """What reads the records, see `reader.Reader`."""

    @property
    def store(self) -> Store:
        """Where they are."""
        ...

    @property
    def company(self) -> int | None:
        """Whose values are read."""
        ...

    def find(self, model: str, domain: Any) -> list[Record]:
        """Records by domain."""
        ...

    def one(self, model: str, record_id: int) -> JsonObject:
        """The body of a record."""
        ...

    def rounded(self, priced: JsonObject, amount: Decimal) -> Decimal:
        """As a currency rounds."""
        ...


def untaxed(reader: Reader, invoice: JsonObject) -> Decimal:
    """The sum of an invoice's lines, each rounded as its currency is."""
    lines = parts(reader, LINE, invoice)
    return sum((line_amount(reader, invoice, line) for line in lines if line["type"] == "line"), _ZERO)


def taxed(reader: Reader, invoice: JsonObject) -> Decimal:
    """The sum of an invoice's taxes. None is computed: here all are entered by hand."""
    return sum((Decimal(tax["amount"]) for tax in parts(reader, TAX, invoice)), _ZERO)


def line_amount(reader: Reader, invoice: JsonObject, line: JsonObject) -> Decimal:
    """Quantity by price."""
    return reader.rounded(invoice, Decimal(str(line.get("quantity") or 0)) * Decimal(line.get("unit_price") or 0))


def parts(reader: Reader, model: str, invoice: JsonObject) -> list[JsonObject]:
    """The lines or the taxes of an invoice, in order."""
    return [record.body for record in reader.store.find(model, "json_extract(body, '$.invoice') = ?", (invoice["id"],))]


def to_pay(reader: Reader, invoice: JsonObject) -> list[Record]:
    """An invoice's receivable lines in the books."""
    if not invoice.get("move"):
        return []
    lines = reader.store.find(MOVE_LINE, "json_extract(body, '$.move') = ?", (invoice["move"],))
    return [line for line in lines if line.body["account"] == invoice["account"]]


def paying(reader: Reader, invoice: JsonObject) -> list[Record]:
    """The lines in the books that pay an invoice."""
    return reader.store.find(MOVE_LINE, "json_extract(body, '$.pays') = ?", (invoice["id"],))


def left_to_pay(reader: Reader, invoice: JsonObject) -> Decimal:
    """What of an invoice's lines is not reconciled, less what pays it."""
    if invoice["state"] != "posted":
        return _ZERO
    lines = [record.body for record in (*to_pay(reader, invoice), *paying(reader, invoice))]
    return sum((balance(line) for line in lines if line.get("reconciliation") is None), _ZERO)


def balance(line: JsonObject) -> Decimal:
    """Debit less credit."""
    return Decimal(line["debit"]) - Decimal(line["credit"])


def reconciled_on(reader: Reader, invoice: JsonObject) -> date | None:
    """When the last of an invoice's lines was reconciled, if all are."""
    days = [line.body.get("reconciled_on") for line in to_pay(reader, invoice)]
    known = [date.fromisoformat(day) for day in days if day is not None]
    return max(known) if known and len(known) == len(days) else None


def _reconciled(reader: Reader, invoice: JsonObject) -> Any:
    day = reconciled_on(reader, invoice)
    return None if day is None else wire_date(day)


def _of_company(model: str, field: str, owner: str = "") -> Callable[[Reader, JsonObject], int | None]:
    """A value that Tryton keeps for each company in a model of its own."""

    def value(reader: Reader, body: JsonObject) -> int | None:
        domain = [["company", "=", reader.company], *([[owner, "=", body["id"]]] if owner else [])]
        found = reader.find(model, domain) if reader.company else []
        return found[0].body[field] if found else None

    return value


BOOK_VALUES: Mapping[tuple[str, str], Callable[[Reader, JsonObject], Any]] = {
    (INVOICE, "untaxed_amount"): lambda reader, body: decimal(untaxed(reader, body)),
    (INVOICE, "tax_amount"): lambda reader, body: decimal(taxed(reader, body)),
    (INVOICE, "total_amount"): lambda reader, body: decimal(untaxed(reader, body) + taxed(reader, body)),
    (INVOICE, "amount_to_pay"): lambda reader, body: decimal(left_to_pay(reader, body)),
    (INVOICE, "lines_to_pay"): lambda reader, body: [line.body["id"] for line in to_pay(reader, body)],
    (INVOICE, "payment_lines"): lambda reader, body: [line.body["id"] for line in paying(reader, body)],
    (INVOICE, "reconciled"): _reconciled,
    (LINE, "amount"): lambda reader, body: decimal(line_amount(reader, reader.one(INVOICE, body["invoice"]), body)),
    ("party.party", "account_receivable"): lambda _reader, _body: None,
    ("account.configuration", "default_account_receivable"): _of_company(
        "account.configuration.default_account", "default_account_receivable"
    ),
    ("product.category", "account_revenue"): _of_company("product.category.account", "account_revenue", "category"),
}
"""By model and field: what stands on the wire."""
