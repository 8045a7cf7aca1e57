"""The list of events as a poller reads it: oldest first, page by page, each once, also those of one second, and on from where it was."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest

from connectors.billing.stripe import changes as changes_module
from connectors.billing.stripe.changes import Cursor, Seen, StripeChanges, read_cursor
from connectors.billing.stripe.client import Stripe, over
from integration_fabric.connector_kit.polling import Found

CARD = {"invoice_settings[default_payment_method]": "pm_card_visa"}


@pytest.fixture
async def stripe(simulators) -> AsyncIterator[Stripe]:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        yield over(http, system="stripe", url=f"{simulators.url}/stripe", key="stripe-token")


@pytest.fixture
async def subscription(simulators) -> str:
    customer = (await simulators.stripe.post("/customers", data={"name": "A", **CARD})).json()["id"]
    await simulators.stripe.post("/products", data={"id": "P", "name": "Plan"})
    terms = {"recurring[interval]": "month", "unit_amount": "1000", "currency": "nok", "product": "P"}
    price = (await simulators.stripe.post("/prices", data=terms)).json()["id"]
    form = {"customer": customer, "items[0][price]": price, "metadata[external_id]": "SUB-1"}
    return str((await simulators.stripe.post("/subscriptions", data=form)).json()["id"])


async def read(changes: StripeChanges, cursor: str | None) -> tuple[list[Found], str]:
    found: list[Found] = []
    while True:
        page = await changes.read(cursor)
        assert page.events == ()
        found += page.payloads
        cursor = page.cursor
        if not page.more:
            return found, cursor


def ids(found: list[Found]) -> list[str]:
    return [json.loads(each.payload)["id"] for each in found]


async def listed(simulators) -> list[str]:
    """All relevant events, oldest first, as the simulator lists them."""
    types = {f"types[{number}]": kind for number, kind in enumerate(changes_module.EVENT_TYPES)}
    found, after = [], {}
    while True:
        page = (await simulators.stripe.get("/events", params={"limit": "100", **types, **after})).json()
        found += [event["id"] for event in page["data"]]
        if not page["has_more"]:
            return found[::-1]
        after = {"starting_after": found[-1]}


@pytest.mark.usefixtures("subscription")
@pytest.mark.parametrize("page", [1, 2, 3, 7, 100])
async def test_every_event_comes_once_and_in_order(simulators, stripe, monkeypatch, page):
    monkeypatch.setattr(changes_module, "PAGE_RECORDS", page)
    changes = StripeChanges(stripe.api)
    for _ in range(4):
        await stripe.pay_invoice(await stripe.bill_again("SUB-1"))

    found, cursor = await read(changes, None)

    assert ids(found) == await listed(simulators)
    assert len(found) == 3 * 5, "finalised, paid, payment succeeded; all within the same few seconds"
    assert {json.loads(each.payload)["type"] for each in found} <= set(changes_module.EVENT_TYPES)
    assert await read(changes, cursor) == ([], cursor)

    invoice = await stripe.bill_again("SUB-1")
    (fresh,), _ = await read(changes, cursor)
    assert json.loads(fresh.payload)["data"]["object"]["id"] == invoice


async def test_it_goes_on_after_each_event(simulators, stripe, subscription, monkeypatch):
    """A poller that dies in the middle of a page goes on with the cursor of what it has published."""
    monkeypatch.setattr(changes_module, "PAGE_RECORDS", 4)
    changes = StripeChanges(stripe.api)
    for _ in range(2):
        await stripe.pay_invoice(await stripe.bill_again("SUB-1"))
    all_of_them, _ = await read(changes, None)

    for number, reached in enumerate(all_of_them, start=1):
        rest, _ = await read(changes, reached.cursor)
        assert ids(rest) == ids(all_of_them[number:])


async def test_an_event_that_shows_up_behind_a_younger_one_is_not_missed(simulators, stripe, subscription):
    found, cursor = await read(StripeChanges(stripe.api), None)
    reached = read_cursor(cursor)
    without_the_second = Cursor(anchor=reached.anchor, since=tuple(each for each in reached.since if each.id != ids(found)[1]))

    late, after = await read(StripeChanges(stripe.api), without_the_second.model_dump_json())

    assert ids(late) == [ids(found)[1]]
    assert await read(StripeChanges(stripe.api), after) == ([], after)


async def test_an_anchor_that_stripe_has_forgotten_begins_with_the_oldest(simulators, stripe, subscription):
    forgotten = Cursor(anchor=Seen(id="evt_gone", created=1))

    found, cursor = await read(StripeChanges(stripe.api), forgotten.model_dump_json())

    assert ids(found) == await listed(simulators)
    assert await read(StripeChanges(stripe.api), cursor) == ([], cursor)


async def test_a_dispute_comes_with_the_invoice_of_its_charge(simulators, stripe, subscription):
    await stripe.api.v1.invoices.pay_async(await stripe.bill_again("SUB-1"), {"payment_method": "pm_card_createDispute"})

    found, _ = await read(StripeChanges(stripe.api), None)

    dispute = json.loads(found[-1].payload)["data"]["object"]
    assert dispute["object"] == "dispute"
    assert dispute["charge"]["invoice"]["lines"]["data"][0]["amount"] == 1000


def test_the_anchor_follows_at_a_distance() -> None:
    cursor = Cursor()
    for number in range(100):
        cursor = cursor.after(Seen(id=f"evt_{number}", created=1000 + number))

    assert cursor.anchor == Seen(id="evt_88", created=1088)
    assert [each.id for each in cursor.since] == [f"evt_{number}" for number in range(88, 100)]
    assert cursor.knows(Seen(id="evt_95", created=1095))
    assert not cursor.knows(Seen(id="evt_100", created=1100))


def test_events_of_one_second_are_told_apart() -> None:
    cursor = Cursor()
    for number in range(300):
        cursor = cursor.after(Seen(id=f"evt_{number}", created=1000))

    assert cursor.anchor is None
    assert len(cursor.since) == 300
    assert read_cursor(cursor.model_dump_json()) == cursor


@pytest.mark.parametrize("text", [None, "", "evt_1", "{}", '{"anchor": 7}'])
def test_a_cursor_that_cannot_be_read_is_none(text: str | None) -> None:
    assert read_cursor(text) == Cursor()


def test_numbers_stay_numbers() -> None:
    assert changes_module.encoded({"percentage": Decimal("12.5"), "amount": 7}) == b'{"percentage":12.5,"amount":7}'
