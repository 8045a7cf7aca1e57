"""The landscape's master data in the ERP simulator, as a configured Tryton has it: companies, accounts, taxes, products, customers."""

from __future__ import annotations

from typing import Any

from connectors.simulators.landscape import Landscape, LegalEntity, landscape
from connectors.simulators.store import Store
from connectors.simulators.tryton.writer import Writer

_CURRENCIES = {"EUR": "Euro", "NOK": "Norwegian Krone", "USD": "US Dollar"}
_COUNTRIES = {"NO": "Norway", "US": "United States"}
_ACCOUNTS = {"receivable": ("1500", "Main Receivable"), "revenue": ("3000", "Main Revenue"), "tax": ("2700", "Main Tax")}


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
        for term in self._world.payment_terms:
            self._add("account.invoice.payment_term", term.code, name=term.code, description=term.name)

    def _company(self, entity: LegalEntity) -> None:
        party = self._add("party.party", entity.code, name=entity.name, code=entity.code)
        company = self._add("company.company", entity.code, party=party, currency=self._ids["currency.currency", entity.currency])
        for role, (code, name) in _ACCOUNTS.items():
            self._add("account.account", f"{entity.code}:{role}", name=name, code=code, company=company)

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
            template = self._add("product.template", product.sku, default_uom=unit, sale_uom=unit, **values)
            self._add("product.product", product.sku, template=template)

    def _customers(self) -> None:
        for customer in self._world.customers:
            address = {"city": customer.city, "country": self._ids["country.country", customer.country]}
            self._add("party.party", customer.id, name=customer.name, code=customer.id, addresses=[["create", [address]]])

    def _add(self, model: str, key: str, **values: Any) -> int:
        record_id: int = self._writer.create(model, values)["id"]
        self._ids[model, key] = record_id
        return record_id
