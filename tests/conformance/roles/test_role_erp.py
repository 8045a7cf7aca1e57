"""What the ERP adds to the cases of every action: validation, refusals by state, what polling sees. Simulated and on a real Tryton."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

import httpx
import pytest
from role_bench import Bench, Desk, fresh, order_line
from role_jobs import NO, Market, activate_order, cancel_order, create_order, market

from connectors.erp.tryton.changes import TrytonChanges
from connectors.erp.tryton.records import NewCustomer, NewProduct
from connectors.erp.tryton.rest import Rest
from integration_fabric.connector_kit.intake import Incoming
from integration_fabric.messages.base import Event
from integration_fabric.messages.errors import BadCredential, Transient, Unavailable
from integration_fabric.messages.ids import QuoteId
from integration_fabric.messages.master_data import CustomerChanged, ProductChanged, TaxCodeChanged
from integration_fabric.messages.orders import (
    ActivateOrder,
    CancelOrder,
    OrderActivated,
    OrderActivationRejected,
    OrderBooked,
    OrderCancellationRejected,
    OrderCancelled,
    OrderRejected,
)
from integration_fabric.messages.quotes import QuoteLine, QuoteRejected, QuoteValidated, ValidateQuote


def rest_of(erp: Bench) -> Rest:
    """Tryton's interface below the client: what people do in Tryton."""
    rest: Rest = erp.client._rest
    return rest


async def a_quote(erp: Bench, **changes: Any) -> ValidateQuote:
    there = await market(erp)
    values: dict[str, Any] = {
        "quote_id": QuoteId(fresh("Q")),
        "customer_id": there.customer,
        "legal_entity": NO,
        "currency": "NOK",
        "payment_terms": "NET30",
        "lines": (quote_line(there), quote_line(there)),
    }
    return ValidateQuote(**{**values, **changes})


def quote_line(there: Market, **changes: Any) -> QuoteLine:
    line = order_line(product_id=there.product, tax_code=there.tax)
    return QuoteLine(line_id=fresh("L"), **{**line.model_dump(exclude={"order_line_id", "quote_line_id"}), **changes})


def codes(reply: object) -> list[tuple[str, str, str, str]]:
    return [(problem.entity, problem.id, problem.field, problem.code) for problem in getattr(reply, "problems", ())]


# Validation


async def test_a_quote_of_known_things_is_valid(erp: Bench, desk: Desk) -> None:
    quote = await a_quote(erp)

    carried = await desk.carry_out(erp, quote)

    assert isinstance(carried.reply, QuoteValidated)
    assert (carried.reply.quote_id, carried.reply.legal_entity) == (quote.quote_id, NO)


async def test_every_problem_is_named_with_where_it_is(erp: Bench, desk: Desk) -> None:
    there = await market(erp)
    customer, product, tax, currency, terms = fresh("C"), fresh("P"), fresh("VAT"), "XXX", fresh("NET")
    lines = (quote_line(there), quote_line(there, product_id=product), quote_line(there, tax_code=tax))
    quote = await a_quote(erp, customer_id=customer, currency=currency, payment_terms=terms, lines=lines)

    carried = await desk.carry_out(erp, quote)

    assert isinstance(carried.reply, QuoteRejected)
    assert codes(carried.reply) == [
        ("customer", customer, "customer_id", "unknown-customer"),
        ("currency", currency, "currency", "unknown-currency"),
        ("payment-term", terms, "payment_terms", "unknown-payment-term"),
        ("product", product, "lines[1].product_id", "unknown-product"),
        ("tax-code", tax, "lines[2].tax_code", "unknown-tax-code"),
    ]
    assert all(problem.hint for problem in carried.reply.problems)


async def test_an_unknown_legal_entity_is_named(erp: Bench) -> None:
    reply = await erp.call(await a_quote(erp, legal_entity="MARS"))

    assert isinstance(reply, QuoteRejected)
    assert codes(reply) == [("legal-entity", "MARS", "legal_entity", "unknown-legal-entity")]


async def test_a_tax_code_of_another_company_is_unknown(erp: Bench) -> None:
    there = await market(erp)
    reply = await erp.call(await a_quote(erp, legal_entity="US", currency="USD"))

    assert codes(reply) == [("tax-code", there.tax, f"lines[{number}].tax_code", "unknown-tax-code") for number in range(2)]


