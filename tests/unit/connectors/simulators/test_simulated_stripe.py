from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from connectors.simulators.stripe.forms import parse_body, parse_pairs

CARD = {"invoice_settings[default_payment_method]": "pm_card_visa"}


@pytest.fixture
async def customer(simulators):
    return (await simulators.stripe.post("/customers", data={"name": "A", "metadata[external_id]": "C-1", **CARD})).json()["id"]


@pytest.fixture
async def price(simulators):
    await simulators.stripe.post("/products", data={"id": "ANL-TEA", "name": "Analytics Team"})
    recurring = {"recurring[interval]": "month", "unit_amount_decimal": "12050.25", "currency": "nok", "product": "ANL-TEA"}
    return (await simulators.stripe.post("/prices", data={**recurring, "lookup_key": "ANL-TEA:NOK:month"})).json()["id"]


def subscription(customer: str, price: str, **more: str) -> dict[str, str]:
    return {"customer": customer, "items[0][price]": price, "items[0][quantity]": "3", "metadata[external_id]": "sub-1", **more}


# Objects


async def test_a_subscription_is_created_found_and_cancelled(simulators, customer, price):
    made = (await simulators.stripe.post("/subscriptions", data=subscription(customer, price))).json()
    assert (made["status"], made["currency"]) == ("active", "nok")
    assert made["items"]["data"][0]["quantity"] == 3
    assert made["items"]["data"][0]["price"]["unit_amount_decimal"] == "12050.25"
    assert made["items"]["data"][0]["price"]["unit_amount"] is None

    query = {"query": "metadata['external_id']:'sub-1'"}
    found = (await simulators.stripe.get("/subscriptions/search", params=query)).json()["data"]
    assert found == [made]

    cancelled = await simulators.stripe.delete(f"/subscriptions/{made['id']}")
    assert cancelled.json()["status"] == "canceled"
    again = await simulators.stripe.delete(f"/subscriptions/{made['id']}")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "resource_missing")

    assert (await simulators.stripe.get("/subscriptions", params={"customer": customer})).json()["data"] == []
    assert len((await simulators.stripe.get("/subscriptions", params={"status": "all"})).json()["data"]) == 1
    assert (await simulators.stripe.get("/subscriptions/search", params=query)).json()["data"][0]["status"] == "canceled"


async def test_a_form_and_json_say_the_same(simulators, customer, price):
    as_json = {"customer": customer, "items": [{"price": price, "quantity": 3}], "metadata": {"external_id": "sub-1"}}

    by_form = (await simulators.stripe.post("/subscriptions", data=subscription(customer, price), headers={"Idempotency-Key": "k"})).json()
    by_json = (await simulators.stripe.post("/subscriptions", json=as_json, headers={"Idempotency-Key": "k"})).json()

    assert by_json == by_form


async def test_an_update_adds_changes_and_removes_items(simulators, customer, price):
    made = (await simulators.stripe.post("/subscriptions", data=subscription(customer, price))).json()
    item = made["items"]["data"][0]["id"]

    more = {"items[0][id]": item, "items[0][quantity]": "5", "items[1][price]": price, "metadata[note]": "n"}
    updated = (await simulators.stripe.post(f"/subscriptions/{made['id']}", data=more)).json()
    assert [each["quantity"] for each in updated["items"]["data"]] == [5, 1]
    assert updated["metadata"] == {"external_id": "sub-1", "note": "n"}

    less = {"items[0][id]": item, "items[0][deleted]": "true", "metadata[note]": ""}
    updated = (await simulators.stripe.post(f"/subscriptions/{made['id']}", data=less)).json()
    assert [each["quantity"] for each in updated["items"]["data"]] == [1]
    assert updated["metadata"] == {"external_id": "sub-1"}


async def test_a_plan_serves_as_a_price_and_prices_can_be_made_in_place(simulators, customer):
    plan = {"id": "plan-1", "amount": "999", "currency": "usd", "interval": "year", "product[name]": "Suite"}
    assert (await simulators.stripe.post("/plans", data=plan)).json()["amount"] == 999
    product = (await simulators.stripe.get("/products")).json()["data"][0]["id"]

    items = [
        {"plan": "plan-1"},
        {"price_data": {"currency": "usd", "product": product, "recurring": {"interval": "month"}, "unit_amount": 5}},
    ]
    made = (await simulators.stripe.post("/subscriptions", json={"customer": customer, "items": items})).json()

    assert [each["price"]["recurring"]["interval"] for each in made["items"]["data"]] == ["year", "month"]


