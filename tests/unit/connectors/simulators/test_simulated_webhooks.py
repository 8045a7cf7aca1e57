from __future__ import annotations

import asyncio
import hashlib
import hmac
import json

import pytest

from connectors.simulators.clock import unix_s

QUOTES = "/sobjects/SBQQ__Quote__c"
SECRET = "simulator-webhook-secret"


async def approve(simulators, quote, name):
    return (await simulators.salesforce.post(QUOTES, json=quote(name, SBQQ__Status__c="Approved"))).json()["id"]


async def test_an_approval_is_told_signed_and_in_full(simulators, receiver, quote):
    await simulators.control.set_faults("salesforce", webhook_url=receiver.url)

    quote_id = await approve(simulators, quote, "Q-1")

    headers, body = await receiver.next()
    at, signature = (part.split("=", 1)[1] for part in headers["x-salesforce-signature"].split(","))
    assert signature == hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert abs(int(at) - unix_s()) < 10
    event = json.loads(body)
    assert event["eventType"] == "quote.approved"
    assert event["sobject"] == (await simulators.salesforce.get(f"{QUOTES}/{quote_id}")).json()
    assert event["eventTime"] == event["sobject"]["Approved_At__c"]


async def test_it_is_sent_again_until_it_is_taken(simulators, receiver, quote, eventually):
    receiver.statuses[:] = [500, 404, 302]
    await simulators.control.set_faults("salesforce", webhook_url=receiver.url)
    await approve(simulators, quote, "Q-1")

    bodies = [(await receiver.next())[1] for _ in range(4)]

    assert len(set(bodies)) == 1

    async def delivered():
        return await simulators.control.webhooks("salesforce") == {"pending": 0, "delivered": 1, "given_up": 0, "lost": 0}

    await eventually(delivered)
    assert receiver.requests.empty()


async def test_copies_are_one_event_sent_several_times(simulators, receiver, quote, eventually):
    receiver.statuses[:] = [200, 500]
    await simulators.control.set_faults("salesforce", webhook_url=receiver.url, webhook_copies=3)
    await approve(simulators, quote, "Q-1")

    ids = [json.loads((await receiver.next())[1])["eventId"] for _ in range(4)]  # the second of three copies needs two attempts

    assert len(set(ids)) == 1

    async def delivered():
        return (await simulators.control.webhooks("salesforce"))["delivered"] == 1

    await eventually(delivered)
    assert receiver.requests.empty()


async def test_order_is_kept_within_a_quote_while_others_go_on(simulators, receiver, quote):
    await simulators.control.set_faults("salesforce", webhooks_paused=True, webhook_url=receiver.url)
    stuck = await approve(simulators, quote, "Q-1")
    for status in ("Draft", "Approved"):
        await simulators.salesforce.patch(f"{QUOTES}/{stuck}", json={"SBQQ__Status__c": status})
    receiver.statuses[:] = [500]

    await simulators.control.set_faults("salesforce", webhooks_paused=False)
    first = json.loads((await receiver.next())[1])
    await approve(simulators, quote, "Q-2")
    later = [json.loads((await receiver.next())[1]) for _ in range(3)]

    assert first["sobject"]["Version__c"] == 1
    assert later[0]["sobject"]["Name"] == "Q-2"
    assert [each["sobject"]["Version__c"] for each in later[1:]] == [1, 3]


async def test_without_an_address_it_waits(simulators, receiver, quote):
    await approve(simulators, quote, "Q-1")
    assert (await simulators.control.webhooks("salesforce"))["pending"] == 1

    await simulators.control.set_faults("salesforce", webhook_url=receiver.url)

    assert json.loads((await receiver.next())[1])["sobject"]["Name"] == "Q-1"


@pytest.mark.parametrize("fault", ["offline", "webhooks_paused"])
async def test_what_is_offline_or_paused_sends_nothing(simulators, receiver, quote, fault):
    elsewhere = receiver.url + "/not-yet"
    await approve(simulators, quote, "Q-1")

    await simulators.control.set_faults("salesforce", webhook_url=elsewhere, **{fault: True})
    await simulators.control.set_faults("salesforce", webhook_url=receiver.url, **{fault: False})

    # Sent at once wherever it goes: what had gone elsewhere would come first.
    assert (await receiver.next())[0]["path"] == "/webhooks/salesforce"


async def test_the_queue_survives_a_restart(start, receiver, quote):
    async with start() as simulators:
        await approve(simulators, quote, "Q-1")
    async with start() as simulators:
        await simulators.control.set_faults("salesforce", webhook_url=receiver.url)
        assert json.loads((await receiver.next())[1])["sobject"]["Name"] == "Q-1"


async def test_many_are_on_their_way_at_once_but_no_more_than_sixteen(simulators, quote, eventually):
    arrived, release = 0, asyncio.Event()
    most, full = 0, asyncio.Event()

    async def answer(reader, writer):
        nonlocal arrived, most
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        await reader.readexactly(length)
        arrived += 1
        most = max(most, arrived)
        if arrived == 16:
            full.set()
        await release.wait()
        arrived -= 1
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for number in range(20):
            await approve(simulators, quote, f"Q-{number}")
        await simulators.control.set_faults("salesforce", webhook_url=url)
        async with asyncio.timeout(10):
            await full.wait()
        assert await simulators.control.healthy()
        assert most == 16
        release.set()

        async def delivered() -> bool:
            return (await simulators.control.webhooks("salesforce"))["delivered"] == 20

        await eventually(delivered)
        assert most == 16


async def test_a_refused_call_tells_nothing(simulators, quote):
    await approve(simulators, quote, "Q-1")
    refused = await simulators.salesforce.post(QUOTES, json=quote("Q-1", SBQQ__Status__c="Approved"))
    assert refused.status_code == 400

    assert (await simulators.control.webhooks("salesforce"))["pending"] == 1


async def test_stripe_signs_under_its_own_name(simulators, receiver):
    await simulators.control.set_faults("stripe", webhook_url=receiver.url)
    customer = (await simulators.stripe.post("/customers", data={"name": "A"})).json()["id"]
    price = {"price_data": {"currency": "nok", "product_data": {"name": "P"}, "unit_amount": 1, "recurring": {"interval": "month"}}}
    await simulators.stripe.post("/subscriptions", json={"customer": customer, "items": [price], "trial_end": int(unix_s()) + 86_400})

    headers, body = await receiver.next()

    assert headers["stripe-signature"].startswith("t=")
    assert json.loads(body)["type"] == "customer.subscription.created"