async def test_a_product_that_is_not_for_sale_is_named(erp: Bench) -> None:
    there, product = await market(erp), fresh("P")
    await erp.client.add_products([NewProduct(product, "Retired plan")], category=erp.site.category)
    await put(erp, "product.template", await template_of(erp, product), {"salable": False})

    reply = await erp.call(await a_quote(erp, lines=(quote_line(there), quote_line(there, product_id=product))))

    assert codes(reply) == [("product", product, "lines[1].product_id", "unsalable-product")]


async def test_a_customer_without_an_address_is_named(erp: Bench) -> None:
    customer = fresh("C")
    await rest_of(erp).create("party.party", {"code": customer, "name": "Nowhere"}, ["id"])

    reply = await erp.call(await a_quote(erp, customer_id=customer))

    assert codes(reply) == [("customer", customer, "customer_id", "customer-without-address")]


async def test_once_the_tax_code_is_added_the_quote_is_valid(erp: Bench) -> None:
    there, tax = await market(erp), fresh("VAT")
    quote = await a_quote(erp, lines=(quote_line(there, tax_code=tax),))
    assert isinstance(await erp.call(quote), QuoteRejected)

    await erp.client.add_tax_code(tax, Decimal("0.15"), NO)

    assert isinstance(await erp.call(quote), QuoteValidated)


async def test_validation_writes_nothing(simulated_erp: Bench) -> None:
    quote = await a_quote(simulated_erp)
    before = len(await simulated_erp.control.calls("tryton"))

    await simulated_erp.call(quote)

    assert len(await simulated_erp.control.calls("tryton")) == before


# Orders


async def test_an_order_is_booked_with_number_and_sum(erp: Bench) -> None:
    command = await create_order(erp)

    reply = await erp.call(command)

    assert isinstance(reply, OrderBooked)
    assert reply.number
    assert reply.total_amount == Decimal("100.01"), "3 by 33.3333, and 0.01"
    sale = await erp.client.find_sale(command.order_id)
    assert (str(sale.id), sale.state, sale.number) == (reply.native_id, "quotation", reply.number)


async def test_an_order_says_who_pays_and_who_is_served(erp: Bench) -> None:
    command = await create_order(erp, bill_to="C-PAYER", ship_to="C-SERVED")

    await erp.call(command)

    page = await rest_of(erp).search("sale.sale", [["reference", "=", command.order_id]], ["description"])
    assert page.rows[0]["description"] == "PO 4711; bill to C-PAYER; ship to C-SERVED"


async def test_an_order_of_unknown_things_is_refused_and_nothing_is_written(erp: Bench) -> None:
    there, product = await market(erp), fresh("P")
    command = await create_order(erp, lines=(order_line(product_id=product, tax_code=there.tax),))

    reply = await erp.call(command)

    assert isinstance(reply, OrderRejected)
    assert codes(reply) == [("product", product, "lines[0].product_id", "unknown-product")]
    assert await erp.reader.orders([command.order_id]) == {command.order_id: []}


async def test_what_tryton_itself_refuses_comes_with_its_words(erp: Bench) -> None:
    there = await market(erp)
    command = await create_order(erp, lines=(order_line(product_id=there.product, tax_code=there.tax, quantity=Decimal("1.5")),))

    reply = await erp.call(command)

    assert isinstance(reply, OrderRejected)
    assert codes(reply) == [("order", command.order_id, "order_id", "refused-by-erp")]
    assert "number of digits" in reply.problems[0].hint
    assert await erp.reader.orders([command.order_id]) == {command.order_id: []}


async def test_a_late_order_does_not_bring_a_cancelled_one_back(erp: Bench) -> None:
    command = await create_order(erp)
    await erp.call(command)
    await erp.call(CancelOrder(order_id=command.order_id, legal_entity=NO, reason="r"))

    reply = await erp.call(command, message_id=fresh("m"))

    assert isinstance(reply, OrderRejected)
    assert codes(reply) == [("order", command.order_id, "order_id", "order-cancelled")]
    assert await erp.read_back(command) is None


