"""The models of the ERP simulator's books: accounts, periods, invoices and their entries, statements, dunnings; joined into `models`."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.simulators.tryton.fields import ACTIVE, BY_NAME, NAME, Field, Model, Type, to_many, to_one

_COMPANY = to_one("Company", "company.company", required=True)


def _amount(label: str, *, required: bool = False, default: str | None = None) -> Field:
    return Field(label, Type.NUMERIC, required=required, digits=2, default=default)


def _computed(*labels: str) -> dict[str, Field]:
    return {label: Field(label, Type.COMPUTED) for label in labels}


_CHART: Mapping[str, Model] = {
    "account.account": Model(
        "Account",
        {
            "name": NAME,
            "code": Field("Code"),
            "company": _COMPANY,
            "closed": Field("Closed", Type.BOOLEAN, default=False),
            "reconcile": Field("Reconcile", Type.BOOLEAN, default=False),
            "party_required": Field("Party Required", Type.BOOLEAN, default=False),
        },
        (("code", "ASC"), ("name", "ASC")),
        "code",
    ),
    "account.configuration": Model("Account Configuration", _computed("default_account_receivable"), known_by="id"),
    # Where Tryton keeps what the configuration says for each company.
    "account.configuration.default_account": Model(
        "Account Configuration Default Account",
        {"company": _COMPANY, "default_account_receivable": to_one("Default Account Receivable", "account.account")},
        known_by="id",
    ),
    "product.category": Model(
        "Product Category",
        {
            "name": NAME,
            "accounting": Field("Accounting", Type.BOOLEAN, default=False),
            "account_parent": Field("Use Parent's accounts", Type.BOOLEAN, default=False),
            "parent": to_one("Parent", "product.category"),
            **_computed("account_revenue"),
        },
        BY_NAME,
    ),
    "product.category.account": Model(
        "Product Category Account",
        {
            "category": to_one("Category", "product.category", required=True),
            "company": _COMPANY,
            "account_revenue": to_one("Account Revenue", "account.account"),
        },
        known_by="category",
    ),
    "account.journal": Model("Account Journal", {"name": NAME, "code": Field("Code"), "type": Field("Type", required=True)}, BY_NAME),
    "account.fiscalyear": Model(
        "Fiscal Year",
        {
            "name": NAME,
            "start_date": Field("Starting Date", Type.DATE, required=True),
            "end_date": Field("Ending Date", Type.DATE, required=True),
            "company": _COMPANY,
        },
        (("start_date", "DESC"),),
    ),
    "account.period": Model(
        "Account Period",
        {
            "name": NAME,
            "start_date": Field("Start Date", Type.DATE, required=True),
            "end_date": Field("End Date", Type.DATE, required=True),
            "fiscalyear": to_one("Fiscal Year", "account.fiscalyear", required=True),
            "company": Field("Company", through="fiscalyear"),
            "state": Field("State", default="open", guarded=True),
            "type": Field("Type", required=True, default="standard"),
        },
        (("start_date", "DESC"), ("id", "DESC")),
    ),
    "account.journal.period": Model(
        "Journal - Period",
        {
            "journal": to_one("Journal", "account.journal", required=True),
            "period": to_one("Period", "account.period", required=True),
            "state": Field("State", default="open", guarded=True),
        },
    ),
}

_INVOICES: Mapping[str, Model] = {
    "account.invoice": Model(
        "Account Invoice",
        {
            "company": _COMPANY,
            "type": Field("Type", required=True, default="out"),
            "number": Field("Number", guarded=True),
            "sequence": Field("Sequence", Type.INTEGER, guarded=True),
            "reference": Field("Reference"),
            "description": Field("Description"),
            "comment": Field("Comment"),
            "state": Field("State", default="draft", guarded=True),
            "invoice_date": Field("Invoice Date", Type.DATE),
            "accounting_date": Field("Accounting Date", Type.DATE),
            "payment_term_date": Field("Payment Term Date", Type.DATE),
            "payment_term": to_one("Payment Term", "account.invoice.payment_term"),
            "party": to_one("Party", "party.party", required=True),
            "invoice_address": to_one("Invoice Address", "party.address", required=True),
            "currency": to_one("Currency", "currency.currency", required=True),
            "journal": to_one("Journal", "account.journal"),
            "account": to_one("Account", "account.account", required=True),
            "move": Field("Move", Type.MANY2ONE, target="account.move", guarded=True),
            "lines": to_many("Lines", "account.invoice.line", "invoice"),
            "taxes": to_many("Tax Lines", "account.invoice.tax", "invoice"),
            **_computed("untaxed_amount", "tax_amount", "total_amount", "amount_to_pay", "lines_to_pay", "payment_lines", "reconciled"),
        },
        (("number", "DESC NULLS FIRST"), ("id", "DESC")),
        "reference",
        once=("company", "reference", "type"),
        once_where=("type", "out"),
    ),
    "account.invoice.line": Model(
        "Account Invoice Line",
        {
            "invoice": to_one("Invoice", "account.invoice"),
            "company": _COMPANY,
            "currency": to_one("Currency", "currency.currency", required=True),
            "type": Field("Type", required=True, default="line"),
            "product": to_one("Product", "product.product"),
            "quantity": Field("Quantity", Type.FLOAT),
            "unit": to_one("Unit", "product.uom"),
            "unit_price": Field("Unit Price", Type.NUMERIC, digits=4),
            "account": to_one("Account", "account.account"),
            "description": Field("Description"),
            **_computed("amount"),
        },
        known_by="description",
    ),
    "account.invoice.tax": Model(
        "Account Invoice Tax",
        {
            "invoice": to_one("Invoice", "account.invoice", required=True),
            "description": Field("Description", required=True),
            "account": to_one("Account", "account.account", required=True),
            "base": _amount("Base", required=True, default="0"),
            "amount": _amount("Amount", required=True, default="0"),
            "manual": Field("Manual", Type.BOOLEAN, default=True),
            "tax": to_one("Tax", "account.tax"),
        },
        known_by="description",
    ),
    "account.move": Model(
        "Account Move",
        {
            "number": Field("Number", guarded=True),
            "company": _COMPANY,
            "period": to_one("Period", "account.period", required=True),
            "journal": to_one("Journal", "account.journal", required=True),
            "date": Field("Effective Date", Type.DATE, required=True),
            "description": Field("Description"),
            "origin": Field("Origin"),
            "state": Field("State", default="draft", guarded=True),
            "lines": to_many("Lines", "account.move.line", "move"),
        },
        (("date", "DESC"), ("id", "DESC")),
        "description",
    ),
    "account.move.line": Model(
        "Account Move Line",
        {
            "move": to_one("Move", "account.move", required=True),
            "account": to_one("Account", "account.account", required=True),
            "party": to_one("Party", "party.party"),
            "debit": _amount("Debit", required=True, default="0"),
            "credit": _amount("Credit", required=True, default="0"),
            "description": Field("Description"),
            "maturity_date": Field("Maturity Date", Type.DATE),
            "reconciliation": Field("Reconciliation", Type.INTEGER, guarded=True),
            "pays": Field("Invoice Payment", Type.INTEGER, guarded=True),
        },
        known_by="description",
    ),
}

_COLLECTED: Mapping[str, Model] = {
    "account.statement.journal": Model(
        "Account Statement Journal",
        {
            "name": NAME,
            "journal": to_one("Journal", "account.journal", required=True),
            "currency": to_one("Currency", "currency.currency", required=True),
            "company": _COMPANY,
            "validation": Field("Validation Type", required=True, default="balance"),
            "account": to_one("Account", "account.account", required=True),
            "active": ACTIVE,
        },
        BY_NAME,
    ),
    "account.statement": Model(
        "Account Statement",
        {
            "name": NAME,
            "company": _COMPANY,
            "journal": to_one("Journal", "account.statement.journal", required=True),
            "date": Field("Date", Type.DATE, required=True),
            "total_amount": _amount("Total Amount"),
            "state": Field("State", default="draft", guarded=True),
            "lines": to_many("Lines", "account.statement.line", "statement"),
        },
        (("id", "DESC"),),
        once=("company", "journal", "name"),
    ),
    "account.statement.line": Model(
        "Account Statement Line",
        {
            "statement": to_one("Statement", "account.statement", required=True),
            "date": Field("Date", Type.DATE, required=True),
            "number": Field("Number"),
            "description": Field("Description"),
            "amount": _amount("Amount", required=True, default="0"),
            "party": to_one("Party", "party.party"),
            "account": to_one("Account", "account.account", required=True),
            "related_to": Field("Related To"),
            "move": Field("Account Move", Type.MANY2ONE, target="account.move", guarded=True),
        },
        known_by="number",
    ),
    "account.dunning.procedure": Model(
        "Account Dunning Procedure", {"name": NAME, "levels": to_many("Levels", "account.dunning.level", "procedure")}, BY_NAME
    ),
    "account.dunning.level": Model(
        "Account Dunning Level", {"procedure": to_one("Procedure", "account.dunning.procedure", required=True)}, known_by="procedure"
    ),
    "account.dunning": Model(
        "Account Dunning",
        {
            "company": _COMPANY,
            "line": to_one("Line", "account.move.line", required=True),
            "procedure": to_one("Procedure", "account.dunning.procedure", required=True),
            "level": to_one("Level", "account.dunning.level", required=True),
            "blocked": Field("Blocked", Type.BOOLEAN, default=False),
            "state": Field("State", default="draft", guarded=True),
            "active": Field("Active", Type.BOOLEAN, default=True, guarded=True),
        },
        known_by="line",
        unique="line",
    ),
    "ir.note": Model(
        "Note", {"resource": Field("Resource", required=True), "message": Field("Message")}, (("create_date", "DESC"),), "resource"
    ),
}

BOOKS: Mapping[str, Model] = {**_CHART, **_INVOICES, **_COLLECTED}
"""By name."""
