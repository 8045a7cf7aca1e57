"""The ERP simulator's models as a table: fields, targets, what is required. The books' models are in `book_models`.

A subset of Tryton 8.2: modules party, product, account, account_invoice, account_statement, account_dunning, sale, company, currency and
country. Names and labels are Tryton's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from connectors.simulators.tryton.book_models import BOOKS
from connectors.simulators.tryton.fields import ACTIVE, BY_NAME, COMMON, NAME, Field, Model, Type, through_template, to_many, to_one

_TABLE = {
    "country.country": Model("Country", {"name": NAME, "code": Field("Code")}, BY_NAME, "code"),
    "currency.currency": Model(
        "Currency",
        {
            "name": NAME,
            "code": Field("Code", required=True),
            "symbol": Field("Symbol"),
            "numeric_code": Field("Numeric Code"),
            "rounding": Field("Rounding factor", Type.NUMERIC, default="0.01"),
            "digits": Field("Digits", Type.INTEGER, default=2),
            "active": ACTIVE,
        },
        (("code", "ASC"),),
        "code",
    ),
    "company.company": Model(
        "Company",
        {"party": to_one("Party", "party.party", required=True), "currency": to_one("Currency", "currency.currency", required=True)},
        known_by="id",
    ),
    "party.party": Model(
        "Party",
        {
            "name": Field("Name"),
            "code": Field("Code", required=True),
            "active": ACTIVE,
            "addresses": to_many("Addresses", "party.address", "party"),
            "identifiers": to_many("Identifiers", "party.identifier", "party"),
            "account_receivable": Field("Account Receivable", Type.COMPUTED),
        },
        BY_NAME,
        "code",
        "code",
    ),
    "party.address": Model(
        "Party Address",
        {
            "party": to_one("Party", "party.party", required=True),
            "party_name": Field("Party Name"),
            "street": Field("Street"),
            "postal_code": Field("Postal Code"),
            "city": Field("City"),
            "country": to_one("Country", "country.country"),
            "active": ACTIVE,
        },
        (("party", "ASC"), ("id", "ASC")),
        "city",
    ),
    "party.identifier": Model(
        "Party Identifier",
        {
            "party": to_one("Party", "party.party", required=True),
            "type": Field("Type"),
            "code": Field("Code", required=True),
            "active": ACTIVE,
        },
        known_by="code",
    ),
    "product.uom": Model(
        "Unit of Measure",
        {
            "name": NAME,
            "symbol": Field("Symbol", required=True),
            "digits": Field("Display Digits", Type.INTEGER, default=2),
            "active": ACTIVE,
        },
        BY_NAME,
    ),
    "product.template": Model(
        "Product Template",
        {
            "name": NAME,
            "code": Field("Code"),
            "type": Field("Type", required=True, default="goods"),
            "list_price": Field("List Price", Type.NUMERIC, digits=4),
            "salable": Field("Salable", Type.BOOLEAN, default=False),
            "default_uom": to_one("Default UoM", "product.uom", required=True),
            "sale_uom": to_one("Sale UoM", "product.uom"),
            "account_category": to_one("Account Category", "product.category"),
            "active": ACTIVE,
            "products": to_many("Variants", "product.product", "template"),
        },
        (("code", "ASC"), ("name", "ASC")),
        "code",
    ),
    "product.product": Model(
        "Product Variant",
        {
            "template": to_one("Product Template", "product.template", required=True),
            "suffix_code": Field("Suffix Code"),
            "code": Field("Code", guarded=True),
            "description": Field("Description"),
            "active": ACTIVE,
            **through_template("name", "type", "list_price", "salable", "default_uom", "sale_uom", "account_category"),
        },
        (("code", "ASC"), ("id", "ASC")),
        "code",
    ),
    "account.tax": Model(
        "Account Tax",
        {
            "name": NAME,
            "description": Field("Description", required=True),
            "type": Field("Type", required=True, default="percentage"),
            "rate": Field("Rate", Type.NUMERIC),
            "company": to_one("Company", "company.company", required=True),
            "credit_note_account": to_one("Credit Note Account", "account.account", required=True),
            "invoice_account": to_one("Invoice Account", "account.account", required=True),
            "start_date": Field("Start Date", Type.DATE),
            "end_date": Field("End Date", Type.DATE),
            "sequence": Field("Sequence", Type.INTEGER),
            "active": ACTIVE,
        },
        (("sequence", "ASC NULLS FIRST"), ("id", "ASC")),
    ),
    "account.invoice.payment_term": Model("Payment Term", {"name": NAME, "description": Field("Description"), "active": ACTIVE}, BY_NAME),
    "sale.sale": Model(
        "Sale",
        {
            "company": to_one("Company", "company.company", required=True),
            "number": Field("Number"),
            "reference": Field("Reference"),
            "description": Field("Description"),
            "comment": Field("Comment"),
            "party": to_one("Party", "party.party", required=True),
            "invoice_party": to_one("Invoice Party", "party.party"),
            "shipment_party": to_one("Shipment Party", "party.party"),
            "invoice_address": to_one("Invoice Address", "party.address"),
            "shipment_address": to_one("Shipment Address", "party.address"),
            "payment_term": to_one("Payment Term", "account.invoice.payment_term"),
            "currency": to_one("Currency", "currency.currency", required=True),
            "quotation_date": Field("Quotation Date", Type.DATE),
            "sale_date": Field("Sale Date", Type.DATE),
            "invoice_method": Field("Invoice Method", required=True, default="order"),
            "shipment_method": Field("Shipment Method", required=True, default="order"),
            "invoice_state": Field("Invoice State", default="none"),
            "shipment_state": Field("Shipment State", default="none"),
            "state": Field("State", default="draft", guarded=True),
            "lines": to_many("Lines", "sale.line", "sale"),
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
            "sale": to_one("Sale", "sale.sale", required=True),
            "type": Field("Type", required=True, default="line"),
            "sequence": Field("Sequence", Type.INTEGER),
            "product": to_one("Product", "product.product"),
            "quantity": Field("Quantity", Type.FLOAT),
            "unit": to_one("Unit", "product.uom"),
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
MODELS: Mapping[str, Model] = {name: replace(model, fields=COMMON | dict(model.fields)) for name, model in (_TABLE | dict(BOOKS)).items()}
INDEXED = tuple(
    f"$.{name}"
    for name in (
        *("name", "code", "reference", "party", "template", "sale", "state", "create_date", "write_date"),
        *("invoice", "move", "pays", "line", "statement", "resource", "related_to", "category"),
    )
)


def field_of(model: str, name: str) -> Field:
    """A field.

    Raises:
        KeyError: the model has none of this name.
    """
    return MODELS[model].fields[name]
