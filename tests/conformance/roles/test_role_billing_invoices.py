"""Invoices and payments, the same on a simulated Stripe and on a real localstripe: what was sold is what intake and the reader tell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from role_bench import NOW, Bench, fresh, order_line
from role_jobs import start_subscription

from connectors.billing.stripe.changes import LocalstripeChanges, StripeChanges
from connectors.billing.stripe.intake import StripeIntake
from integration_fabric.connector_kit.actions import links_of
from integration_fabric.connector_kit.intake import Incoming, Reference
from integration_fabric.connector_kit.polling import Source
from integration_fabric.messages.base import Event
from integration_fabric.messages.errors import MissingParent
from integration_fabric.messages.ids import System
from integration_fabric.messages.invoices import DisputeOpened, InvoiceIssued
from integration_fabric.messages.payments import PaymentFailed, PaymentPosted
from integration_fabric.messages.quotes import ChargeType
from integration_fabric.messages.subscriptions import StartSubscription, SubscriptionActivated, SubscriptionRejected

GOOD, ATTACHES_AND_FAILS = "pm_card_visa", "pm_card_chargeCustomerFail"
TODAY = NOW().date()


async def charged_by_card(bench: Bench, **changes: Any) -> StartSubscription:
    """A command whose payer has a card that works."""
    command = await start_subscription(bench, payment_terms="CARD", **changes)
    await bench.client.create_customer(command.bill_to, key=fresh("key"), payment_method=GOOD)
    return command


async def activated(bench: Bench, command: StartSubscription) -> SubscriptionActivated:
    reply = await bench.call(command)
    assert isinstance(reply, SubscriptionActivated), reply
    return reply


def links(reply: Event) -> Mapping[Reference, str]:
    """What the effect log keeps of a reply."""
    return {Reference(link.entity, link.native_id): link.canonical_id for link in links_of(reply, System("billing"))}


def source_of(bench: Bench) -> Source:
    return LocalstripeChanges(bench.client.api) if bench.vendor == "localstripe" else StripeChanges(bench.client.api)


async def told(bench: Bench, reply: SubscriptionActivated) -> list[Incoming]:
    """All that the account's events say of one subscription, each thing once."""
    found: dict[tuple[type, str], Incoming] = {}
    for payload in await payloads(source_of(bench)):
        if reply.native_id not in payload.decode():
            continue
        for incoming in StripeIntake().events(payload, links(reply)):
            identity = (type(incoming.body), incoming.native_event_id)
            assert found.setdefault(identity, incoming) == incoming, "what has one id says one thing"
    return list(found.values())


async def payloads(source: Source) -> Sequence[bytes]:
    found, cursor, more = [], None, True
    while more:
        page = await source.read(cursor)
        found += [each.payload for each in page.payloads]
        cursor, more = page.cursor, page.more
    return found


async def only(bench: Bench, reply: SubscriptionActivated, kind: type[Event]) -> Any:
    (body,) = [each.body for each in await told(bench, reply) if isinstance(each.body, kind)]
    return body


# The first invoice


async def test_a_subscription_that_has_begun_is_billed_and_paid(invoicing: Bench) -> None:
    command = await charged_by_card(invoicing)

    reply = await activated(invoicing, command)

    issued, paid = await only(invoicing, reply, InvoiceIssued), await only(invoicing, reply, PaymentPosted)
    assert (issued.subscription_id, issued.order_id, issued.customer_id) == (command.subscription_id, command.order_id, command.bill_to)
    assert (issued.legal_entity, issued.currency) == ("NO", "NOK")
    # 3 x 33.3333 and 3 x 0.0125, each rounded once, with 25 % on each
    assert sorted((line.quantity, line.unit_price, line.amount, line.tax_amount) for line in issued.lines) == [
        (Decimal(3), Decimal("0.0125"), Decimal("0.04"), Decimal("0.01")),
        (Decimal(3), Decimal("33.3333"), Decimal("100.00"), Decimal("25.00")),
    ]
    assert (issued.total_amount, issued.tax_amount) == (Decimal("125.05"), Decimal("25.01"))
    assert {line.order_line_id for line in issued.lines} == {line.order_line_id for line in command.lines[:2]}, "usage is billed later"
    assert {line.tax_code for line in issued.lines} == {"NO-VAT-25"}
    assert {line.price_book_version for line in issued.lines} == {"2026-1"}
    assert (paid.invoice_id, paid.amount, paid.currency, paid.legal_entity) == (issued.invoice_id, Decimal("125.05"), "NOK", "NO")


