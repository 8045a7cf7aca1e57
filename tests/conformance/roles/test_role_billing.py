"""What billing adds to the cases of every action: charges, refusals, prices, and what is cancelled already."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from role_bench import NOW, Bench, fresh, order_line
from role_jobs import cancel_subscription, start_subscription

from connectors.billing.stripe.client import Stripe
from connectors.simulators.control import SimulatorControl
from integration_fabric.messages.base import Event
from integration_fabric.messages.errors import Transient, VendorDrift
from integration_fabric.messages.quotes import BillingPeriod
from integration_fabric.messages.subscriptions import (
    CancelSubscription,
    SubscriptionActivated,
    SubscriptionCancellationRejected,
    SubscriptionCancelled,
    SubscriptionRejected,
)

DECLINED = "pm_card_chargeDeclined"


@pytest.fixture
async def billing(make_bench: Any) -> Bench:
    bench: Bench = await make_bench("stripe")
    return bench


async def subscription_of(bench: Bench, subscription_id: str) -> dict[str, Any]:
    (record,) = await bench.control.records("stripe", "subscription", external_id=subscription_id)
    return record.body


# Charges


async def test_each_line_is_charged_as_it_was_sold(billing: Bench) -> None:
    command = await start_subscription(billing)

    reply = await billing.call(command)

    assert isinstance(reply, SubscriptionActivated)
    found = await subscription_of(billing, command.subscription_id)
    assert found["id"] == reply.native_id
    assert found["metadata"]["subscription_id"] == command.subscription_id
    assert found["metadata"]["order_id"] == command.order_id
    items = [
        (item["price"]["unit_amount_decimal"], item["price"]["recurring"]["interval"], item["price"]["recurring"]["usage_type"])
        for item in found["items"]["data"]
    ]
    assert items == [("3333.33", "month", "licensed"), ("1.25", "year", "licensed"), ("3333.33", "month", "metered")]
    assert [item["quantity"] for item in found["items"]["data"]][:2] == [3, 3]
    assert [item["metadata"]["order_line_id"] for item in found["items"]["data"]] == [line.order_line_id for line in command.lines]
    assert {item["price"]["currency"] for item in found["items"]["data"]} == {"nok"}


async def test_who_has_no_payment_method_gets_invoices(billing: Bench) -> None:
    command = await start_subscription(billing, payment_terms="NET14")

    await billing.call(command)

    found = await subscription_of(billing, command.subscription_id)
    assert (found["collection_method"], found["days_until_due"]) == ("send_invoice", 14)


@pytest.mark.parametrize("days", [-3, 30])
async def test_it_is_charged_from_its_first_day_on(billing: Bench, days: int) -> None:
    starts_on = (NOW() + timedelta(days=days)).date()
    midnight_s = int(datetime(starts_on.year, starts_on.month, starts_on.day, tzinfo=UTC).timestamp())
    command = await start_subscription(billing, lines=(order_line(starts_on=starts_on),))

    await billing.call(command)

    found = await subscription_of(billing, command.subscription_id)
    assert (found["backdate_start_date"], found["trial_end"]) == ((midnight_s, None) if days < 0 else (None, midnight_s))


async def test_first_orders_of_one_payer_make_one_customer(billing: Bench) -> None:
    payer = fresh("C")
    commands = [await start_subscription(billing, bill_to=payer) for _ in range(5)]

    replies = await asyncio.gather(*map(billing.call, commands))

    assert {type(reply) for reply in replies} == {SubscriptionActivated}
    assert len(await billing.control.records("stripe", "customer", external_id=payer)) == 1


async def test_a_product_is_there_once_for_all_orders(billing: Bench) -> None:
    product = fresh("P")
    commands = [await start_subscription(billing, lines=(order_line(product_id=product), order_line(product_id=product))) for _ in range(3)]

    replies = await asyncio.gather(*map(billing.call, commands))

    assert {type(reply) for reply in replies} == {SubscriptionActivated}
    assert len(await billing.control.records("stripe", "product", external_id=product)) == 1


async def test_an_order_line_sold_anew_at_another_price_is_charged_at_that(billing: Bench) -> None:
    line = order_line()
    await billing.call(await start_subscription(billing, lines=(line,)))
    dearer = await start_subscription(billing, lines=(line.model_copy(update={"unit_price": Decimal("40.00")}),))

    await billing.call(dearer)

    (item,) = (await subscription_of(billing, dearer.subscription_id))["items"]["data"]
    assert item["price"]["unit_amount_decimal"] == "4000"


# Refusals


async def test_a_declined_card_is_a_refusal_and_leaves_no_subscription(billing: Bench) -> None:
    command = await start_subscription(billing)
    await billing.client.create_customer(command.bill_to, key=fresh("key"), payment_method=DECLINED)

    reply = await billing.call(command)

    assert isinstance(reply, SubscriptionRejected)
    (problem,) = reply.problems
    assert (problem.code, problem.entity, problem.id, problem.field) == ("card-declined", "customer", command.bill_to, "bill_to")
    assert "declined" in problem.hint
    assert await billing.control.records("stripe", "subscription", external_id=command.subscription_id) == []


async def test_a_card_that_works_is_charged(billing: Bench) -> None:
    command = await start_subscription(billing, payment_terms="CARD")
    await billing.client.create_customer(command.bill_to, key=fresh("key"), payment_method="pm_card_visa")

    assert isinstance(await billing.call(command), SubscriptionActivated)

    assert (await subscription_of(billing, command.subscription_id))["collection_method"] == "charge_automatically"


async def test_what_cannot_be_charged_is_refused_in_full_before_anything_is_written(billing: Bench) -> None:
    lines = (order_line(), order_line(quantity=Decimal("1.5")), order_line(billing_period=BillingPeriod.NONE))
    command = await start_subscription(billing, lines=lines, payment_terms="SOON")
    before = len(await billing.control.calls("stripe"))

    reply = await billing.call(command)

    assert isinstance(reply, SubscriptionRejected)
    assert [(problem.code, problem.field) for problem in reply.problems] == [
        ("fractional-quantity", "lines[1].quantity"),
        ("unknown-billing-period", "lines[2].billing_period"),
        ("unknown-payment-term", "payment_terms"),
    ]
    assert len(await billing.control.calls("stripe")) == before


# Keys


async def test_two_requests_with_one_key_at_once_are_one(billing: Bench, faults: SimulatorControl) -> None:
    command, message_id = await start_subscription(billing), fresh("m")
    await faults.set_faults("stripe", latency_ms=100)

    ended = await asyncio.gather(*(billing.call(command, message_id=message_id) for _ in range(2)), return_exceptions=True)

    assert all(isinstance(each, Event | Transient) for each in ended), ended
    assert any(isinstance(each, Transient) for each in ended), "Stripe says 409 to the second: it may well work in a moment"
    await faults.set_faults("stripe", latency_ms=0)
    assert isinstance(await billing.call(command, message_id=message_id), SubscriptionActivated)
    assert len(await billing.control.records("stripe", "subscription", external_id=command.subscription_id)) == 1


async def test_a_key_that_was_used_for_something_else_is_drift(billing: Bench) -> None:
    command, message_id = await start_subscription(billing), fresh("m")
    stripe: Stripe = billing.client
    await stripe.create_customer(fresh("C"), key=f"{message_id}:subscription")

    with pytest.raises(VendorDrift, match="same parameters"):
        await billing.call(command, message_id=message_id)


# Cancelling


async def test_what_is_cancelled_already_counts_as_done(billing: Bench) -> None:
    command = await cancel_subscription(billing)

    first, second = await billing.call(command), await billing.call(command, message_id=fresh("m"))

    assert isinstance(first, SubscriptionCancelled)
    assert second == first


async def test_cancelling_comes_after_activating(billing: Bench) -> None:
    started = await start_subscription(billing)
    activated = await billing.call(started)

    cancelled = await billing.call(CancelSubscription(subscription_id=started.subscription_id, order_id=started.order_id, reason="r"))

    assert cancelled.aggregate_version > activated.aggregate_version, "within one second, too"


async def test_an_unknown_subscription_is_a_refusal(billing: Bench) -> None:
    command = CancelSubscription(subscription_id=fresh("SUB"), order_id=fresh("SO"), reason="r")

    reply = await billing.call(command)

    assert isinstance(reply, SubscriptionCancellationRejected)
    assert [problem.code for problem in reply.problems] == ["unknown-subscription"]


async def test_a_cancelled_subscription_can_be_started_anew(billing: Bench) -> None:
    started = await start_subscription(billing)
    first = await billing.call(started)
    await billing.call(CancelSubscription(subscription_id=started.subscription_id, order_id=started.order_id, reason="r"))

    second = await billing.call(started, message_id=fresh("m"))

    assert isinstance(first, SubscriptionActivated)
    assert isinstance(second, SubscriptionActivated)
    assert second.native_id != first.native_id
    states = (await billing.reader.subscriptions([started.subscription_id]))[started.subscription_id]
    assert sorted(states) == ["active", "canceled"]


# Reading


@pytest.mark.parametrize("others", [0, 30])
async def test_the_reader_shows_none_one_and_a_double(billing: Bench, others: int) -> None:
    one, double, none = await start_subscription(billing), await start_subscription(billing), fresh("SUB")
    reply = await billing.call(one)
    await billing.call(double)
    assert isinstance(reply, SubscriptionActivated)
    doubled = billing.client.api.v1.subscriptions.create_async(
        {
            "customer": await _payer(billing, double.bill_to),
            "items": [{"price": await _price(billing, double.subscription_id)}],
            "collection_method": "send_invoice",
            "days_until_due": 30,
            "metadata": {"external_id": double.subscription_id},
        }
    )
    await doubled

    wanted = [one.subscription_id, double.subscription_id, none, *(fresh("SUB") for _ in range(others))]
    found = await billing.reader.subscriptions(wanted)

    assert list(found) == wanted
    assert [list(found[each]) for each in wanted[:3]] == [["active"], ["active", "active"], []]


async def test_the_reader_reads_more_than_a_page(billing: Bench) -> None:
    commands = [await start_subscription(billing, lines=(order_line(),)) for _ in range(105)]
    await asyncio.gather(*map(billing.call, commands))

    found = await billing.reader.subscriptions([command.subscription_id for command in commands])

    assert [list(states) for states in found.values()] == [["active"]] * len(commands)


async def _payer(bench: Bench, external_id: str) -> str:
    return str((await bench.client.find_customer(external_id)).id)


async def _price(bench: Bench, subscription_id: str) -> str:
    return str((await subscription_of(bench, subscription_id))["items"]["data"][0]["price"]["id"])
