"""Invoices of the simulated Stripe: issued with the subscription, billed again on request, paid, declined, voided, disputed."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

DAY_S = 86_400


@pytest.fixture
async def stripe(simulators):
    return simulators.stripe


@pytest.fixture
async def offer(stripe):
    """Prices by name: one of each kind."""
    await stripe.post("/products", data={"id": "P", "name": "Plan"})
    terms = {"currency": "nok", "product": "P", "recurring[interval]": "month", "metadata[legal_entity]": "NO"}
    made = {}
    for name, more in {
        "seat": {"unit_amount_decimal": "3333.33"},
        "yen": {"unit_amount": "5000", "currency": "jpy"},
        "usage": {"unit_amount": "7", "recurring[usage_type]": "metered"},
        "free": {"unit_amount": "0"},
    }.items():
        made[name] = (await stripe.post("/prices", data={**terms, **more})).json()["id"]
    rate = {"display_name": "NO-VAT-25", "inclusive": "false", "percentage": "25"}
    made["tax"] = (await stripe.post("/tax_rates", data=rate)).json()["id"]
    return made


async def customer(stripe, card="pm_card_visa"):
    settings = {} if card is None else {"invoice_settings[default_payment_method]": card}
    return (await stripe.post("/customers", data={"name": "A", **settings})).json()["id"]


async def subscribe(stripe, offer, *names, card="pm_card_visa", **more):
    form = {"customer": await customer(stripe, card)}
    for number, name in enumerate(names or ("seat",)):
        form |= {f"items[{number}][price]": offer[name], f"items[{number}][tax_rates][0]": offer["tax"]}
        form |= {} if name == "usage" else {f"items[{number}][quantity]": "3"}
    return await stripe.post("/subscriptions", data={**form, **more})


async def invoices(stripe, subscription, **filters):
    return (await stripe.get("/invoices", params={"subscription": subscription["id"], **filters})).json()["data"]


async def told(stripe, prefix="invoice."):
    events = (await stripe.get("/events", params={"limit": "100"})).json()["data"]
    return [event["type"] for event in reversed(events) if event["type"].startswith(prefix)]


async def test_the_first_invoice_comes_with_the_subscription_and_is_paid_at_once(stripe, offer):
    made = (await subscribe(stripe, offer, "seat", "usage")).json()

    (invoice,) = await invoices(stripe, made)
    assert invoice["id"] == made["latest_invoice"]
    assert (invoice["status"], invoice["paid"], invoice["attempt_count"]) == ("paid", True, 1)
    assert (invoice["subtotal"], invoice["tax"], invoice["total"], invoice["amount_paid"]) == (10000, 2500, 12500, 12500)
    (line,) = invoice["lines"]["data"]
    assert (line["amount"], line["quantity"], line["tax_amounts"][0]["amount"]) == (10000, 3, 2500)
    assert line["price"]["metadata"] == line["plan"]["metadata"] == {"legal_entity": "NO"}
    assert line["period"] == {"start": made["current_period_start"], "end": made["current_period_end"]}
    charge = (await stripe.get(f"/charges/{invoice['charge']}")).json()
    assert (charge["amount"], charge["status"], charge["invoice"]) == (12500, "succeeded", invoice["id"])
    whole = (await stripe.get(f"/charges/{invoice['charge']}", params={"expand[]": "invoice"})).json()
    assert whole["invoice"] == invoice
    assert await told(stripe) == ["invoice.finalized", "invoice.paid", "invoice.payment_succeeded"]


async def test_an_invoice_that_is_sent_stays_open_until_it_is_due(stripe, offer):
    made = (await subscribe(stripe, offer, card=None, collection_method="send_invoice", days_until_due="14")).json()

    (invoice,) = await invoices(stripe, made, status="open")
    assert invoice["due_date"] == invoice["status_transitions"]["finalized_at"] + 14 * DAY_S
    assert (invoice["amount_paid"], invoice["amount_remaining"], invoice["charge"]) == (0, 12500, None)
    assert await told(stripe) == ["invoice.finalized"]


@pytest.mark.parametrize("names", [("usage",), ("free",), ("usage", "free")])
async def test_where_nothing_is_charged_in_advance_there_is_no_invoice(stripe, offer, names):
    made = (await subscribe(stripe, offer, *names, card=None)).json()

    assert (made["status"], made["latest_invoice"]) == ("active", None)
    assert await invoices(stripe, made) == []


async def test_nothing_is_charged_before_a_trial_has_ended(stripe, offer):
    ends = int(time.time()) + 30 * DAY_S
    made = (await subscribe(stripe, offer, trial_end=str(ends))).json()
    assert (made["status"], await invoices(stripe, made)) == ("trialing", [])

    drafted = (await stripe.post("/invoices", data={"customer": made["customer"], "subscription": made["id"]})).json()

    assert drafted["lines"]["data"][0]["period"]["start"] == ends


async def test_amounts_without_decimals_are_whole(stripe, offer):
    (invoice,) = await invoices(stripe, (await subscribe(stripe, offer, "yen")).json())

    assert (invoice["currency"], invoice["subtotal"], invoice["total"]) == ("jpy", 15000, 18750)


async def test_without_a_payment_method_nothing_begins(stripe, simulators, offer):
    refused = await subscribe(stripe, offer, card=None)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "resource_missing")
    assert not {"subscription", "invoice"} & set(await simulators.control.counts("stripe"))


async def test_a_first_payment_may_be_let_fail(stripe, offer):
    made = (await subscribe(stripe, offer, card="pm_card_chargeDeclined", payment_behavior="allow_incomplete")).json()

    (invoice,) = await invoices(stripe, made)
    assert (made["status"], invoice["status"], invoice["attempt_count"]) == ("incomplete", "open", 1)
    assert await told(stripe) == ["invoice.finalized", "invoice.payment_failed"]


async def test_each_next_period_is_billed_on_request(stripe, offer):
    made = (await subscribe(stripe, offer)).json()
    wanted = {"customer": made["customer"], "subscription": made["id"]}

    drafts = [(await stripe.post("/invoices", data=wanted)).json() for _ in range(2)]

    first, second, third = [invoice["lines"]["data"][0]["period"] for invoice in reversed(await invoices(stripe, made))]
    assert (second["start"], third["start"]) == (first["end"], second["end"])
    assert [draft["status"] for draft in drafts] == ["draft", "draft"]
    finalised = (await stripe.post(f"/invoices/{drafts[0]['id']}/finalize", data={"auto_advance": "false"})).json()
    assert (finalised["status"], bool(finalised["number"]), finalised["attempt_count"]) == ("open", True, 0)
    again = await stripe.post(f"/invoices/{drafts[0]['id']}/finalize")
    assert (again.status_code, again.json()["error"]["code"]) == (400, "invoice_not_editable")
    assert len((await stripe.get("/invoices", params={"customer": made["customer"]})).json()["data"]) == 3


async def test_a_declined_payment_is_an_effect_and_counted(stripe, offer):
    made = (await subscribe(stripe, offer, card=None, collection_method="send_invoice", days_until_due="14")).json()
    (invoice,) = await invoices(stripe, made)
    path, card = f"/invoices/{invoice['id']}/pay", "invoice_settings[default_payment_method]"
    assert (await stripe.post(path)).status_code == 400, "there is no card"

    await stripe.post(f"/customers/{made['customer']}", data={card: "pm_card_chargeDeclined"})
    declined = [await stripe.post(path) for _ in range(2)]
    charges = [(await stripe.get(f"/invoices/{invoice['id']}")).json()["charge"]]
    paid = (await stripe.post(path, data={"payment_method": "pm_card_visa"})).json()

    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in declined] == [(402, "card_declined")] * 2
    assert (paid["status"], paid["attempt_count"], paid["payment_intent"]) == ("paid", 3, paid["payment_intent"])
    assert paid["charge"] not in charges
    assert await told(stripe) == [
        "invoice.finalized",
        "invoice.payment_failed",
        "invoice.payment_failed",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    assert (await stripe.post(path)).json()["error"]["code"] == "invoice_not_editable"


async def test_one_key_pays_once(stripe, offer):
    made = (await subscribe(stripe, offer, card=None, collection_method="send_invoice", days_until_due="14")).json()
    (invoice,) = await invoices(stripe, made)
    pay = {"payment_method": "pm_card_chargeDeclined"}

    answers = [await stripe.post(f"/invoices/{invoice['id']}/pay", data=pay, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [402, 402]
    assert (await stripe.get(f"/invoices/{invoice['id']}")).json()["attempt_count"] == 1


async def test_an_open_invoice_can_be_voided(stripe, offer):
    made = (await subscribe(stripe, offer, card=None, collection_method="send_invoice", days_until_due="14")).json()
    (invoice,) = await invoices(stripe, made)

    voided = (await stripe.post(f"/invoices/{invoice['id']}/void")).json()

    assert (voided["status"], bool(voided["status_transitions"]["voided_at"])) == ("void", True)
    assert (await stripe.post(f"/invoices/{invoice['id']}/pay")).status_code == 400
    assert await told(stripe) == ["invoice.finalized", "invoice.voided"]


async def test_a_charge_of_the_disputing_card_is_disputed(stripe, offer):
    await subscribe(stripe, offer, card="pm_card_createDispute")

    assert await told(stripe, "charge.") == ["charge.dispute.created"]


async def test_tax_rates_are_listed_by_whether_they_are_active(stripe, offer):
    await stripe.post(f"/tax_rates/{offer['tax']}", data={"active": "false"})

    assert (await stripe.get("/tax_rates", params={"active": "true"})).json()["data"] == []
    assert [rate["percentage"] for rate in (await stripe.get("/tax_rates", params={"active": "false"})).json()["data"]] == [25.0]
    unknown = await stripe.post("/tax_rates", data={"display_name": "x", "inclusive": "false", "percentage": "much"})
    assert unknown.json()["error"]["param"] == "percentage"
    missing = await subscribe(stripe, {**offer, "tax": "txr_none"})
    assert missing.json()["error"]["param"] == "items[0][tax_rates][0]"


async def test_webhooks_carry_invoices(simulators, stripe, offer, receiver):
    await simulators.control.set_faults("stripe", webhook_url=receiver.url)

    await subscribe(stripe, offer)

    async with asyncio.timeout(10):
        kinds = {json.loads((await receiver.next())[1])["type"] for _ in range(4)}
    assert kinds == {"invoice.finalized", "invoice.paid", "invoice.payment_succeeded", "customer.subscription.created"}
