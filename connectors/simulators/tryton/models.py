"""The ERP simulator's models as a table: fields, targets, what is required; everything else about records is generic.

A subset of Tryton 8.2: modules party, product, account, account_invoice, sale, company, currency, country. Names and labels are Tryton's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any


class Type(StrEnum):
    """How a field is kept and shown."""

    TEXT = auto()
    INTEGER = auto()
    FLOAT = auto()
    NUMERIC = auto()
    BOOLEAN = auto()
    DATE = auto()
    DATETIME = auto()
    MANY2ONE = auto()
    ONE2MANY = auto()
    MANY2MANY = auto()
    COMPUTED = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        label: for messages.
        type: see there.
        target: model that it refers to.
        inverse: the target's field that refers back, of a ONE2MANY.
        required: must have a value.
        default: value at creation.
        through: the field over which another model's field of the same name is shown; such a field cannot be written.
        guarded: the API refuses to write it.
        digits: at most so many after the point.
    """

    label: str
    type: Type = Type.TEXT
    target: str = ""
    inverse: str = ""
    required: bool = False
    default: Any = None
    through: str = ""
    guarded: bool = False
    digits: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes:
        label: for messages.
        fields: by name.
        order: SQL order of a search that names none, as (field, direction).
        known_by: the field that outsiders know a record by; for the call log.
        unique: the field whose values must differ.
    """

    label: str
    fields: Mapping[str, Field]
    order: tuple[tuple[str, str], ...] = (("id", "ASC"),)
    known_by: str = "name"
    unique: str | None = None


def _to(label: str, target: str, *, required: bool = False) -> Field:
    return Field(label, Type.MANY2ONE, target=target, required=required)


def _lines(label: str, target: str, inverse: str) -> Field:
    return Field(label, Type.ONE2MANY, target=target, inverse=inverse)


_NAME = Field("Name", required=True)
_ACTIVE = Field("Active", Type.BOOLEAN, default=True)
_BY_NAME = (("name", "ASC"),)
_COMMON = {
    "id": Field("ID", Type.INTEGER),
    "create_date": Field("Created at", Type.DATETIME, guarded=True),
    "write_date": Field("Edited at", Type.DATETIME, guarded=True),
    "rec_name": Field("Record Name", Type.COMPUTED),
}


def _through_template(*names: str) -> dict[str, Field]:
    return {name: Field(name, through="template") for name in names}


_TABLE = {
    "country.country": Model("Country", {"name": _NAME, "code": Field("Code")}, _BY_NAME, "code"),
    "currency.currency": Model(
        "Currency",
        {
            "name": _NAME,
            "code": Field("Code", required=True),
            "symbol": Field("Symbol"),
            "numeric_code": Field("Numeric Code"),
            "rounding": Field("Rounding factor", Type.NUMERIC, default="0.01"),
            "digits": Field("Digits", Type.INTEGER, default=2),
            "active": _ACTIVE,
        },
        (("code", "ASC"),),
        "code",
    ),
    "company.company": Model(
        "Company",
        {"party": _to("Party", "party.party", required=True), "currency": _to("Currency", "currency.currency", required=True)},
        known_by="id",
    ),
    "party.party": Model(
        "Party",
        {
            "name": Field("Name"),
            "code": Field("Code", required=True),
            "active": _ACTIVE,
            "addresses": _lines("Addresses", "party.address", "party"),
            "identifiers": _lines("Identifiers", "party.identifier", "party"),
        },
        _BY_NAME,
        "code",
        "code",
    ),
    "party.address": Model(
        "Party Address",
        {
            "party": _to("Party", "party.party", required=True),
            "party_name": Field("Party Name"),
            "street": Field("Street"),
            "postal_code": Field("Postal Code"),
            "city": Field("City"),
            "country": _to("Country", "country.country"),
            "active": _ACTIVE,
        },
        (("party", "ASC"), ("id", "ASC")),
        "city",
    ),
    "party.identifier": Model(
        "Party Identifier",
        {
            "party": _to("Party", "party.party", required=True),
            "type": Field("Type"),
            "code": Field("Code", required=True),
            "active": _ACTIVE,
        },
        known_by="code",
    ),
    "product.uom": Model(
        "Unit of Measure",
        {
            "name": _NAME,
            "symbol": Field("Symbol", required=True),
            "digits": Field("Display Digits", Type.INTEGER, default=2),
            "active": _ACTIVE,
        },
        _BY_NAME,
    ),
    "product.template": Model(
        "Product Template",
        {
            "name": _NAME,
            "code": Field("Code"),
            "type": Field("Type", required=True, default="goods"),
            "list_price": Field("List Price", Type.NUMERIC, digits=4),
            "salable": Field("Salable", Type.BOOLEAN, default=False),
            "default_uom": _to("Default UoM", "product.uom", required=True),
            "sale_uom": _to("Sale UoM", "product.uom"),
            "account_category": Field("Account Category", Type.INTEGER),
            "active": _ACTIVE,
            "products": _lines("Variants", "product.product", "template"),
        },
        (("code", "ASC"), ("name", "ASC")),
        "code",
    ),
    "product.product": Model(
        "Product Variant",
        {
            "template": _to("Product Template", "product.template", required=True),
            "suffix_code": Field("Suffix Code"),
            "code": Field("Code", guarded=True),
            "description": Field("Description"),
            "active": _ACTIVE,
            **_through_template("name", "type", "list_price", "salable", "default_uom", "sale_uom", "account_category"),
        },
        (("code", "ASC"), ("id", "ASC")),
        "code",
    ),
    "account.account": Model(
        "Account",
        {"name": _NAME, "code": Field("Code"), "company": _to("Company", "company.company", required=True)},
        (("code", "ASC"), ("name", "ASC")),
        "code",
    ),
    "account.tax": Model(
        "Account Tax",
        {
            "name": _NAME,
            "description": Field("Description", required=True),
            "type": Field("Type", required=True, default="percentage"),
            "rate": Field("Rate", Type.NUMERIC),
            "company": _to("Company", "company.company", required=True),
            "credit_note_account": _to("Credit Note Account", "account.account", required=True),
            "invoice_account": _to("Invoice Account", "account.account", required=True),
            "start_date": Field("Start Date", Type.DATE),
            "end_date": Field("End Date", Type.DATE),
            "sequence": Field("Sequence", Type.INTEGER),
            "active": _ACTIVE,
        },
        (("sequence", "ASC NULLS FIRST"), ("id", "ASC")),
    ),
    "account.invoice.payment_term": Model(
        "Payment Term", {"name": _NAME, "description": Field("Description"), "active": _ACTIVE}, _BY_NAME
    ),
    "sale.sale": Model(
        "Sale",
        {
            "company": _to("Company", "company.company", required=True),
            "number": Field("Number"),
            "reference": Field("Reference"),
            "description": Field("Description"),
            "comment": Field("Comment"),
            "party": _to("Party", "party.party", required=True),
            "invoice_party": _to("Invoice Party", "party.party"),
            "shipment_party": _to("Shipment Party", "party.party"),
            "invoice_address": _to("Invoice Address", "party.address"),
            "shipment_address": _to("Shipment Address", "party.address"),
            "payment_term": _to("Payment Term", "account.invoice.payment_term"),
            "currency": _to("Currency", "currency.currency", required=True),
            "quotation_date": Field("Quotation Date", Type.DATE),
            "sale_date": Field("Sale Date", Type.DATE),
            "invoice_method": Field("Invoice Method", required=True, default="order"),
            "shipment_method": Field("Shipment Method", required=True, default="order"),
            "invoice_state": Field("Invoice State", default="none"),
            "shipment_state": Field("Shipment State", default="none"),
            "state": Field("State", default="draft", guarded=True),
            "lines": _lines("Lines", "sale.line", "sale"),
            "invoices": Field("Invoices", Type.MANY2MANY, guarded=True),  # there are none: invoices are not played here
            "untaxed_amount": Field("Untaxed", Type.COMPUTED),
            "tax_amount": Field("Tax", Type.COMPUTED),
            "total_amount": Field("Total", Type.COMPUTED),
        },
        (("sale_date", "DESC NULLS FIRST"), ("id", "DESC")),
        "reference",
    ),
    "sale.line": Model(
        "Sale Line",
        {
            "sale": _to("Sale", "sale.sale", required=True),
            "type": Field("Type", required=True, default="line"),
            "sequence": Field("Sequence", Type.INTEGER),
            "product": _to("Product", "product.product"),
            "quantity": Field("Quantity", Type.FLOAT),
            "unit": _to("Unit", "product.uom"),
            "unit_price": Field("Unit Price", Type.NUMERIC, digits=4),
            "description": Field("Description"),
            "note": Field("Note"),
            "taxes": Field("Taxes", Type.MANY2MANY, target="account.tax"),
            "amount": Field("Amount", Type.COMPUTED),
        },
        (("sale", "DESC"), ("sequence", "ASC NULLS FIRST"), ("id", "ASC")),
        "description",
    ),
}
MODELS: Mapping[str, Model] = {
    name: Model(model.label, _COMMON | dict(model.fields), model.order, model.known_by, model.unique) for name, model in _TABLE.items()
}
INDEXED = tuple(f"$.{name}" for name in ("name", "code", "reference", "party", "template", "sale", "state", "create_date", "write_date"))


def field_of(model: str, name: str) -> Field:
    """A field.

    Raises:
        KeyError: the model has none of this name.
    """
    return MODELS[model].fields[name]