async def test_whole_amounts_are_sold_by_the_unit(invoicing: Bench) -> None:
    line = order_line(quantity=Decimal(7), unit_price=Decimal("12.34"))
    issued = await only(invoicing, await activated(invoicing, await charged_by_card(invoicing, lines=(line,))), InvoiceIssued)

    (found,) = issued.lines
    assert (found.quantity, found.unit_price, found.amount) == (Decimal(7), Decimal("12.34"), Decimal("86.38"))
    assert (found.product_id, found.order_line_id) == (line.product_id, line.order_line_id)
    assert found.period_starts_on == line.starts_on


async def test_nothing_is_billed_before_it_begins(invoicing: Bench) -> None:
    lines = (order_line(starts_on=TODAY + timedelta(days=40)),)
    command = await charged_by_card(invoicing, lines=lines)

    reply = await activated(invoicing, command)

    assert await told(invoicing, reply) == []
    assert list((await invoicing.reader.invoices([command.subscription_id]))[command.subscription_id]) == []


async def test_usage_alone_is_not_billed_in_advance(invoicing: Bench) -> None:
    command = await charged_by_card(invoicing, lines=(order_line(charge_type=ChargeType.USAGE),))

    assert await told(invoicing, await activated(invoicing, command)) == []


async def test_a_subscription_of_many_lines_is_one_invoice(invoicing: Bench) -> None:
    lines = tuple(order_line(number, unit_price=Decimal(number)) for number in range(1, 13))

    issued = await only(invoicing, await activated(invoicing, await charged_by_card(invoicing, lines=lines)), InvoiceIssued)

    assert [line.order_line_id for line in issued.lines] == [line.order_line_id for line in lines]
    assert issued.total_amount == sum(3 * line.unit_price for line in lines) * Decimal("1.25")


# What has no parent


async def test_an_invoice_waits_for_its_subscription(invoicing: Bench) -> None:
    reply = await activated(invoicing, await charged_by_card(invoicing))
    nobody = links(reply.model_copy(update={"native_id": "sub_other"}))
    theirs = next(
        payload for payload in await payloads(source_of(invoicing)) if b'"invoice.' in payload and reply.native_id in payload.decode()
    )

    with pytest.raises(MissingParent, match=reply.native_id):
        StripeIntake().events(theirs, nobody)


# Later invoices


async def test_the_next_period_is_billed_and_paid_when_asked_for(invoicing: Bench) -> None:
    command = await charged_by_card(invoicing)
    reply = await activated(invoicing, command)

    invoice = await invoicing.client.bill_again(command.subscription_id)

    first, second = [each.body for each in await told(invoicing, reply) if isinstance(each.body, InvoiceIssued)]
    assert second.invoice_id == invoice
    assert second.total_amount == first.total_amount
    monthly = [next(line for line in issued.lines if line.unit_price > 1) for issued in (first, second)]
    assert monthly[1].period_starts_on > monthly[0].period_starts_on, "one period after the other"
    assert [type(each.body) for each in await told(invoicing, reply)].count(PaymentPosted) == 1, "it is not collected by itself"

    assert await invoicing.client.pay_invoice(invoice) is True

    paid = [each.body for each in await told(invoicing, reply) if isinstance(each.body, PaymentPosted)]
    assert [each.invoice_id for each in paid] == [first.invoice_id, invoice]
    assert len({each.payment_id for each in paid}) == 2


async def test_a_card_that_fails_is_told_each_time_until_another_one_pays(invoicing: Bench) -> None:
    command = await charged_by_card(invoicing)
    reply = await activated(invoicing, command)
    await invoicing.client.set_payment_method(command.bill_to, ATTACHES_AND_FAILS)
    invoice = await invoicing.client.bill_again(command.subscription_id)

    assert [await invoicing.client.pay_invoice(invoice) for _ in range(2)] == [False, False]
    await invoicing.client.set_payment_method(command.bill_to, GOOD)
    assert await invoicing.client.pay_invoice(invoice) is True

    found = [each.body for each in await told(invoicing, reply)]
    failed = [body for body in found if isinstance(body, PaymentFailed)]
    assert [(body.invoice_id, body.attempt, body.customer_id, body.amount) for body in failed] == [
        (invoice, 1, command.bill_to, Decimal("125.05")),
        (invoice, 2, command.bill_to, Decimal("125.05")),
    ]
    assert len({body.payment_id for body in failed}) == 2
    assert [body.amount for body in found if isinstance(body, PaymentPosted) and body.invoice_id == invoice] == [Decimal("125.05")]
    assert [body.invoice_id for body in found if isinstance(body, InvoiceIssued)].count(invoice) == 1


async def test_a_declined_card_leaves_neither_subscription_nor_invoice(invoicing: Bench) -> None:
    command = await charged_by_card(invoicing)
    await invoicing.client.set_payment_method(command.bill_to, ATTACHES_AND_FAILS)

    reply = await invoicing.call(command)

    assert isinstance(reply, SubscriptionRejected)
    assert [(problem.code, problem.entity, problem.field) for problem in reply.problems] == [("card-declined", "customer", "bill_to")]
    assert list((await invoicing.reader.subscriptions([command.subscription_id]))[command.subscription_id]) == []
    assert list((await invoicing.reader.invoices([command.subscription_id]))[command.subscription_id]) == []


