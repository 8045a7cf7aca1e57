"""Reads records of the ERP simulator: fields by dotted path, references, computed amounts, record names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from connectors.simulators.exchange import JsonObject
from connectors.simulators.store import Record, Store
from connectors.simulators.tryton.book_values import BOOK_VALUES
from connectors.simulators.tryton.domains import condition, order_by
from connectors.simulators.tryton.errors import not_found
from connectors.simulators.tryton.fields import Field, Type
from connectors.simulators.tryton.models import field_of
from connectors.simulators.tryton.values import decimal, shown

DEFAULT_FIELDS = ("rec_name",)


class Reader:
    """Reads one store.

    Args:
        store: which.
        active_test: whether searches leave inactive records out.
        company: whose values are read, of fields that have one for each company.
    """

    def __init__(self, store: Store, *, active_test: bool = True, company: int | None = None) -> None:
        self.store = store
        self.company = company
        self._active_test = active_test

    def find(self, model: str, domain: Any, *, order: Any = None, limit: int | None = None, offset: int = 0) -> list[Record]:
        """Records by domain and order; see `domains` for what it raises."""
        where, values = condition(model, domain, active_test=self._active_test)
        return self.store.find(model, where, values, order=order_by(model, order), limit=limit, offset=offset)

    def one(self, model: str, record_id: int) -> JsonObject:
        """The body of a record.

        Raises:
            RefusedError: there is none: 404.
        """
        record = self.store.get(model, str(record_id))
        if record is None:
            raise not_found()
        return record.body

    def read(self, model: str, body: JsonObject, paths: Iterable[str]) -> JsonObject:
        """What the API shows of a record.

        Args:
            model: its model.
            body: its stored body.
            paths: fields, dotted to go on in what they refer to.

        Raises:
            KeyError: a field that is not there.
        """
        branches: dict[str, set[str]] = {}
        for path in paths:
            name, _, rest = path.partition(".")
            branches.setdefault(name, set()).update([rest] if rest else [])
        answer: JsonObject = {"id": body["id"], "__name__": model}
        for name, rests in branches.items():
            if name != "__name__":
                answer[name] = self._value(model, body, name, rests)
        return answer

    def name(self, model: str, body: JsonObject) -> str:
        """The record's name, as it stands in messages."""
        make = _NAMES.get(model)
        return make(self, body) if make else str(body.get("name"))

    def untaxed(self, sale: JsonObject) -> Decimal:
        """The sum of a sale's lines."""
        return sum((self.line_amount(line) for line in self.lines(sale)), Decimal(0))

    def tax(self, sale: JsonObject) -> Decimal:
        """The taxes of a sale's lines; each tax is rounded once, on all that it applies to."""
        bases: dict[int, Decimal] = {}
        for line in self.lines(sale):
            for tax in line.get("taxes") or []:
                bases[tax] = bases.get(tax, Decimal(0)) + self.line_amount(line)
        amounts = (base * Decimal(self.one("account.tax", tax).get("rate") or 0) for tax, base in bases.items())
        return sum((self.rounded(sale, amount) for amount in amounts), Decimal(0))

    def line_amount(self, line: JsonObject) -> Decimal:
        """Quantity by price, rounded as the sale's currency is."""
        amount = Decimal(str(line.get("quantity") or 0)) * Decimal(line.get("unit_price") or 0)
        return self.rounded(self.one("sale.sale", line["sale"]), amount)

    def lines(self, sale: JsonObject) -> list[JsonObject]:
        """The lines of a sale, in order."""
        return [record.body for record in self.store.find("sale.line", "json_extract(body, '$.sale') = ?", (sale["id"],))]

    def rounded(self, priced: JsonObject, amount: Decimal) -> Decimal:
        """An amount as the currency of a sale or an invoice is rounded."""
        rounding = Decimal(self.one("currency.currency", priced["currency"])["rounding"])
        return amount.quantize(rounding, rounding=ROUND_HALF_EVEN)

    def _value(self, model: str, body: JsonObject, name: str, rests: set[str]) -> Any:
        field = field_of(model, name)
        if field.through:
            source = self.one(field_of(model, field.through).target, body[field.through])
            return self._value(field_of(model, field.through).target, source, name, rests)
        if name == "rec_name":
            return self.name(model, body)
        if field.type is Type.COMPUTED:
            return _COMPUTED[model, name](self, body)
        if rests:
            return self._expanded(field, self._raw(field, body, name), rests)
        return shown(field, self._raw(field, body, name))

    def _raw(self, field: Field, body: JsonObject, name: str) -> Any:
        if field.type is not Type.ONE2MANY:
            return body.get(name)
        where = f"json_extract(body, '$.{field.inverse}') = ?"
        children = self.store.find(field.target, where, (body["id"],))
        return [child.body["id"] for child in children if child.body.get("active", True)]

    def _expanded(self, field: Field, value: Any, rests: set[str]) -> Any:
        if not field.target:
            raise KeyError(next(iter(rests)))
        if value is None:
            return None
        if isinstance(value, list):
            return [self.read(field.target, self.one(field.target, each), rests) for each in value]
        return self.read(field.target, self.one(field.target, value), rests)