async def test_activating_takes_the_order_into_processing(erp: Bench) -> None:
    command = await activate_order(erp)

    reply = await erp.call(command)

    assert isinstance(reply, OrderActivated)
    assert await erp.reader.orders([command.order_id]) == {command.order_id: ["processing"]}


@pytest.mark.parametrize("verb", ["activate", "cancel"])
async def test_an_order_that_is_not_there_is_a_refusal(erp: Bench, verb: str) -> None:
    order_id = fresh("SO")
    command = {
        "activate": ActivateOrder(order_id=order_id, legal_entity=NO),
        "cancel": CancelOrder(order_id=order_id, legal_entity=NO, reason="r"),
    }[verb]

    reply = await erp.call(command)

    assert isinstance(reply, OrderActivationRejected | OrderCancellationRejected)
    assert codes(reply) == [("order", order_id, "order_id", "unknown-order")]


async def test_a_cancelled_order_cannot_be_activated(erp: Bench) -> None:
    command = await cancel_order(erp)
    assert isinstance(await erp.call(command), OrderCancelled)

    reply = await erp.call(ActivateOrder(order_id=command.order_id, legal_entity=NO))

    assert isinstance(reply, OrderActivationRejected)
    assert codes(reply) == [("order", command.order_id, "order_id", "order-cancelled")]


async def test_an_activated_order_cannot_be_cancelled(erp: Bench) -> None:
    command = await activate_order(erp)
    assert isinstance(await erp.call(command), OrderActivated)

    reply = await erp.call(CancelOrder(order_id=command.order_id, legal_entity=NO, reason="r"))

    assert isinstance(reply, OrderCancellationRejected)
    assert codes(reply) == [("order", command.order_id, "order_id", "order-already-activated")]


async def test_versions_rise_with_what_happens_to_the_order(erp: Bench) -> None:
    created = await create_order(erp)

    booked = await erp.call(created)
    activated = await erp.call(ActivateOrder(order_id=created.order_id, legal_entity=NO))

    assert activated.aggregate_version > booked.aggregate_version


async def test_the_reader_shows_none_one_and_many(erp: Bench) -> None:
    commands = [await create_order(erp) for _ in range(3)]
    for command in commands:
        await erp.call(command)
    unknown = [fresh("SO") for _ in range(250)]

    found = await erp.reader.orders([*(command.order_id for command in commands), *unknown])

    assert [list(found[command.order_id]) for command in commands] == [["quotation"]] * 3
    assert all(found[each] == [] for each in unknown)


async def test_the_reader_shows_a_double(simulated_erp: Bench) -> None:
    erp = simulated_erp
    command = await create_order(erp)
    await erp.call(command)
    sale = await erp.client.find_sale(command.order_id)
    page = await rest_of(erp).search("sale.sale", [["id", "=", sale.id]], ["party", "company", "currency"])
    values = {name: page.rows[0][name] for name in ("party", "company", "currency")}
    await rest_of(erp).create("sale.sale", {"reference": command.order_id, **values}, ["id"])

    assert await erp.reader.orders([command.order_id]) == {command.order_id: ["quotation", "draft"]}


