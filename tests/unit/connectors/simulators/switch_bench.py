"""What the tests of the switches share: one simulator as its clients use it, and what came of its webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from connectors.simulators.clock import unix_s

SECRET = b"simulator-webhook-secret"
WITH_WEBHOOKS = ("salesforce", "stripe")
PRICE = {"price_data": {"currency": "nok", "product_data": {"name": "P"}, "unit_amount": 1, "recurring": {"interval": "month"}}}


class Vendor:
    """One simulator as its clients use it."""

    def __init__(self, name: str, simulators: Any, quote: Callable[..., dict[str, Any]]) -> None:
        self.name, self.simulators, self.quote = name, simulators, quote
        self.http: httpx.AsyncClient = getattr(simulators, name)
        self.written = 0

    async def write(self, external_id: str | None = None, **headers: str) -> httpx.Response:
        """Make one record."""
        self.written += 1
        name = external_id or f"X-{self.written}"
        match self.name:
            case "salesforce":
                return await self.http.post("/sobjects/SBQQ__Quote__c", json=self.quote(name))
            case "stripe":
                return await self.http.post("/customers", data={"name": "A", "metadata[external_id]": name}, headers=headers)
            case "gainsight":
                record = {"External_Id__c": name, "Name": "A"}
                return await self.http.put("/v1/data/objects/Company?keys=External_Id__c", json={"records": [record]})
            case "zendesk":
                return await self.http.post("/organizations/create_or_update", json={"organization": {"external_id": name, "name": name}})
            case _:
                return await self.http.post("/party.party", json={"name": name})

    async def count(self) -> int:
        """How many were made."""
        counts = await self.simulators.control.counts(self.name)
        return int(sum(counts.values()))

    async def set(self, **changes: Any) -> None:
        await self.simulators.control.set_faults(self.name, **changes)


@dataclass(frozen=True)
class Delivered:
    """What came of some webhooks about one aggregate."""

    vendor: str
    requests: list[tuple[dict[str, str], bytes]]
    arrivals_s: Sequence[float] = (0.0,)
    """When each came, since the first was enqueued."""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def numbers(self) -> list[int]:
        """Which came, in the order in which they came."""
        bodies = [json.loads(body) for _, body in self.requests]
        if self.vendor == "salesforce":
            return [body["sobject"]["Version__c"] // 2 for body in bodies]
        return [int(body["data"]["object"]["metadata"]["number"]) for body in bodies]

    @property
    def ages_s(self) -> set[int]:
        """How long ago they were signed, to the minute."""
        return {round((unix_s() - int(self._signature(headers)[0])) / 60) * 60 for headers, _ in self.requests}

    @property
    def genuine(self) -> bool:
        """Whether all are signed with the secret."""
        return all(self._fits(headers, body) for headers, body in self.requests)

    def _fits(self, headers, body):
        at, signature = self._signature(headers)
        return hmac.compare_digest(signature, hmac.new(SECRET, f"{at}.".encode() + body, hashlib.sha256).hexdigest())

    def _signature(self, headers):
        header = headers["x-salesforce-signature" if self.vendor == "salesforce" else "stripe-signature"]
        return [part.split("=", 1)[1] for part in header.split(",")]


async def tell(vendor: Vendor, number: int) -> None:
    """Have a vendor enqueue webhooks about one aggregate."""
    if vendor.name == "salesforce":
        path = "/sobjects/SBQQ__Quote__c"
        made = await vendor.http.post(path, json=vendor.quote(f"Q-{uuid4().hex}"))
        for _ in range(number):
            for status in ("Approved", "Draft"):
                await vendor.http.patch(f"{path}/{made.json()['id']}", json={"SBQQ__Status__c": status})
        return
    customer = (await vendor.http.post("/customers", data={"name": "A"})).json()["id"]
    trial = {"customer": customer, "items": [PRICE], "trial_end": int(unix_s()) + 86_400}  # without invoices, which would tell too
    made = await vendor.http.post("/subscriptions", json={**trial, "metadata": {"number": "1"}})
    for each in range(2, number + 1):
        await vendor.http.post(f"/subscriptions/{made.json()['id']}", json={"metadata": {"number": str(each)}})


async def delivered(vendor: Vendor, receiver: Any, eventually: Any, number: int = 4) -> Delivered:
    """Enqueue, let go at once, and wait until nothing is on its way."""
    control = vendor.simulators.control
    await vendor.set(webhooks_paused=True, webhook_url=receiver.url)
    began = time.monotonic()
    await tell(vendor, number)
    arrivals: list[float] = []
    await vendor.set(webhooks_paused=False)
    requests: list[tuple[dict[str, str], bytes]] = []

    async def over():
        while not receiver.requests.empty():
            requests.append(receiver.requests.get_nowait())
            arrivals.append(time.monotonic() - began)
        return (await control.webhooks(vendor.name))["pending"] == 0 and receiver.requests.empty()

    await eventually(over)
    counts = await control.webhooks(vendor.name)
    return Delivered(vendor.name, requests, arrivals, counts)
