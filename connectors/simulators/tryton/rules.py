"""What single models of the ERP simulator add to the generic rules: defaults, derived codes, and the checks of sales."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any

from connectors.simulators.exchange import JsonObject
from connectors.simulators.store import Store
from connectors.simulators.tryton.errors import refused
from connectors.simulators.tryton.models import MODELS, field_of
from connectors.simulators.tryton.reader import Reader

# Tryton derives something of these right after their creation, by a write; every other record has no write_date until it is changed.
WRITTEN_AT_CREATION = frozenset({"party.party", "product.product"})
_OF_A_LINE = ("quantity", "unit_price")
_PRICED = frozenset({"sale.sale", "account.invoice", "account.invoice.line"})


def before_create(store: Store, model: str, body: JsonObject, context: Mapping[str, Any]) -> None:
    """Fill in what has a default that depends on other things."""
    if "company" in MODELS[model].fields and body.get("company") is None:
        body["company"] = context.get("company")
    if model == "party.party" and not body.get("code"):
        body["code"] = str(store.next_number("party.party.code"))
    if model in _PRICED and body.get("currency") is None and body.get("company") is not None:
        company = store.get("company.company", str(body["company"]))
        body["currency"] = company.body["currency"] if company else None
    if model == "product.product":
        template = store.get("product.template", str(body.get("template")))
        body["code"] = _code(template.body, body) if template else None
    if model == "account.dunning":
        line = store.get("account.move.line", str(body.get("line")))
        body["active"] = line is None or line.body.get("reconciliation") is None


def after_change(store: Store, model: str, body: JsonObject) -> None:
    """Carry a product template's code and end over to its variants."""
    if model != "product.template":
        return
    for variant in store.find("product.product", "json_extract(body, '$.template') = ?", (body["id"],)):
        code, active = _code(body, variant.body), variant.body["active"] and body["active"]
        if (code, active) != (variant.body["code"], variant.body["active"]):
            store.replace(variant, {**variant.body, "code": code, "active": active, "write_date": body["write_date"]})


def check(reader: Reader, model: str, body: JsonObject) -> None:
    """Check what depends on other records.

    Raises:
        RefusedError: it does not fit.
    """
    _check_digits(reader, model, body)
    if model == "sale.sale":
        _check_sale(reader, body)
    elif model == "sale.line" and body["type"] == "line":
        _check_line(reader, body)
    elif model in _BOOK_CHECKS:
        _BOOK_CHECKS[model](reader, body)


def outside_domain(reader: Reader, model: str, body: JsonObject, name: str) -> Exception:
    """A reference to a record that exists but does not fit."""
    field = field_of(model, name)
    value = reader.name(field.target, reader.one(field.target, body[name])) if isinstance(body[name], int) else body[name]
    return refused(not_in_domain(value, model, name, reader.name(model, body)))


def not_in_domain(value: Any, model: str, name: str, record: str) -> str:
    """Tryton's words for a reference that does not fit, or to nothing."""
    where = f'for field "{field_of(model, name).label}" in record "{record}" of "{MODELS[model].label}"'
    return f'The value "{value}" {where} is not valid according to its domain.'


def _check_sale(reader: Reader, sale: JsonObject) -> None:
    for name, party in (("invoice_address", "invoice_party"), ("shipment_address", "shipment_party")):
        address = sale.get(name)
        if address is not None and reader.one("party.address", address)["party"] != (sale.get(party) or sale["party"]):
            raise outside_domain(reader, "sale.sale", sale, name)


def _check_line(reader: Reader, line: JsonObject) -> None:
    needed = (*_OF_A_LINE, "unit") if line.get("product") is not None else _OF_A_LINE
    for name in needed:
        if line.get(name) is None:
            label = field_of("sale.line", name).label
            raise refused(f'A value is required for field "{label}" in record "{reader.name("sale.line", line)}" of "Sale Line".')
    if line.get("product") is not None:
        product = reader.one("product.product", line["product"])
        if not reader.one("product.template", product["template"])["salable"]:
            raise outside_domain(reader, "sale.line", line, "product")
    company = reader.one("sale.sale", line["sale"])["company"]
    if any(reader.one("account.tax", tax)["company"] != company for tax in line.get("taxes") or []):
        raise outside_domain(reader, "sale.line", line, "taxes")


