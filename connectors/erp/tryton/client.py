"""Tryton as the ERP connector uses it: orders that are safe to ask for twice, look-ups by code, and what has changed; HTTP only.

The connector's actions, reader and poller call it. It retries nothing and decides nothing about failures: `TrytonRefused` and `TrytonBusy`
say what Tryton said, everything else is httpx's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import httpx

from connectors.erp.tryton.records import (
    Changes,
    Company,
    Customer,
    NewCustomer,
    NewProduct,
    NewSale,
    NewSaleLine,
    Product,
    Record,
    Sale,
    SaleState,
    Tax,
)
from connectors.erp.tryton.rest import Page, Rest, TrytonRefused

RecordT = TypeVar("RecordT", bound=Record)

_STAMPS = ("create_date", "write_date")
_SALE = ("reference", "number", "state", "company", "untaxed_amount", "total_amount", *_STAMPS)
_TAX = ("name", "description", "rate", "company", "active", *_STAMPS)
_PRODUCT = ("code", "name", "default_uom", "active", "template.create_date", "template.write_date", *_STAMPS)
_CUSTOMER = ("code", "name", "active", "addresses.create_date", "addresses.write_date", *_STAMPS)
_COMPANY = ("party.code", "party.name", "currency.code", *_STAMPS)

_ACTIVE = frozenset({SaleState.PROCESSING, SaleState.DONE})
_BOOKED = _ACTIVE | {SaleState.QUOTATION, SaleState.CONFIRMED}

# When to look again whether a confirmed sale is processed. Tryton does it right after the confirmation, mostly before it answers.
_PROCESSING_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
_UNIT = "Unit"


class Tryton:
    """One database of one Tryton server. Safe to share among the tasks of one event loop.

    Every method may raise `TrytonRefused`, `TrytonBusy`, `httpx.HTTPError`, and `pydantic.ValidationError` for an answer of another shape.

    Args:
        http: Carries the calls; its timeouts and limits hold. It is the caller's to close.
        base_url: Address of the server without the database, e.g. `http://127.0.0.1:8000`.
        database: Name of the database.
        key: Key of a user application "rest", whose user sees every company that is worked with.
        poll_overlap: How far behind the newest change the next poll starts; longer than the longest write transaction.
    """

    def __init__(
        self, http: httpx.AsyncClient, *, base_url: str, database: str, key: str, poll_overlap: timedelta = timedelta(seconds=10)
    ) -> None:
        self._rest = Rest(http, url=f"{base_url.rstrip('/')}/{database}", key=key)
        self._poll_overlap = poll_overlap
        self._companies: dict[str, Company] = {}

    # Orders

    async def ensure_quotation(self, order: NewSale) -> Sale:
        """Book a sale, so that there is exactly one with its reference, quoted and still to be cancelled.

        It looks first and goes on from what is there: it creates and quotes, or quotes a draft that an interrupted call left, or does
        nothing. So it may be called again after any failure. A sale that went further already is returned as it is.

        Returns:
            The sale, with its number.

        Raises:
            TrytonRefused: Tryton refuses the order, or the sale is cancelled: a late order does not bring it back.
        """
        sale = await self.find_sale(order.reference) or await self._create_sale(order)
        if sale.state is SaleState.CANCELLED:
            raise TrytonRefused(f"sale {order.reference} is cancelled", httpx.codes.OK)
        return sale if sale.state in _BOOKED else await self._press(sale, "quote", _BOOKED)

    async def confirm(self, reference: str) -> Sale:
        """Release a quoted sale and wait until Tryton has taken it into processing; nothing where it has already.

        Returns:
            The sale, processing or done.

        Raises:
            TrytonRefused: No such sale (status 404), or it cannot be confirmed in its state.
        """
        sale = await self._existing_sale(reference)
        if sale.state not in _ACTIVE | {SaleState.CONFIRMED}:
            sale = await self._press(sale, "confirm", _ACTIVE | {SaleState.CONFIRMED})
        return await self._processed(sale)

    async def cancel(self, reference: str) -> Sale:
        """Cancel a sale that is a draft or quoted; nothing where it is cancelled already.

        Returns:
            The cancelled sale.

        Raises:
            TrytonRefused: No such sale (status 404), or it was confirmed and cannot be cancelled any more.
        """
        sale = await self._existing_sale(reference)
        return sale if sale.state is SaleState.CANCELLED else await self._press(sale, "cancel", frozenset({SaleState.CANCELLED}))

    async def find_sale(self, reference: str) -> Sale | None:
        """The sale with this reference; the oldest where there are several, which Tryton itself allows."""
        sales = await self.find_sales([reference])
        return sales[0] if sales else None

    async def find_sales(self, references: Iterable[str]) -> tuple[Sale, ...]:
        """Every sale with one of these references, whatever its state."""
        return tuple(Sale.of(row) for row in await self._rest.among("sale.sale", references, by="reference", fields=_SALE))

    async def count_sales(self, references: Iterable[str]) -> dict[str, int]:
        """How many sales there are by reference, whatever their state: 1 is once, 2 is twice."""
        wanted = list(references)
        counted = Counter(row["reference"] for row in await self._rest.among("sale.sale", wanted, by="reference", fields=["reference"]))
        return {reference: counted[reference] for reference in wanted}

    # Master data

    async def companies(self) -> dict[str, Company]:
        """The companies that the key's user sees, by the code of their legal entity. Read once: they stay as they are."""
        if not self._companies:
            page = await self._rest.search("company.company", [], _COMPANY)
            self._companies = {company.legal_entity: company for company in map(Company.of, page.rows)}
        return self._companies

    async def find_currency(self, code: str) -> int | None:
        """Id of the currency with this ISO 4217 code."""
        return await self._id_of("currency.currency", "code", code)

    async def find_payment_term(self, name: str) -> int | None:
        """Id of the payment term with this name, e.g. `NET30`."""
        return await self._id_of("account.invoice.payment_term", "name", name)

    async def find_customer(self, code: str) -> Customer | None:
        """The customer with this canonical id, if it is in use."""
        rows = await self._rest.among("party.party", [code], by="code", fields=_CUSTOMER)
        return Customer.of(rows[0]) if rows else None

    async def find_products(self, codes: Iterable[str]) -> dict[str, Product]:
        """The products in use with these codes, by code; those that are missing are left out."""
        rows = await self._rest.among("product.product", codes, by="code", fields=_PRODUCT)
        return {row["code"]: Product.of(row) for row in rows}

    async def find_taxes(self, codes: Iterable[str], company: int) -> dict[str, Tax]:
        """The taxes in use with these codes in one company, by code; those that are missing are left out."""
        rows = await self._rest.among("account.tax", codes, by="name", fields=_TAX, further=[["company", "=", company]])
        return {row["name"]: Tax.of(row) for row in rows}

    async def find_product(self, code: str) -> Product | None:
        """The product in use with this code."""
        return (await self.find_products([code])).get(code)

    async def find_tax(self, code: str, company: int) -> Tax | None:
        """The tax in use with this code in one company."""
        return (await self.find_taxes([code], company)).get(code)

    # What has changed

    async def changed_taxes(self, since: datetime | None) -> Changes[Tax]:
        """Taxes of every company that changed at `since` or later, those out of use among them; all where it is None."""
        page = await self._changed("account.tax", since, _TAX)
        return self._changes([Tax.of(row) for row in page.rows], page, since)

    async def changed_products(self, since: datetime | None) -> Changes[Product]:
        """As `changed_taxes`, for products."""
        page = await self._changed("product.product", since, _PRODUCT, through="template")
        return self._changes([Product.of(row) for row in page.rows], page, since)

    async def changed_customers(self, since: datetime | None) -> Changes[Customer]:
        """As `changed_taxes`, for customers: every party but the companies' own."""
        own = {company.party for company in (await self.companies()).values()}
        page = await self._changed("party.party", since, _CUSTOMER, through="addresses")
        return self._changes([Customer.of(row) for row in page.rows if row["id"] not in own], page, since)

    # Master data to be added

    async def add_tax_code(self, code: str, rate: Decimal, legal_entity: str) -> int:
        """Add a percentage tax to one company; it posts to the accounts of a tax that the company has. Nothing where the code is there.

        Args:
            code: Becomes its name.
            rate: As a fraction: 0.25 is 25 %.
            legal_entity: Code of the company.

        Returns:
            The id of the tax.

        Raises:
            KeyError: There is no company with that code.
        """
        company = (await self.companies())[legal_entity].id
        if found := await self.find_tax(code, company):
            return found.id
        accounts = ("invoice_account", "credit_note_account")
        page = await self._rest.search("account.tax", [["company", "=", company]], accounts)
        like = {name: page.rows[0][name] for name in accounts if page.rows and page.rows[0].get(name)}
        values = {"name": code, "description": code, "type": "percentage", "rate": rate, "company": company, **like}
        return int((await self._rest.create("account.tax", values, ["id"], company=company))["id"])

    async def add_products(self, products: Sequence[NewProduct], *, category: int | None = None) -> dict[str, int]:
        """Add the services that are not there yet, one by one.

        Args:
            products: What to add.
            category: The accounting category, which says how a product is booked; the first one that there is, where none is given.

        Returns:
            The id of every product, by code.
        """
        there = {code: product.id for code, product in (await self.find_products(product.code for product in products)).items()}
        unit = await self._id_of("product.uom", "name", _UNIT)
        category = category or await self._id_of("product.category", "accounting", value=True)
        booked = {} if category is None else {"account_category": category}
        shared = {"type": "service", "salable": True, "default_uom": unit, "sale_uom": unit, "products": [["create", [{}]]], **booked}
        for product in products:
            if product.code not in there:
                row = await self._rest.create("product.template", {"code": product.code, "name": product.name, **shared}, ["products"])
                there[product.code] = row["products"][0]
        return there

    async def add_customers(self, customers: Sequence[NewCustomer]) -> dict[str, int]:
        """Add the customers that are not there yet, one by one.

        Returns:
            The id of every customer, by code.
        """
        rows = await self._rest.among("party.party", (customer.code for customer in customers), by="code", fields=["code"])
        there = {row["code"]: row["id"] for row in rows}
        for customer in customers:
            if customer.code not in there:
                address = [["create", [{"city": customer.city}]]]
                row = await self._rest.create("party.party", {"code": customer.code, "name": customer.name, "addresses": address}, ["id"])
                there[customer.code] = row["id"]
        return there

    # How it is done

    async def _create_sale(self, order: NewSale) -> Sale:
        try:
            return Sale.of(await self._rest.create("sale.sale", _sale_values(order), _SALE, company=order.company))
        except httpx.HTTPStatusError:
            # Where the database keeps references unique, an earlier call that is only now done has won, and Tryton answers 500.
            if sale := await self.find_sale(order.reference):
                return sale
            raise

    async def _existing_sale(self, reference: str) -> Sale:
        if sale := await self.find_sale(reference):
            return sale
        raise TrytonRefused(f"there is no sale with the reference {reference}", httpx.codes.NOT_FOUND)

    async def _read_sale(self, sale: Sale) -> Sale:
        page = await self._rest.search("sale.sale", [["id", "=", sale.id]], _SALE)
        return Sale.of(page.rows[0])

    async def _press(self, sale: Sale, button: str, wanted: Collection[SaleState]) -> Sale:
        """Press a button; whoever pressed it a moment before us has done our work."""
        try:
            now = Sale.of(await self._rest.press("sale.sale", sale.id, button=button, fields=_SALE, company=sale.company))
        except TrytonRefused:
            now = await self._read_sale(sale)
            if now.state not in wanted:
                raise
        if now.state not in wanted:
            raise TrytonRefused(f'"{button}" left sale {now.reference} in state {now.state}', httpx.codes.OK)
        return now

    async def _processed(self, sale: Sale) -> Sale:
        for pause_s in _PROCESSING_PAUSES_S:
            if sale.state in _ACTIVE:
                return sale
            sale = await self._read_sale(sale)
            if sale.state is SaleState.CONFIRMED:
                await asyncio.sleep(pause_s)
        # Tryton that died between the confirmation and the processing never comes back to it by itself.
        return sale if sale.state in _ACTIVE else await self._press(sale, "process", _ACTIVE)

    async def _id_of(self, model: str, field: str, value: object) -> int | None:
        page = await self._rest.search(model, [[field, "=", value]], ["id"])
        return int(page.rows[0]["id"]) if page.rows else None

    async def _changed(self, model: str, since: datetime | None, fields: Sequence[str], through: str = "") -> Page:
        """Records of a model that were written at `since` or later, or whose relation `through` was."""
        stamps = [*_STAMPS, *(f"{through}.{stamp}" for stamp in _STAMPS if through)]
        domain = [] if since is None else [["OR", *([stamp, ">=", since] for stamp in stamps)]]
        return await self._rest.search(model, domain, fields, inactive=True)

    def _changes(self, records: Sequence[RecordT], page: Page, since: datetime | None) -> Changes[RecordT]:
        """A change bears the time when its transaction began, and is seen when that ends: so the cursor stays behind the server's clock."""
        ordered = tuple(sorted(records, key=lambda record: (record.changed_at, record.id)))
        if not ordered:
            return Changes((), since)
        newest = ordered[-1].changed_at
        cursor = min(newest, (page.read_at or newest) - self._poll_overlap)
        return Changes(ordered, max(cursor, since) if since else cursor)


def _sale_values(order: NewSale) -> dict[str, Any]:
    return {
        "reference": order.reference,
        "description": order.description,
        "company": order.company,
        "currency": order.currency,
        "party": order.party,
        "invoice_address": order.address,
        "shipment_address": order.address,
        "payment_term": order.payment_term,
        # Billing makes the invoices; Tryton would make its own beside them.
        "invoice_method": "manual",
        "lines": [["create", [_line_values(line) for line in order.lines]]],
    }


def _line_values(line: NewSaleLine) -> dict[str, Any]:
    return {
        "type": "line",
        "product": line.product,
        "unit": line.unit,
        "quantity": float(line.quantity),
        "unit_price": line.unit_price,
        "taxes": [["add", list(line.taxes)]],
        "description": line.description,
    }
