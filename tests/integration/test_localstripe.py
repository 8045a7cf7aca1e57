"""The local billing: a real localstripe, started and stopped here, which loses nothing that it answered and tells what happened."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.billing.stripe.intake import verifier
from connectors.billing.stripe.localstripe import Localstripe, open_localstripe
from integration_fabric.local import localstripe, processes, state
from integration_fabric.local.localstripe import LocalstripeAddress, Webhook
from integration_fabric.local.settings import LocalSettings
from integration_fabric.runtime.clock import SystemClock

WITHIN = timedelta(seconds=30)
SECRET = "whsec_of_a_test"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[LocalSettings]:
    found = LocalSettings(state_dir=tmp_path / "state")
    try:
        yield found
    finally:
        localstripe.down(found)


@dataclass
class Receiver:
    """Takes webhooks; answers each with the next status, and with 200 where there is none."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    requests: asyncio.Queue[tuple[dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def next(self) -> tuple[dict[str, str], bytes]:
        async with asyncio.timeout(30):
            return await self.requests.get()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines()[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        status = found.statuses.pop(0) if found.statuses else 200
        found.requests.put_nowait((headers, body))
        writer.write(f"HTTP/1.1 {status} Taken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks"
        yield found


def client(address: LocalstripeAddress) -> Any:
    return open_localstripe(system="localstripe", url=address.url, key=address.key)


async def subscribed(billing: Localstripe) -> str:
    """A customer with a card, a product, a plan and a subscription of two items, billed and paid."""
    payer = await billing.create_customer("C-1", key="", payment_method="pm_card_visa")
    v1 = billing.api.v1
    await v1.products.create_async({"id": "P", "name": "Plan"})
    for plan in ("one", "two"):
        await v1.plans.create_async({"id": plan, "product": "P", "amount": 1000, "currency": "nok", "interval": "month"})
    items: Any = [{"plan": "one", "quantity": 2}, {"plan": "two"}]
    made = await v1.subscriptions.create_async({"customer": payer.id, "items": items, "metadata": {"external_id": "SUB-1"}})
    return made.id


async def everything(address: LocalstripeAddress) -> dict[str, Any]:
    """All that it shows."""
    kinds = ("customers", "products", "plans", "subscriptions", "invoices", "charges", "payment_intents", "events")
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {address.key}"}, trust_env=False) as http:
        return {kind: (await http.get(f"{address.url}/v1/{kind}", params={"limit": "1000"})).json()["data"] for kind in kinds}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_what_was_answered_is_there_after_any_end(settings: LocalSettings, end: signal.Signals) -> None:
    address = localstripe.up(settings, print)
    async with client(address) as billing:
        await subscribed(billing)
        open_still = await billing.bill_again("SUB-1")
    before = await everything(address)
    service = state.read(settings.state_dir).services["localstripe"]
    assert service.pid is not None
    assert service.process is not None

    os.kill(service.pid, end)
    assert processes.wait(lambda: False, alive=lambda: processes.is_alive(service.process), within=WITHIN) is processes.Wait.ENDED
    again = localstripe.up(settings, print)

    assert again == address, "the same address and the same key"
    assert await everything(again) == before
    async with client(again) as billing:
        assert await billing.pay_invoice(open_still) is True, "and it all goes on"
        subscription = (await billing.list_subscriptions())[0]
        assert [invoice.status for invoice in await billing.list_invoices(subscription.id)] == ["paid", "paid"]


async def test_what_is_changed_after_a_restart_is_changed_everywhere(settings: LocalSettings) -> None:
    """Objects that name each other are one object, as before: the file keeps each by itself."""
    async with client(localstripe.up(settings, print)) as billing:
        await subscribed(billing)
        invoice = await billing.bill_again("SUB-1")
    localstripe.down(settings)

    async with client(localstripe.up(settings, print)) as billing:
        await billing.set_payment_method("C-1", "pm_card_chargeCustomerFail")
        assert await billing.pay_invoice(invoice) is False
        assert [each.status for each in await billing.list_subscriptions()] == ["past_due"]
        await billing.set_payment_method("C-1", "pm_card_visa")
        assert await billing.pay_invoice(invoice) is True
        assert [each.status for each in await billing.list_subscriptions()] == ["active"]


async def test_fresh_begins_with_nothing(settings: LocalSettings) -> None:
    address = localstripe.up(settings, print)
    async with client(address) as billing:
        await subscribed(billing)

    fresh = localstripe.up(settings, print, fresh=True)

    assert {kind: len(found) for kind, found in (await everything(fresh)).items() if found} == {}
    assert localstripe.running(settings) == fresh
    assert localstripe.down(settings)
    assert localstripe.running(settings) is None
    assert not localstripe.down(settings)


async def test_it_tells_at_once_signed_and_again_until_it_is_taken(settings: LocalSettings, receiver: Receiver) -> None:
    receiver.statuses[:] = [500, 302]
    address = localstripe.up(settings, print, webhook=Webhook(receiver.url, SECRET))
    async with client(address) as billing:
        await billing.create_customer("C-1", key="")

    taken = [await receiver.next() for _ in range(3)]

    for headers, body in taken:
        verifier(SECRET).verify(body, headers, SystemClock().now())
        assert json.loads(body)["type"] == "customer.created"
    assert len({json.loads(body)["id"] for _, body in taken}) == 1
    assert localstripe.up(settings, print, webhook=Webhook(receiver.url, SECRET)) == address, "it runs already"


async def test_what_was_not_taken_is_told_after_a_restart(settings: LocalSettings, receiver: Receiver) -> None:
    receiver.statuses[:] = [503]
    webhook = Webhook(receiver.url, SECRET)
    async with client(localstripe.up(settings, print, webhook=webhook)) as billing:
        await billing.create_customer("C-1", key="")
    await receiver.next()
    localstripe.down(settings)

    localstripe.up(settings, print, webhook=webhook)

    assert json.loads((await receiver.next())[1])["type"] == "customer.created"


async def test_two_items_are_one_invoice(settings: LocalSettings) -> None:
    async with client(localstripe.up(settings, print)) as billing:
        subscription = await subscribed(billing)
        (invoice,) = await billing.list_invoices(subscription)

    assert [(line.amount, line.quantity) for line in invoice.lines.data] == [(2000, 2), (1000, 1)]
    assert (invoice.status, invoice.total, invoice.attempt_count) == ("paid", 3000, 1)


async def test_a_payer_without_a_card_is_refused_before_anything_is_written(settings: LocalSettings) -> None:
    address = localstripe.up(settings, print)
    async with client(address) as billing:
        await subscribed(billing)
        nobody = await billing.create_customer("C-2", key="")
        before = await everything(address)
        items: Any = [{"plan": "one"}]
        with pytest.raises(Exception, match="no attached payment source"):
            await billing.api.v1.subscriptions.create_async({"customer": nobody.id, "items": items})

    assert await everything(address) == before