def check_modifiable(reader: Reader, model: str, body: JsonObject, names: Collection[str]) -> None:
    """Raises RefusedError where a record stands in the books and a field is no mere description."""
    if model == "account.invoice" and body["state"] in {"posted", "paid"} and not _DESCRIPTIONS.issuperset(names):
        raise refused(f'You cannot modify invoice "{reader.name(model, body)}" because it is posted, paid or cancelled.')


def _check_invoice(reader: Reader, invoice: JsonObject) -> None:
    if reader.one("party.address", invoice["invoice_address"])["party"] != invoice["party"]:
        raise outside_domain(reader, "account.invoice", invoice, "invoice_address")
    if reader.one("account.account", invoice["account"])["company"] != invoice["company"]:
        raise outside_domain(reader, "account.invoice", invoice, "account")


def _check_invoice_line(reader: Reader, line: JsonObject) -> None:
    for name in ("quantity", "unit_price", "account"):
        if line["type"] == "line" and line.get(name) is None:
            label, record = field_of("account.invoice.line", name).label, line.get("description") or line["id"]
            raise refused(f'A value is required for field "{label}" in record "{record}" of "Account Invoice Line".')
    if line.get("account") is not None and reader.one("account.account", line["account"])["company"] != line["company"]:
        raise outside_domain(reader, "account.invoice.line", line, "account")


def _check_invoice_tax(reader: Reader, tax: JsonObject) -> None:
    company = reader.one("account.invoice", tax["invoice"])["company"]
    for name in ("account", "tax"):
        if tax.get(name) is not None and reader.one(field_of("account.invoice.tax", name).target, tax[name])["company"] != company:
            raise outside_domain(reader, "account.invoice.tax", tax, name)


def _check_statement_line(reader: Reader, line: JsonObject) -> None:
    """A draft pays an invoice that is posted, of the party and in the currency of the statement."""
    statement = reader.one("account.statement", line["statement"])
    model, _, identity = (line.get("related_to") or "").partition(",")
    if statement["state"] != "draft" or model != "account.invoice":
        return
    invoice = reader.one(model, int(identity))
    currency = reader.one("account.statement.journal", statement["journal"])["currency"]
    fits = (invoice["company"], invoice["currency"], invoice["party"]) == (statement["company"], currency, line["party"])
    if not fits or invoice["state"] != "posted" or invoice["account"] != line["account"]:
        name = reader.name(model, invoice)
        raise refused(not_in_domain(name, "account.statement.line", "related_to", str(statement["name"])))


_BOOK_CHECKS: Mapping[str, Callable[[Reader, JsonObject], None]] = {
    "account.invoice": _check_invoice,
    "account.invoice.line": _check_invoice_line,
    "account.invoice.tax": _check_invoice_tax,
    "account.statement.line": _check_statement_line,
}
_DESCRIPTIONS = frozenset({"description", "comment", "reference"})


def _check_digits(reader: Reader, model: str, body: JsonObject) -> None:
    limits = {name: field.digits for name, field in MODELS[model].fields.items() if field.digits is not None and not field.through}
    if model in {"sale.line", "account.invoice.line"} and body.get("unit") is not None:
        limits["quantity"] = reader.one("product.uom", body["unit"])["digits"]
    for name, digits in limits.items():
        value = body.get(name)
        if value is not None and _places(value) > digits:
            label, record = field_of(model, name).label, reader.name(model, body)
            raise refused(
                f'The number of digits in the value "\'{value}\'" for field "{label}" in record "{record}" of'
                f' "{MODELS[model].label}" exceeds the limit of "(None, {digits})".'
            )


def _places(value: Any) -> int:
    """Of a decimal, as it was written: Tryton takes 12.50 for two places and 12.5000 for four; of a float, as many as it needs."""
    given = Decimal(str(value))
    exponent = (given.normalize() if isinstance(value, float) else given).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _code(template: JsonObject, variant: JsonObject) -> str | None:
    return f"{template.get('code') or ''}{variant.get('suffix_code') or ''}" or None