@pytest.mark.tryton
async def test_a_writer_in_the_way_is_transient(real_erp: Bench) -> None:
    command = await create_order(real_erp)
    assert real_erp.site.database_file is not None
    with closing(sqlite3.connect(real_erp.site.database_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient, match="locked"):
            await real_erp.call(command)
        other.execute("ROLLBACK")

    assert isinstance(await real_erp.call(command), OrderBooked)


# What polling sees


def events_of(events: Sequence[Incoming], kind: type[Event], key: str) -> list[Incoming]:
    return [event for event in events if type(event.body) is kind and event.body.key == key]


async def test_a_new_tax_code_is_an_event_under_its_code(erp: Bench) -> None:
    source, tax = TrytonChanges(erp.client), fresh("VAT")
    cursor = (await source.read(None)).cursor
    await erp.client.add_tax_code(tax, Decimal("0.0725"), "US")

    page = await source.read(cursor)

    (event,) = events_of(page.events, TaxCodeChanged, tax)
    assert isinstance(event.body, TaxCodeChanged)
    assert (event.body.rate, event.body.legal_entity, event.body.active, event.legal_entity) == (Decimal("0.0725"), "US", True, "US")
    assert event.native_event_id.startswith("account.tax/")


async def test_what_did_not_change_is_the_same_event_or_none(erp: Bench) -> None:
    source, tax = TrytonChanges(erp.client), fresh("VAT")
    await erp.client.add_tax_code(tax, Decimal("0.12"), "NO")

    first = await source.read(None)
    second = await source.read(first.cursor)

    (event,) = events_of(first.events, TaxCodeChanged, tax)
    assert all(again.native_event_id == event.native_event_id for again in events_of(second.events, TaxCodeChanged, tax))
    reached, later = json.loads(first.cursor), json.loads(second.cursor)
    assert set(reached) == {"taxes", "products", "customers", "periods", "accounts"}
    assert all(reached[model] and later[model] >= reached[model] for model in reached)


async def test_a_product_and_a_customer_are_events_with_their_ids(erp: Bench) -> None:
    source = TrytonChanges(erp.client)
    cursor = (await source.read(None)).cursor
    product, customer = fresh("P"), fresh("C")
    await erp.client.add_products([NewProduct(product, "New plan")], category=erp.site.category)
    native = (await erp.client.add_customers([NewCustomer(customer, "New customer", "Oslo")]))[customer]

    page = await source.read(cursor)

    (changed,) = events_of(page.events, ProductChanged, product)
    assert changed.body.model_dump(include={"name", "active"}) == {"name": "New plan", "active": True}
    (added,) = events_of(page.events, CustomerChanged, customer)
    assert isinstance(added.body, CustomerChanged)
    assert (added.body.name, added.body.native_id) == ("New customer", str(native))


async def test_a_change_is_an_event_with_a_later_version(erp: Bench) -> None:
    source, product = TrytonChanges(erp.client), fresh("P")
    await erp.client.add_products([NewProduct(product, "Plan")], category=erp.site.category)
    before = await source.read(None)

    await put(erp, "product.template", await template_of(erp, product), {"name": "Plan, renamed"})
    after = await source.read(before.cursor)

    (old,), (new,) = (events_of(page.events, ProductChanged, product) for page in (before, after))
    assert new.body.model_dump()["name"] == "Plan, renamed"
    assert new.body.aggregate_version > old.body.aggregate_version
    assert new.native_event_id != old.native_event_id


async def test_a_tax_code_out_of_use_is_an_event(erp: Bench) -> None:
    source, tax = TrytonChanges(erp.client), fresh("VAT")
    record = await erp.client.add_tax_code(tax, Decimal("0.12"), "NO")
    cursor = (await source.read(None)).cursor

    await put(erp, "account.tax", record, {"active": False})

    found = events_of((await source.read(cursor)).events, TaxCodeChanged, tax)
    assert [event.body.model_dump()["active"] for event in found] == [False]


async def test_a_cursor_that_nobody_can_read_is_as_none(erp: Bench) -> None:
    source = TrytonChanges(erp.client)

    first, again = await source.read(None), await source.read("of an older version")

    assert {event.native_event_id for event in first.events} <= {event.native_event_id for event in again.events}


async def test_polling_names_its_failures(erp: Bench) -> None:
    async with erp.opened(key="wrong") as client:
        with pytest.raises(BadCredential):
            await TrytonChanges(client).read(None)
    async with erp.opened(url="http://127.0.0.1:1") as client:
        with pytest.raises(Unavailable):
            await TrytonChanges(client).read(None)


# What people do in Tryton


async def template_of(erp: Bench, product: str) -> int:
    page = await rest_of(erp).search("product.product", [["code", "=", product]], ["template"])
    return int(page.rows[0]["template"])


async def put(erp: Bench, model: str, record: int, values: dict[str, object]) -> None:
    url = f"{erp.site.url}/{erp.site.database}/rest/model/{model}/{record}"
    async with httpx.AsyncClient(trust_env=False, timeout=15) as http:
        answer = await http.put(url, params={"f": ["id"]}, json=values, headers={"Authorization": f"bearer {erp.site.key}"})
    answer.raise_for_status()
