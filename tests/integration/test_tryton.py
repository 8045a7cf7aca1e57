"""The Tryton client against a real Tryton. The server is shared and keeps its data, so every test brings codes of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from connectors.erp.tryton.client import Tryton
from connectors.erp.tryton.records import Changes, NewCustomer, NewProduct, NewSale, NewSaleLine, Record, SaleState
from connectors.erp.tryton.rest import Rest, TrytonBusy, TrytonRefused
from integration_fabric.local import tryton
from integration_fabric.local.settings import LocalSettings
from integration_fabric.local.tryton import TrytonAddress

pytestmark = pytest.mark.tryton

SETTINGS = LocalSettings()

Rewrite = Callable[[str, dict[str, object]], Awaitable[None]]


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def address() -> Iterator[TrytonAddress]:
    ran_before = tryton.running(SETTINGS)
    yield tryton.up(SETTINGS, print)
    if ran_before is None:
        tryton.down(SETTINGS)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def erp(http: httpx.AsyncClient, address: TrytonAddress) -> Tryton:
    return Tryton(http, base_url=address.url, database=address.database, key=address.key, poll_overlap=timedelta(seconds=2))


@pytest.fixture
def rest(http: httpx.AsyncClient, address: TrytonAddress) -> Rest:
    return Rest(http, url=f"{address.url}/{address.database}", key=address.key)


@dataclass(frozen=True)
class Market:
    """A customer, a product and a tax of this test alone, in one company, and an order of them that nobody has placed yet."""

    legal_entity: str
    customer: str
    product: str
    tax: str
    order: NewSale


async def open_market(erp: Tryton, address: TrytonAddress, *, legal_entity: str = "NO") -> Market:
    customer, product, tax = fresh("C"), fresh("P"), fresh("VAT")
    await erp.add_customers([NewCustomer(customer, "Customer of a test", "Oslo")])
    await erp.add_products([NewProduct(product, "Plan")], category=address.category)
    await erp.add_tax_code(tax, Decimal("0.25"), legal_entity)
    company = (await erp.companies())[legal_entity]
    party, sold, taxed = await erp.find_customer(customer), await erp.find_product(product), await erp.find_tax(tax, company.id)
    assert party
    assert party.address
    assert sold
    assert taxed
    line = NewSaleLine(sold.id, sold.default_uom, Decimal(3), Decimal("33.3333"), (taxed.id,), "Plan, yearly")
    order = NewSale(
        reference=fresh("O"),
        company=company.id,
        currency=company.currency,
        party=party.id,
        address=party.address,
        payment_term=await erp.find_payment_term("NET30") or 0,
        lines=(line, replace(line, quantity=Decimal(1), unit_price=Decimal("0.01"))),
        description="PO 4711",
    )
    return Market(legal_entity, customer, product, tax, order)


@pytest.fixture
async def market(erp: Tryton, address: TrytonAddress) -> Market:
    return await open_market(erp, address)


# The server


def test_what_is_prepared_is_not_prepared_again(address: TrytonAddress) -> None:
    told: list[str] = []

    tryton.prepare(SETTINGS, told.append)

    assert told == []


def test_a_running_server_is_joined(address: TrytonAddress) -> None:
    assert tryton.up(SETTINGS, print) == address


async def test_data_survive_a_restart_and_end_with_a_fresh_start(tmp_path: Path, http: httpx.AsyncClient) -> None:
    settings = LocalSettings(state_dir=tmp_path)
    customer = fresh("C")

    def client(address: TrytonAddress) -> Tryton:
        return Tryton(http, base_url=address.url, database=address.database, key=address.key)

    try:
        await client(tryton.up(settings, print)).add_customers([NewCustomer(customer, "C")])
        assert tryton.down(settings)
        assert tryton.running(settings) is None

        again = tryton.up(settings, print)
        assert await client(again).find_customer(customer) is not None

        anew = tryton.up(settings, print, fresh=True)
        assert anew == again
        assert await client(anew).find_customer(customer) is None

        (tmp_path / "tryton" / "digest").write_text("of an older seed")
        told: list[str] = []
        tryton.up(settings, told.append)
        assert "starts anew" in told[0]
    finally:
        tryton.down(settings)


# Master data


async def test_two_legal_entities_keep_their_own_books(erp: Tryton, address: TrytonAddress) -> None:
    companies = await erp.companies()

    assert {code: company.id for code, company in companies.items()} == address.companies
    assert {code: company.currency_code for code, company in companies.items()} == {"NO": "NOK", "US": "USD"}
    assert await erp.find_currency("USD") == companies["US"].currency


async def test_the_master_data_of_a_test_load_within_seconds(erp: Tryton, address: TrytonAddress) -> None:
    products = [NewProduct(fresh("P"), f"Product {number}") for number in range(100)]
    customers = [NewCustomer(fresh("C"), f"Customer {number}", "Oslo") for number in range(50)]
    began_s = time.monotonic()

    added = await erp.add_products(products, category=address.category)
    await erp.add_customers(customers)

    assert time.monotonic() - began_s < 25
    assert set(await erp.find_products(added)) == {product.code for product in products}
    assert await erp.add_products(products) == added, "adding again adds nothing"


async def test_what_is_not_there_is_not_found(erp: Tryton, address: TrytonAddress) -> None:
    assert await erp.find_customer(fresh("C")) is None
    assert await erp.find_product(fresh("P")) is None
    assert await erp.find_payment_term(fresh("NET")) is None
    assert await erp.find_sale(fresh("O")) is None


async def test_a_tax_code_belongs_to_one_company(erp: Tryton, address: TrytonAddress) -> None:
    code = fresh("VAT")

    tax = await erp.add_tax_code(code, Decimal("0.255"), "US")

    found = await erp.find_tax(code, address.companies["US"])
    assert found is not None
    assert (found.id, found.rate) == (tax, Decimal("0.255"))
    assert await erp.find_tax(code, address.companies["NO"]) is None
    assert await erp.add_tax_code(code, Decimal("0.255"), "US") == tax, "adding again adds nothing"


async def test_a_customer_code_cannot_be_given_twice(rest: Rest) -> None:
    code = fresh("C")
    await rest.create("party.party", {"code": code, "name": "C"}, ["id"])

    with pytest.raises(TrytonRefused, match="code on party must be unique"):
        await rest.create("party.party", {"code": code, "name": "C"}, ["id"])


# Orders


@pytest.mark.parametrize("legal_entity", ["NO", "US"])
async def test_an_order_is_booked_with_number_and_sums(erp: Tryton, address: TrytonAddress, legal_entity: str) -> None:
    market = await open_market(erp, address, legal_entity=legal_entity)

    sale = await erp.ensure_quotation(market.order)

    assert sale.state is SaleState.QUOTATION
    assert sale.company == address.companies[legal_entity]
    assert (sale.number or "").startswith(f"{legal_entity}-")
    assert (sale.untaxed_amount, sale.total_amount) == (Decimal("100.01"), Decimal("125.01"))
    assert await erp.find_sale(market.order.reference) == sale


async def test_booking_twice_books_once(erp: Tryton, market: Market) -> None:
    first = await erp.ensure_quotation(market.order)
    second = await erp.ensure_quotation(market.order)

    assert second == first
    assert await erp.count_sales([market.order.reference]) == {market.order.reference: 1}


@pytest.mark.parametrize("path", ["/sale.sale", "/quote"])
@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_booking_that_was_cut_off_is_finished_by_the_next(address: TrytonAddress, market: Market, path: str, lost: str) -> None:
    async with httpx.AsyncClient(transport=Cut(path, lost), timeout=30) as http:
        erp = Tryton(http, base_url=address.url, database=address.database, key=address.key)
        with pytest.raises(httpx.ReadError):
            await erp.ensure_quotation(market.order)

        sale = await erp.ensure_quotation(market.order)

        assert sale.state is SaleState.QUOTATION
        assert sale.number
        assert await erp.count_sales([market.order.reference]) == {market.order.reference: 1}


async def test_one_order_asked_for_several_times_at_once_is_booked_once(erp: Tryton, market: Market) -> None:
    sales = await asyncio.gather(*(erp.ensure_quotation(market.order) for _ in range(4)))

    assert len({sale.id for sale in sales}) == 1
    assert await erp.count_sales([market.order.reference]) == {market.order.reference: 1}


async def test_two_orders_at_once_are_both_booked(erp: Tryton, market: Market) -> None:
    orders = [replace(market.order, reference=fresh("O")) for _ in range(2)]

    sales = await asyncio.gather(*map(erp.ensure_quotation, orders))

    assert [sale.state for sale in sales] == [SaleState.QUOTATION] * 2
    assert len({sale.number for sale in sales}) == 2


async def test_a_value_that_tryton_refuses_comes_with_its_text(erp: Tryton, market: Market) -> None:
    line = replace(market.order.lines[0], quantity=Decimal("1.5"))

    with pytest.raises(TrytonRefused, match="number of digits") as refused:
        await erp.ensure_quotation(replace(market.order, lines=(line,)))

    assert refused.value.status == 400
    assert await erp.find_sale(market.order.reference) is None


async def test_an_order_is_cancelled_before_it_is_confirmed(erp: Tryton, market: Market) -> None:
    await erp.ensure_quotation(market.order)

    cancelled = await erp.cancel(market.order.reference)

    assert cancelled.state is SaleState.CANCELLED
    assert await erp.cancel(market.order.reference) == cancelled, "cancelling again does nothing"
    with pytest.raises(TrytonRefused, match="is cancelled"):
        await erp.ensure_quotation(market.order)
    with pytest.raises(TrytonRefused, match="confirm"):
        await erp.confirm(market.order.reference)


async def test_a_confirmed_order_is_processed_and_cannot_be_cancelled(erp: Tryton, market: Market) -> None:
    quoted = await erp.ensure_quotation(market.order)

    confirmed = await erp.confirm(market.order.reference)

    assert (confirmed.id, confirmed.number, confirmed.state) == (quoted.id, quoted.number, SaleState.PROCESSING)
    assert await erp.confirm(market.order.reference) == confirmed, "confirming again does nothing"
    assert await erp.ensure_quotation(market.order) == confirmed, "nor does booking again"
    with pytest.raises(TrytonRefused, match='You can not call "cancel"'):
        await erp.cancel(market.order.reference)
    assert await erp.find_sale(market.order.reference) == confirmed


async def test_tryton_makes_no_invoice_beside_billing(erp: Tryton, rest: Rest, market: Market) -> None:
    await erp.ensure_quotation(market.order)
    sale = await erp.confirm(market.order.reference)

    (row,) = (await rest.search("sale.sale", [["id", "=", sale.id]], ["invoices", "payment_term.name", "description"])).rows

    assert row["invoices"] == []
    assert (row["payment_term"]["name"], row["description"]) == ("NET30", "PO 4711")


async def test_an_order_that_tryton_left_unprocessed_is_processed(erp: Tryton, market: Market) -> None:
    sale = await erp.ensure_quotation(market.order)
    # As a server that died between the two leaves it: confirmed and committed, its processing lost.
    with closing(sqlite3.connect(tryton.database_file(SETTINGS))) as database, database:
        database.execute("UPDATE sale_sale SET state = 'confirmed', sale_date = quotation_date WHERE id = ?", [sale.id])

    assert (await erp.confirm(market.order.reference)).state is SaleState.PROCESSING


@pytest.mark.parametrize("verb", ["confirm", "cancel"])
async def test_an_order_that_is_not_there_is_a_refusal(erp: Tryton, address: TrytonAddress, verb: str) -> None:
    with pytest.raises(TrytonRefused) as refused:
        await getattr(erp, verb)(fresh("O"))

    assert refused.value.status == 404


# Failures


async def test_a_writer_in_the_way_is_busy(erp: Tryton, address: TrytonAddress) -> None:
    code = fresh("C")
    with closing(sqlite3.connect(tryton.database_file(SETTINGS), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TrytonBusy, match="database is locked"):
            await erp.add_customers([NewCustomer(code, "C")])
        other.execute("ROLLBACK")

    await erp.add_customers([NewCustomer(code, "C")])
    assert await erp.find_customer(code) is not None


async def test_a_wrong_key_stays_what_httpx_makes_of_it(http: httpx.AsyncClient, address: TrytonAddress) -> None:
    stranger = Tryton(http, base_url=address.url, database=address.database, key="wrong")

    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await stranger.find_sale(fresh("O"))


# What has changed


async def test_a_new_tax_code_is_seen_by_who_polls(erp: Tryton, address: TrytonAddress) -> None:
    since = (await erp.changed_taxes(None)).cursor
    code = fresh("VAT")
    tax = await erp.add_tax_code(code, Decimal("0.12"), "NO")

    changes = await erp.changed_taxes(since)

    (seen,) = [record for record in changes.records if record.code == code]
    assert (seen.id, seen.company, seen.rate, seen.active) == (tax, address.companies["NO"], Decimal("0.12"), True)
    assert tax in {record.id for record in (await erp.changed_taxes(seen.changed_at)).records}, "its own instant is not passed over"


async def test_a_tax_code_out_of_use_is_a_change(erp: Tryton, rewrite: Rewrite, address: TrytonAddress) -> None:
    code = fresh("VAT")
    tax = await erp.add_tax_code(code, Decimal("0.12"), "NO")
    since = just_after(await erp.changed_taxes(None), tax)

    await rewrite(f"account.tax/{tax}", {"active": False})

    (seen,) = [record for record in (await erp.changed_taxes(since)).records if record.id == tax]
    assert not seen.active
    assert await erp.find_tax(code, address.companies["NO"]) is None


async def test_a_product_changes_with_its_template(erp: Tryton, rest: Rest, rewrite: Rewrite) -> None:
    code = fresh("P")
    product = (await erp.add_products([NewProduct(code, "Old name")]))[code]
    (row,) = (await rest.search("product.product", [["id", "=", product]], ["template"])).rows
    since = just_after(await erp.changed_products(None), product)
    assert product not in {record.id for record in (await erp.changed_products(since)).records}

    await rewrite(f"product.template/{row['template']}", {"name": "New name"})

    (seen,) = [record for record in (await erp.changed_products(since)).records if record.id == product]
    assert (seen.code, seen.name) == (code, "New name")


async def test_a_customer_changes_with_its_addresses(erp: Tryton, rest: Rest, address: TrytonAddress) -> None:
    party = (await rest.create("party.party", {"code": fresh("C"), "name": "C"}, ["id"]))["id"]
    since = just_after(await erp.changed_customers(None), party)
    assert party not in {record.id for record in (await erp.changed_customers(since)).records}

    await rest.create("party.address", {"party": party, "city": "Bergen"}, ["id"])

    (seen,) = [record for record in (await erp.changed_customers(since)).records if record.id == party]
    assert seen.address is not None


async def test_companies_are_not_their_own_customers(erp: Tryton, address: TrytonAddress) -> None:
    codes = {record.code for record in (await erp.changed_customers(None)).records}

    assert not codes & set(address.companies)


@pytest.fixture
def rewrite(http: httpx.AsyncClient, address: TrytonAddress) -> Rewrite:
    """What a person does in Tryton: change a record that is there."""

    async def put(record: str, values: dict[str, object]) -> None:
        url = f"{address.url}/{address.database}/rest/model/{record}"
        response = await http.put(url, params={"f": ["id"]}, json=values, headers={"Authorization": f"bearer {address.key}"})
        response.raise_for_status()

    return put


def just_after(changes: Changes[Record], record: int) -> datetime:
    """The first moment at which a record had not changed any more."""
    (seen,) = [seen for seen in changes.records if seen.id == record]
    return seen.changed_at + timedelta(microseconds=1)


class Cut(httpx.AsyncHTTPTransport):
    """A connection that breaks once, at the first POST to a path: before Tryton gets the request, or before we get the answer."""

    def __init__(self, path: str, lost: str) -> None:
        super().__init__()
        self.path, self.lost, self.cut = path, lost, False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.cut or request.method != "POST" or not request.url.path.endswith(self.path):
            return await super().handle_async_request(request)
        self.cut = True
        if self.lost == "answer":
            response = await super().handle_async_request(request)
            await response.aread()
        raise httpx.ReadError("cut", request=request)
