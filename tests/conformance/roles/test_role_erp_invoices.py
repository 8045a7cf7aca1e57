"""Invoices in the ERP's books: to the cent, in closed periods, after interruptions. Simulated and on a real Tryton."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal

import pytest
from role_bench import NOW, Bench, Desk, fresh
from role_books import CLOSING, codes, entries_of, leave_draft, rest_of
from role_jobs import (
    NO,
    cancel_order,
    create_order,
    in_books,
    invoice_line,
    market,
    payment_of,
    post_invoice,
    posted_invoice,
)

from connectors.erp.tryton.changes import TrytonChanges
from connectors.erp.tryton.records import NewProduct
from integration_fabric.messages.invoices import (
    InvoicePosted,
    PostingRejected,
)
from integration_fabric.messages.master_data import AccountChanged, AccountingPeriodChanged, TaxCodeChanged
from integration_fabric.messages.payments import PaymentApplied

# To the cent


async def test_an_invoice_is_posted_as_billing_has_it(erp: Bench) -> None:
    order = await create_order(erp)
    await erp.call(order)
    issued_on = NOW().date()
    command = await post_invoice(erp, order_id=order.order_id, due_on=issued_on + timedelta(days=7))

    reply = await erp.call(command)

    assert isinstance(reply, InvoicePosted)
    assert (reply.total_amount, reply.currency, reply.posted_on) == (command.total_amount, "NOK", issued_on)
    assert reply.number
    fields = ["state", "number", "description", "untaxed_amount", "tax_amount", "total_amount", "party.code", "company.party.code"]
    page = await rest_of(erp).search("account.invoice", [["id", "=", int(reply.native_id)]], [*fields, "lines_to_pay", "journal.type"])
    row = page.rows[0]
    assert (row["state"], row["number"], row["journal"]["type"]) == ("posted", reply.number, "revenue")
    assert (row["untaxed_amount"], row["tax_amount"], row["total_amount"]) == (
        command.total_amount - command.tax_amount,
        command.tax_amount,
        command.total_amount,
    )
    assert (row["party"]["code"], row["company"]["party"]["code"]) == (command.customer_id, "NO")
    assert command.number in row["description"]
    assert order.order_id in row["description"]
    lines = await rest_of(erp).search("account.move.line", [["id", "in", row["lines_to_pay"]]], ["maturity_date", "debit"])
    assert [(line["maturity_date"], line["debit"]) for line in lines.rows] == [(command.due_on, command.total_amount)]
    assert await entries_of(erp, command) == (command.total_amount, command.total_amount)


AWKWARD = [
    pytest.param([{"quantity": "1", "unit_price": "33.33", "amount": "33.33", "tax_amount": "8.33"}] * 3, id="each line's tax is rounded"),
    pytest.param(
        [{"quantity": "3", "unit_price": "0.335", "amount": "1.01", "tax_amount": "0.25"}], id="half up where Tryton rounds to even"
    ),
    pytest.param([{"quantity": "2.5", "unit_price": "19.99", "amount": "49.98", "tax_amount": "12.50"}], id="a quantity with decimals"),
    pytest.param([{"quantity": "1000", "unit_price": "0.0123", "amount": "12.30", "tax_amount": "3.07"}], id="four decimals of a price"),
    pytest.param([{"quantity": "3", "unit_price": "33.33", "amount": "100.00", "tax_amount": "25.00"}], id="an amount that is another"),
    pytest.param(
        [
            {"quantity": "1", "unit_price": "100", "amount": "100.00", "tax_amount": "25.00"},
            {"quantity": "1", "unit_price": "-40", "amount": "-40.00", "tax_amount": "-10.00"},
        ],
        id="a credit for unused time",
    ),
    pytest.param([{"quantity": "1", "unit_price": "50", "amount": "50.00", "tax_amount": "0"}], id="no tax"),
    pytest.param([{"quantity": "7", "unit_price": "1234567.8901", "amount": "8641975.23", "tax_amount": "2160493.81"}], id="millions"),
    pytest.param([{"quantity": "1", "unit_price": "0.0049", "amount": "0.0049", "tax_amount": "0"}] * 3, id="less than a cent each"),
]


@pytest.mark.parametrize("lines", AWKWARD)
async def test_amounts_are_billings_to_the_cent(erp: Bench, lines: list[dict[str, str]]) -> None:
    there = await market(erp)
    charged = [invoice_line(there, **{name: Decimal(value) for name, value in line.items()}) for line in lines]
    tax = sum(line.tax_amount for line in charged)
    untaxed = sum(line.amount for line in charged).quantize(Decimal("0.01"))
    command = await post_invoice(erp, *charged, total_amount=untaxed + tax, tax_amount=tax)

    reply = await erp.call(command)

    assert isinstance(reply, InvoicePosted), reply
    found = await in_books(erp, command.invoice_id)
    assert (found.total, found.tax, found.open) == (command.total_amount, command.tax_amount, command.total_amount)
    debit, credit = await entries_of(erp, command)
    assert debit == credit


async def test_the_lines_say_what_was_charged(erp: Bench) -> None:
    """Where Tryton would come to another amount, the amount stands once, and the quantity in words."""
    there = await market(erp)
    exact = invoice_line(there, quantity=Decimal(3), unit_price=Decimal("33.3333"), amount=Decimal("100.00"))
    other = invoice_line(there, quantity=Decimal("2.50"), unit_price=Decimal("40.0000"), amount=Decimal("100.00"), description="Hours")
    command = await post_invoice(erp, exact, other)
    await erp.call(command)

    rows = await rest_of(erp).search(
        "account.invoice.line", [["invoice.reference", "=", command.invoice_id]], ["quantity", "unit_price", "description"]
    )

    assert [(row["quantity"], row["unit_price"], row["description"]) for row in rows.rows] == [
        (3, Decimal("33.3333"), "Plan, a month"),
        (1, Decimal("100.00"), "Hours (2.5 x 40)"),
    ]


async def test_each_tax_code_stands_in_the_invoice_with_its_base(erp: Bench) -> None:
    there, reduced = await market(erp), fresh("VAT")
    await erp.client.add_tax_code(reduced, Decimal("0.08875"), NO)
    lines = (
        invoice_line(there, quantity=Decimal(1), unit_price=Decimal(200), amount=Decimal(200), tax_amount=Decimal("50.00")),
        invoice_line(there, quantity=Decimal(1), unit_price=Decimal(80), amount=Decimal(80), tax_amount=Decimal("7.10"), tax_code=reduced),
        invoice_line(there, quantity=Decimal(1), unit_price=Decimal(10), amount=Decimal(10), tax_amount=Decimal("0.88"), tax_code=reduced),
    )
    command = await post_invoice(erp, *lines)
    await erp.call(command)

    rows = await rest_of(erp).search(
        "account.invoice.tax", [["invoice.reference", "=", command.invoice_id]], ["tax.name", "base", "amount"]
    )

    assert [(row["tax"]["name"], row["base"], row["amount"]) for row in rows.rows] == [
        (there.tax, Decimal(200), Decimal("50.00")),
        (reduced, Decimal(90), Decimal("7.98")),
    ]


async def test_an_invoice_in_another_currency_keeps_its_amounts(erp: Bench) -> None:
    command = await post_invoice(erp, currency="USD")

    assert isinstance(await erp.call(command), InvoicePosted)
    paid = await erp.call(payment_of(command))

    assert isinstance(paid, PaymentApplied), paid
    found = await in_books(erp, command.invoice_id)
    assert (found.currency, found.total, found.open) == ("USD", command.total_amount, Decimal(0))


async def test_an_invoice_older_than_the_last_number_is_posted_on_its_day(erp: Bench) -> None:
    """Tryton numbers by date; what billing sends late still belongs to its own period."""
    await erp.call(await post_invoice(erp))
    earlier = NOW().date() - timedelta(days=40)
    command = await post_invoice(erp, issued_on=earlier, due_on=earlier + timedelta(days=14))

    reply = await erp.call(command)

    assert isinstance(reply, InvoicePosted), reply
    assert reply.posted_on == earlier
    fields = ["move.date", "move.period.name", "lines_to_pay"]
    row = (await rest_of(erp).search("account.invoice", [["reference", "=", command.invoice_id]], fields)).rows[0]
    assert row["move"]["date"] == earlier
    assert row["move"]["period"]["name"] == f"{earlier:%Y-%m}"
    line = await rest_of(erp).search("account.move.line", [["id", "in", row["lines_to_pay"]]], ["maturity_date"])
    assert line.rows[0]["maturity_date"] == command.due_on


@pytest.mark.parametrize(
    "changes",
    [{"total_amount": Decimal("125.01")}, {"tax_amount": Decimal("25.00"), "total_amount": Decimal("125.01")}],
    ids=["total", "tax"],
)
async def test_an_invoice_that_does_not_add_up_is_refused(erp: Bench, changes: dict[str, Decimal]) -> None:
    command = await post_invoice(erp, **changes)

    reply = await erp.call(command)

    assert isinstance(reply, PostingRejected)
    assert codes(reply) == [("invoice", command.invoice_id, "amount-mismatch")]
    assert await erp.reader.invoices([command.invoice_id]) == {command.invoice_id: []}


# What is missing


async def test_everything_that_is_missing_is_named_and_nothing_is_left(erp: Bench) -> None:
    there = await market(erp)
    customer, product, tax, order = fresh("C"), fresh("P"), fresh("VAT"), fresh("SO")
    lines = (invoice_line(there, product_id=product), invoice_line(there, tax_code=tax))
    command = await post_invoice(erp, *lines, customer_id=customer, currency="XXX", order_id=order)

    reply = await erp.call(command)

    assert isinstance(reply, PostingRejected)
    assert codes(reply) == [
        ("order", order, "unknown-order"),
        ("customer", customer, "unknown-customer"),
        ("currency", "XXX", "unknown-currency"),
        ("product", product, "unknown-product"),
        ("tax-code", tax, "unknown-tax-code"),
    ]
    assert all(problem.hint for problem in reply.problems)
    assert await erp.reader.invoices([command.invoice_id]) == {command.invoice_id: []}


async def test_an_unknown_legal_entity_is_named(erp: Bench) -> None:
    reply = await erp.call(await post_invoice(erp, legal_entity="MARS"))

    assert codes(reply) == [("legal-entity", "MARS", "unknown-legal-entity")]


async def test_a_cancelled_order_is_as_none(erp: Bench) -> None:
    order = await cancel_order(erp)
    await erp.call(order)

    reply = await erp.call(await post_invoice(erp, order_id=order.order_id))

    assert codes(reply) == [("order", order.order_id, "unknown-order")]


async def test_a_product_without_an_account_is_named(erp: Bench) -> None:
    there, product = await market(erp), fresh("P")
    category = await rest_of(erp).create("product.category", {"name": fresh("Category"), "accounting": True}, ["id"])
    await erp.client.add_products([NewProduct(product, "Plan")], category=category["id"])

    reply = await erp.call(await post_invoice(erp, invoice_line(there, product_id=product)))

    assert codes(reply) == [("account", product, "unknown-account")]


async def test_once_the_order_is_there_the_invoice_is_posted(erp: Bench) -> None:
    order = await create_order(erp)
    command = await post_invoice(erp, order_id=order.order_id)
    assert isinstance(await erp.call(command), PostingRejected)

    await erp.call(order)

    assert isinstance(await erp.call(command), InvoicePosted)


async def test_an_invoice_without_lines_is_refused(erp: Bench) -> None:
    command = (await post_invoice(erp)).model_copy(update={"lines": ()})

    assert codes(await erp.call(command)) == [("invoice", command.invoice_id, "no-lines")]


async def test_an_invoice_cancelled_in_the_erp_does_not_come_back(erp: Bench) -> None:
    command = await post_invoice(erp)
    draft = await leave_draft(erp, command)
    await rest_of(erp).press("account.invoice", draft, button="cancel", fields=["id"])

    reply = await erp.call(command)

    assert codes(reply) == [("invoice", command.invoice_id, "invoice-cancelled")]
    assert await erp.reader.invoices([command.invoice_id]) == {command.invoice_id: []}


# Periods


async def test_a_closed_period_holds_invoices_up_and_its_opening_lets_them_through(erp: Bench, closed: str) -> None:
    command = await post_invoice(erp, issued_on=CLOSING, due_on=CLOSING)

    refused = await erp.call(command)

    assert isinstance(refused, PostingRejected)
    assert codes(refused) == [("accounting-period", closed, "period-closed")]
    assert await erp.reader.invoices([command.invoice_id]) == {command.invoice_id: []}
    source = TrytonChanges(erp.client)
    cursor = (await source.read(None)).cursor

    await erp.client.open_period(NO, CLOSING)

    opened = [event.body for event in (await source.read(cursor)).events if event.body.key == closed]
    assert [isinstance(body, AccountingPeriodChanged) and body.is_open for body in opened][-1:] == [True]
    assert isinstance(await erp.call(command), InvoicePosted)


async def test_a_journal_that_stays_closed_when_its_period_is_reopened_is_named(erp: Bench) -> None:
    """Tryton answers as if a right were missing: without looking further every call of the ERP would stop."""
    first = await post_invoice(erp, issued_on=CLOSING, due_on=CLOSING)
    assert isinstance(await erp.call(first), InvoicePosted)
    period = await erp.client.close_period(NO, CLOSING)
    await erp.client.periods.press(period, "reopen")
    command = await post_invoice(erp, issued_on=CLOSING, due_on=CLOSING)
    source = TrytonChanges(erp.client)
    cursor = (await source.read(None)).cursor
    try:
        refused = await erp.call(command)
    finally:
        await erp.client.open_period(NO, CLOSING)

    assert isinstance(refused, PostingRejected)
    assert codes(refused) == [("accounting-period", f"NO/{period.name}", "period-closed")]
    assert "not for the journal" in refused.problems[0].hint
    assert await erp.reader.invoices([command.invoice_id]) == {command.invoice_id: []}
    changed = [event.body for event in (await source.read(cursor)).events if event.body.key == f"NO/{period.name}"]
    assert [isinstance(body, AccountingPeriodChanged) and body.is_open for body in changed][-1:] == [True], "what waits goes on"
    assert isinstance(await erp.call(command), InvoicePosted)


async def test_a_period_that_closes_between_draft_and_posting_leaves_nothing(erp: Bench) -> None:
    command = await post_invoice(erp, issued_on=CLOSING, due_on=CLOSING)
    await leave_draft(erp, command)
    await erp.client.close_period(NO, CLOSING)
    try:
        reply = await erp.call(command)
    finally:
        await erp.client.open_period(NO, CLOSING)

    assert codes(reply) == [("accounting-period", "NO/2027-03", "period-closed")]
    assert await erp.reader.invoices([command.invoice_id]) == {command.invoice_id: []}


async def test_a_date_without_a_period_is_as_a_closed_one(erp: Bench) -> None:
    reply = await erp.call(await post_invoice(erp, issued_on=date(2040, 5, 1)))

    assert codes(reply) == [("accounting-period", "NO/2040-05", "period-closed")]


# What an interrupted call left, and two at once


async def test_a_draft_is_gone_on_from(erp: Bench) -> None:
    command = await post_invoice(erp)
    draft = await leave_draft(erp, command)
    assert [found.is_posted for found in (await erp.reader.invoices([command.invoice_id]))[command.invoice_id]] == [False]

    reply = await erp.call(command)

    assert isinstance(reply, InvoicePosted)
    assert reply.native_id == str(draft)
    assert (await in_books(erp, command.invoice_id)).is_posted


async def test_a_draft_with_other_amounts_is_refused_and_taken_away(erp: Bench) -> None:
    there = await market(erp)
    command = await post_invoice(erp)
    await leave_draft(erp, await post_invoice(erp, invoice_line(there, tax_amount=Decimal("25.01")), invoice_id=command.invoice_id))

    refused = await erp.call(command)

    assert codes(refused) == [("invoice", command.invoice_id, "amount-mismatch")]
    assert await erp.reader.invoices([command.invoice_id]) == {command.invoice_id: []}
    assert isinstance(await erp.call(command), InvoicePosted)


async def test_a_posted_invoice_with_other_amounts_is_never_silent(erp: Bench) -> None:
    there = await market(erp)
    command = await posted_invoice(erp)
    other = await post_invoice(erp, invoice_line(there), invoice_id=command.invoice_id)

    assert codes(await erp.call(other)) == [("invoice", command.invoice_id, "amount-mismatch")]
    assert await erp.read_back(other) is None


async def test_the_same_invoice_twice_at_once_is_posted_once(erp: Bench, desk: Desk) -> None:
    command = await post_invoice(erp)

    carried = await asyncio.gather(*(desk.carry_out(erp, command, message_id=fresh("m")) for _ in range(2)), return_exceptions=True)

    assert any(not isinstance(each, BaseException) and isinstance(each.reply, InvoicePosted) for each in carried), carried
    await desk.carry_out(erp, command, message_id=fresh("m"))
    assert (await in_books(erp, command.invoice_id)).is_posted


# What polling sees


async def test_accounts_and_periods_are_events(erp: Bench) -> None:
    events = [event.body for event in (await TrytonChanges(erp.client).read(None)).events]

    periods = {body.period_id: body for body in events if isinstance(body, AccountingPeriodChanged)}
    assert (periods["NO/2026-02"].starts_on, periods["NO/2026-02"].ends_on) == (date(2026, 2, 1), date(2026, 2, 28))
    assert periods["US/2030-12"].is_open
    assert periods["US/2030-12"].legal_entity == "US"
    accounts = {(body.legal_entity, body.account_code): body for body in events if isinstance(body, AccountChanged)}
    assert accounts["NO", "1.1.9"].name == accounts["US", "1.1.9"].name == "Billing collections"
    assert accounts["NO", "1.2.1"].active


async def test_a_tax_rate_with_five_decimals_is_told_in_percent(erp: Bench) -> None:
    tax = fresh("VAT")
    source = TrytonChanges(erp.client)
    cursor = (await source.read(None)).cursor
    await erp.client.add_tax_code(tax, Decimal("0.08875"), NO)

    (event,) = [event.body for event in (await source.read(cursor)).events if event.body.key == tax]

    assert isinstance(event, TaxCodeChanged)
    assert (event.rate, event.percent) == (Decimal("0.0888"), Decimal("8.875"))