# Refusals


async def test_a_tax_code_that_billing_does_not_know_is_refused_until_it_does(invoicing: Bench) -> None:
    code = fresh("VAT")
    command = (await charged_by_card(invoicing)).model_copy(update={"lines": (order_line(), order_line(tax_code=code))})

    reply = await invoicing.call(command)

    assert isinstance(reply, SubscriptionRejected)
    assert [(problem.entity, problem.id, problem.field, problem.code) for problem in reply.problems] == [
        ("tax-code", code, "lines[1].tax_code", "unknown-tax-code")
    ]
    assert list((await invoicing.reader.subscriptions([command.subscription_id]))[command.subscription_id]) == []
    await invoicing.client.ensure_tax_rate(code, Decimal("0.125"), key=fresh("tax"))
    issued = await only(invoicing, await activated(invoicing, command), InvoiceIssued)
    assert [line.tax_amount for line in issued.lines] == [Decimal("25.00"), Decimal("12.50")]


async def test_a_tax_rate_that_has_changed_is_the_one_that_counts(invoicing: Bench) -> None:
    code = fresh("VAT")
    first = await invoicing.client.ensure_tax_rate(code, Decimal("0.25"), key=fresh("tax"))
    assert await invoicing.client.ensure_tax_rate(code, Decimal("0.250"), key=fresh("tax")) == first

    second = await invoicing.client.ensure_tax_rate(code, Decimal("0.12"), key=fresh("tax"))

    async with invoicing.opened() as another:
        assert await another.find_tax_rates([code, "nowhere"]) == {code: second}
    assert second != first


# Reading


async def test_the_reader_shows_what_was_issued_and_paid(invoicing: Bench) -> None:
    command, none = await charged_by_card(invoicing), fresh("SUB")
    await activated(invoicing, command)
    open_still = await invoicing.client.bill_again(command.subscription_id)

    found = await invoicing.reader.invoices([command.subscription_id, none])

    first, second = found[command.subscription_id]
    assert list(found[none]) == []
    assert (first.currency, first.total, first.tax, first.paid) == ("NOK", Decimal("125.05"), Decimal("25.01"), Decimal("125.05"))
    assert (second.invoice_id, second.total, second.paid) == (open_still, Decimal("125.05"), Decimal(0))


# Only the one or the other can do that


async def test_localstripe_refuses_who_has_no_card(make_bench: Any) -> None:
    bench: Bench = await make_bench("localstripe", "real")
    command = (await charged_by_card(bench)).model_copy(update={"bill_to": fresh("C")})

    reply = await bench.call(command)

    assert isinstance(reply, SubscriptionRejected)
    assert [(problem.entity, problem.id, problem.code) for problem in reply.problems] == [
        ("customer", command.bill_to, "no-payment-method")
    ]


async def test_a_dispute_is_opened_on_the_invoice_of_its_charge(make_bench: Any) -> None:
    bench: Bench = await make_bench("stripe")
    command = await start_subscription(bench, payment_terms="CARD")
    await bench.client.create_customer(command.bill_to, key=fresh("key"), payment_method="pm_card_createDispute")

    reply = await activated(bench, command)

    ours = [payload for payload in await payloads(source_of(bench)) if command.order_id in payload.decode()]
    bodies = [each.body for payload in ours for each in StripeIntake().events(payload, links(reply))]
    (invoice,) = {body.invoice_id for body in bodies if isinstance(body, InvoiceIssued)}
    (disputed,) = [body for body in bodies if isinstance(body, DisputeOpened)]
    assert (disputed.invoice_id, disputed.amount, disputed.legal_entity) == (invoice, Decimal("125.05"), "NO")


async def test_invoices_are_sent_to_who_pays_later(make_bench: Any) -> None:
    bench: Bench = await make_bench("stripe")
    reply = await activated(bench, await start_subscription(bench, payment_terms="NET14"))

    found = [each.body for each in await told(bench, reply)]

    (issued,) = found
    assert isinstance(issued, InvoiceIssued)
    assert issued.due_on - issued.issued_on == timedelta(days=14)


async def test_first_orders_of_one_payer_make_one_customer_there_too(make_bench: Any) -> None:
    bench: Bench = await make_bench("localstripe", "real")
    payer = fresh("C")

    made = await asyncio.gather(*(bench.client.create_customer(payer, key=fresh("key"), payment_method=GOOD) for _ in range(5)))

    assert len({customer.id for customer in made}) == 1