async def test_ids_and_lookup_keys_that_a_caller_chose_are_unique(simulators, price):
    taken_id = await simulators.stripe.post("/products", data={"id": "ANL-TEA", "name": "Other"})
    assert (taken_id.status_code, taken_id.json()["error"]["code"]) == (400, "resource_already_exists")

    again = {"unit_amount": "1", "currency": "nok", "product": "ANL-TEA", "lookup_key": "ANL-TEA:NOK:month"}
    taken_key = await simulators.stripe.post("/prices", data=again)
    assert taken_key.status_code == 400
    assert price in taken_key.json()["error"]["message"]

    moved = (await simulators.stripe.post("/prices", data={**again, "transfer_lookup_key": "true"})).json()
    listed = (await simulators.stripe.get("/prices", params={"lookup_keys[]": "ANL-TEA:NOK:month"})).json()["data"]
    assert [each["id"] for each in listed] == [moved["id"]]


async def test_doubles_that_stripe_allows_are_visible(simulators, customer):
    await simulators.stripe.post("/customers", data={"name": "A", "metadata[external_id]": "C-1"})

    assert len((await simulators.stripe.get("/customers/search", params={"query": "metadata['external_id']:'C-1'"})).json()["data"]) == 2
    assert len(await simulators.control.records("stripe", "customer", external_id="C-1")) == 2


@pytest.mark.parametrize("where", ["subscription", "customer settings", "customer metadata"])
async def test_a_declined_card_refuses_the_subscription(simulators, price, where):
    declined = "pm_card_chargeDeclined"
    settings = {"invoice_settings[default_payment_method]": declined} if where == "customer settings" else {}
    metadata = {"metadata[payment_method]": declined} if where == "customer metadata" else {}
    customer = (await simulators.stripe.post("/customers", data={"name": "A", **settings, **metadata})).json()["id"]
    method = {"default_payment_method": declined} if where == "subscription" else {}

    refused = await simulators.stripe.post("/subscriptions", data=subscription(customer, price, **method))

    assert refused.status_code == 402
    assert refused.json()["error"]["type"] == "card_error"
    assert refused.json()["error"]["code"] == "card_declined"
    assert "subscription" not in await simulators.control.counts("stripe")


@pytest.mark.parametrize(
    ("path", "form", "code"),
    [
        ("/subscriptions", {"items[0][price]": "p"}, "parameter_missing"),
        ("/subscriptions", {"customer": "cus_none", "items[0][price]": "p"}, "resource_missing"),
        ("/customers", {"colour": "red"}, "parameter_unknown"),
        ("/prices", {"currency": "nok", "product": "none", "unit_amount": "1"}, "resource_missing"),
        ("/prices", {"currency": "nok", "product": "none"}, "parameter_missing"),
    ],
)
async def test_wrong_parameters_are_named(simulators, path, form, code):
    refused = await simulators.stripe.post(path, data=form)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    assert refused.json()["error"]["param"]


async def test_events_are_listed_newest_first(simulators, customer, price):
    made = (await simulators.stripe.post("/subscriptions", data=subscription(customer, price))).json()
    await simulators.stripe.post(f"/subscriptions/{made['id']}", data={"metadata[note]": "n"})
    await simulators.stripe.delete(f"/subscriptions/{made['id']}")

    listed = (await simulators.stripe.get("/events")).json()["data"]
    events = [event for event in listed if event["type"].startswith("customer.subscription.")]
    assert [event["type"].rsplit(".", 1)[1] for event in events] == ["deleted", "updated", "created"]

    page = (await simulators.stripe.get("/events", params={"limit": 1})).json()
    events = listed
    assert (page["data"], page["has_more"]) == ([events[0]], True)
    after = (await simulators.stripe.get("/events", params={"limit": 1, "starting_after": events[0]["id"]})).json()
    assert after["data"] == [events[1]]
    newer = (await simulators.stripe.get("/events", params={"limit": 1, "ending_before": events[2]["id"]})).json()
    assert (newer["data"], newer["has_more"]) == ([events[1]], True)


async def test_a_list_pages(simulators):
    for number in range(3):
        await simulators.stripe.post("/customers", data={"name": str(number)})

    first = (await simulators.stripe.get("/customers", params={"limit": 2})).json()
    rest = (await simulators.stripe.get("/customers", params={"starting_after": first["data"][-1]["id"]})).json()

    assert [each["name"] for each in first["data"] + rest["data"]] == ["2", "1", "0"]
    assert (first["has_more"], rest["has_more"]) == (True, False)


