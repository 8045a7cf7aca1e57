"""The landscape's master data in the ERP simulator, as a configured Tryton has it: companies, accounts, taxes, products, customers."""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from typing import Any

from connectors.simulators.landscape import Landscape, LegalEntity, landscape
from connectors.simulators.store import Store
from connectors.simulators.tryton.writer import Writer

COLLECTIONS = "Billing collections"
_CATEGORY = "Cloud services"
_DUNNING_PROCEDURE = "Payment failed"
_CURRENCIES = {"EUR": "Euro", "NOK": "Norwegian Krone", "USD": "US Dollar"}
_COUNTRIES = {"NO": "Norway", "US": "United States"}
# As in the universal chart of accounts that Tryton brings along.
_ACCOUNTS = {
    "receivable": ("1.2.1", "Accounts, Notes And Loans Receivable", {"reconcile": True, "party_required": True}),
    "collections": ("1.1.9", COLLECTIONS, {}),
    "revenue": ("4.1.1", "Goods", {}),
    "tax": ("6.3.6", "Non-Deductible VAT (GST)", {}),
}
_JOURNALS = {"revenue": ("REV", "Revenue"), "cash": ("CASH", "Cash"), "statement": ("STATEMENT", "Statement")}
_FISCAL_YEARS = range(2025, 2031)


def seed_landscape(store: Store) -> None:
    """Fill an empty store; a tax code that is missing at the start stays out."""
    _Seed(store, landscape()).sow()


class _Seed:
    """Sows one store."""

    def __init__(self, store: Store, world: Landscape) -> None:
        self._writer = Writer(store, {})
        self._world = world
        self._ids: dict[tuple[str, str], int] = {}

    def sow(self) -> None:
        self._basics()
        for entity in self._world.legal_entities:
            self._company(entity)
        self._taxes()
        self._products()
        self._customers()

    def _basics(self) -> None:
        for code, name in _COUNTRIES.items():
            self._add("country.country", code, name=name, code=code)
        for code, name in _CURRENCIES.items():
            self._add("currency.currency", code, name=name, code=code)
        for unit in self._world.units:
            self._add("product.uom", unit.code, name=unit.code, symbol=unit.symbol, digits=unit.digits)
        for kind, (code, name) in _JOURNALS.items():
            self._add("account.journal", kind, name=name, code=code, type=kind)
        self._add("account.configuration", "1")
        self._add("product.category", _CATEGORY, name=_CATEGORY, accounting=True)
        self._add("account.dunning.procedure", _DUNNING_PROCEDURE, name=_DUNNING_PROCEDURE, levels=[["create", [{}]]])
        for term in self._world.payment_terms:
            self._add("account.invoice.payment_term", term.code, name=term.code, description=term.name)

    def _company(self, entity: LegalEntity) -> None:
        party = self._add("party.party", entity.code, name=entity.name, code=entity.code)
        company = self._add("company.company", entity.code, party=party, currency=self._ids["currency.currency", entity.currency])
        for role, (code, name, kind) in _ACCOUNTS.items():
            self._add("account.account", f"{entity.code}:{role}", name=name, code=code, company=company, **kind)
        account = {role: self._ids["account.account", f"{entity.code}:{role}"] for role in _ACCOUNTS}
        default = {"company": company, "default_account_receivable": account["receivable"]}
        self._add("account.configuration.default_account", entity.code, **default)
        category = self._ids["product.category", _CATEGORY]
        self._add("product.category.account", entity.code, category=category, company=company, account_revenue=account["revenue"])
        self._collections(company, account["collections"])
        for year in _FISCAL_YEARS:
            self._fiscal_year(company, year)

    def _collections(self, company: int, account: int) -> None:
        journal = self._ids["account.journal", "statement"]
        for code in _CURRENCIES:
            values = {"journal": journal, "company": company, "account": account, "currency": self._ids["currency.currency", code]}
            self._add("account.statement.journal", f"{company}:{code}", name=f"{COLLECTIONS} {code}", validation="amount", **values)

    def _fiscal_year(self, company: int, year: int) -> None:
        span = {"start_date": date(year, 1, 1), "end_date": date(year, 12, 31)}
        identity = self._add("account.fiscalyear", f"{company}:{year}", name=str(year), company=company, **span)
        for month in range(1, 13):
            first, last = date(year, month, 1), date(year, month, monthrange(year, month)[1])
            name = f"{first:%Y-%m}"
            self._add("account.period", f"{company}:{name}", name=name, start_date=first, end_date=last, fiscalyear=identity)

    def _taxes(self) -> None:
        for tax in self._world.tax_codes:
            if tax.missing_at_start:
                continue
            account = self._ids["account.account", f"{tax.legal_entity}:tax"]
            self._add(
                "account.tax",
                tax.code,
                name=tax.code,
                description=tax.name,
                rate=tax.rate,
                company=self._ids["company.company", tax.legal_entity],
                invoice_account=account,
                credit_note_account=account,
            )

    def _products(self) -> None:
        for product in self._world.products:
            unit = self._ids["product.uom", product.unit]
            values = {"name": product.name, "code": product.sku, "type": "service", "salable": True, "list_price": product.prices["USD"]}
            category = self._ids["product.category", _CATEGORY]
            template = self._add("product.template", product.sku, default_uom=unit, sale_uom=unit, account_category=category, **values)
            self._add("product.product", product.sku, template=template)

    def _customers(self) -> None:
        for customer in self._world.customers:
            address = {"city": customer.city, "country": self._ids["country.country", customer.country]}
            self._add("party.party", customer.id, name=customer.name, code=customer.id, addresses=[["create", [address]]])

    def _add(self, model: str, key: str, **values: Any) -> int:
        record_id: int = self._writer.create(model, values)["id"]
        self._ids[model, key] = record_id
        return record_id