def _party_name(_reader: Reader, body: JsonObject) -> str:
    return body.get("name") or f"[{body['code']}]"


def _company_name(reader: Reader, body: JsonObject) -> str:
    return reader.name("party.party", reader.one("party.party", body["party"]))


def _address_name(reader: Reader, body: JsonObject) -> str:
    party = [reader.name("party.party", reader.one("party.party", body["party"]))] if body.get("party") else []
    return ", ".join([*party, *(body[part] for part in ("street", "postal_code", "city") if body.get(part))])


def _template_name(_reader: Reader, body: JsonObject) -> str:
    return f"[{body['code']}] {body['name']}" if body.get("code") else str(body["name"])


def _product_name(reader: Reader, body: JsonObject) -> str:
    return _template_name(reader, {"code": body.get("code"), "name": reader.one("product.template", body["template"])["name"]})


def _sale_name(_reader: Reader, body: JsonObject) -> str:
    reference = f"[{body['reference']}]" if body.get("reference") else ""
    return " ".join(part for part in (body.get("number"), reference) if part) or f"({body['id']})"


def _line_name(reader: Reader, body: JsonObject) -> str:
    what = (
        reader.name("product.product", reader.one("product.product", body["product"]))
        if body.get("product")
        else str(body.get("description"))
    )
    return f"{_amount_name(reader, body)} {what} @ {reader.name('sale.sale', reader.one('sale.sale', body['sale']))}"


def _amount_name(reader: Reader, line: JsonObject) -> str:
    quantity = line.get("quantity") or 0.0
    if not line.get("unit"):
        return str(quantity)
    unit = reader.one("product.uom", line["unit"])
    return f"{quantity:.{unit['digits']}f}\u00a0{unit['symbol']}"


def _invoice_name(_reader: Reader, body: JsonObject) -> str:
    return _sale_name(_reader, body)


def _statement_line_name(reader: Reader, body: JsonObject) -> str:
    return str(reader.one("account.statement", body["statement"])["name"])


_NAMES: Mapping[str, Any] = {
    "company.company": _company_name,
    "party.party": _party_name,
    "party.address": _address_name,
    "product.template": _template_name,
    "product.product": _product_name,
    "sale.sale": _sale_name,
    "sale.line": _line_name,
    "account.invoice": _invoice_name,
    "account.statement.line": _statement_line_name,
}
_COMPUTED: Mapping[tuple[str, str], Any] = {
    ("sale.sale", "untaxed_amount"): lambda reader, body: decimal(reader.untaxed(body)),
    ("sale.sale", "tax_amount"): lambda reader, body: decimal(reader.tax(body)),
    ("sale.sale", "total_amount"): lambda reader, body: decimal(reader.untaxed(body) + reader.tax(body)),
    ("sale.line", "amount"): lambda reader, body: decimal(reader.line_amount(body)),
    **BOOK_VALUES,
}