async def test_the_key_may_come_as_the_user_of_basic_authentication(simulators):
    del simulators.stripe.headers["authorization"]

    assert (await simulators.stripe.get("/customers", auth=("stripe-token", ""))).status_code == 200
    assert (await simulators.stripe.get("/customers", auth=("other", ""))).json()["error"]["type"] == "invalid_request_error"


# Idempotency keys


async def test_the_same_key_and_parameters_give_the_stored_answer(simulators):
    headers = {"Idempotency-Key": "k-1"}

    first = await simulators.stripe.post("/customers", data={"name": "A"}, headers=headers)
    second = await simulators.stripe.post("/customers", data={"name": "A"}, headers=headers)

    assert second.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert await simulators.control.counts("stripe") == {"customer": 1}


async def test_the_same_key_with_other_parameters_is_an_error(simulators):
    headers = {"Idempotency-Key": "k-1"}
    await simulators.stripe.post("/customers", data={"name": "A"}, headers=headers)

    other = await simulators.stripe.post("/customers", data={"name": "B"}, headers=headers)
    elsewhere = await simulators.stripe.post("/products", data={"name": "A"}, headers=headers)

    for refused in (other, elsewhere):
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "idempotency_error")
    assert await simulators.control.counts("stripe") == {"customer": 1}


async def test_a_failure_is_stored_as_well(simulators, customer, price):
    headers = {"Idempotency-Key": "k-1"}
    form = subscription(customer, price, default_payment_method="pm_card_chargeDeclined")
    first = await simulators.stripe.post("/subscriptions", data=form, headers=headers)

    second = await simulators.stripe.post("/subscriptions", data=form, headers=headers)

    assert (first.status_code, second.status_code) == (402, 402)
    assert second.headers["idempotent-replayed"] == "true"
    assert [call.status for call in await simulators.control.calls("stripe", "sub-1")] == [402, 402]


async def test_a_request_that_did_not_begin_leaves_its_key_free(simulators):
    headers = {"Idempotency-Key": "k-1"}
    invalid = await simulators.stripe.post("/customers", data={"colour": "red"}, headers=headers)
    assert invalid.status_code == 400

    assert (await simulators.stripe.post("/customers", data={"name": "A"}, headers=headers)).status_code == 200


async def test_a_key_is_forgotten_after_its_time(start):
    async with start(key_memory=timedelta(0)) as simulators:
        headers = {"Idempotency-Key": "k-1"}
        first = (await simulators.stripe.post("/customers", data={"name": "A"}, headers=headers)).json()["id"]
        second = (await simulators.stripe.post("/customers", data={"name": "A"}, headers=headers)).json()["id"]

        assert first != second


async def test_a_key_in_use_is_a_conflict(simulators):
    await simulators.control.set_faults("stripe", latency_ms=200)
    headers = {"Idempotency-Key": "k-1"}

    answers = await asyncio.gather(*(simulators.stripe.post("/customers", data={"name": "A"}, headers=headers) for _ in range(2)))

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    conflict = next(answer for answer in answers if answer.status_code == 409)
    assert conflict.json()["error"]["code"] == "idempotency_key_in_use"
    assert await simulators.control.counts("stripe") == {"customer": 1}


async def test_keys_survive_a_restart(start):
    headers = {"Idempotency-Key": "k-1"}
    async with start() as simulators:
        first = (await simulators.stripe.post("/customers", data={"name": "A"}, headers=headers)).json()
    async with start() as simulators:
        assert (await simulators.stripe.post("/customers", data={"name": "A"}, headers=headers)).json() == first


# Forms


def test_brackets_become_structure():
    pairs = [("items[1][quantity]", "2"), ("items[0][price]", "p"), ("metadata[quantity]", "2"), ("expand[]", "x"), ("active", "false")]

    assert parse_pairs(pairs) == {
        "items": [{"price": "p"}, {"quantity": 2}],
        "metadata": {"quantity": "2"},
        "expand": ["x"],
        "active": False,
    }


@pytest.mark.parametrize("body", [b"a=1&a[b]=2", b"quantity=many", b"\xff"])
def test_a_form_that_makes_no_sense_is_refused(body):
    with pytest.raises(ValueError, match=r"structure|invalid|decode"):
        parse_body({}, body)
