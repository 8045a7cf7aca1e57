"""The gateway on a fabric in memory: what is taken, what is refused, and what a sender is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from salesforce_payload import PAYLOAD

from connectors.simulators.webhooks import sign
from integration_fabric.apps.gateway.app import MAX_BODY_BYTES, Gateway
from integration_fabric.backends.memory.publisher import MemoryPublisher
from integration_fabric.delivery.dead_letters import view
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.wiring.fabric import Fabric
from integration_fabric.wiring.gateway import ways_in
from integration_fabric.wiring.memory import open_memory_fabric
from integration_fabric.wiring.settings import Settings

SECRET = "s3cret"
SETTINGS: dict[str, Any] = {
    "systems": {
        "crm": {"role": "cpq", "vendor": "salesforce", "url": "http://127.0.0.1:9", "webhook_secret": SECRET},
        "helpline": {"role": "support", "vendor": "zendesk", "url": "http://127.0.0.1:9"},
    }
}
PUBLISHED, QUARANTINE = "cpq.quote-approved.v1", "dlq.crm.intake"


@pytest.fixture
async def fabric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fabric]:
    (tmp_path / "none.toml").touch()
    monkeypatch.setenv("FABRIC_CONFIG", str(tmp_path / "none.toml"))  # else the landscape of this checkout would be in it
    async with open_memory_fabric(Settings(**SETTINGS), clock=SystemClock()) as fabric:
        yield fabric


@pytest.fixture
def gateway(fabric: Fabric) -> Gateway:
    return Gateway(fabric, ways_in(fabric))


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(gateway.application())
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


def payload(**changes: Any) -> bytes:
    return json.dumps({**PAYLOAD, "sobject": {**PAYLOAD["sobject"], **changes}}).encode()


def signed(body: bytes, *, age_s: int = 0, secret: str = SECRET) -> dict[str, str]:
    at_s = int(SystemClock().now().timestamp()) - age_s
    return {"x-salesforce-signature": sign(body, secret=secret, at_s=at_s)}


async def post(client: httpx.AsyncClient, body: bytes, *, system: str = "crm", **signing: Any) -> httpx.Response:
    return await client.post(f"/webhooks/{system}", content=body, headers=signed(body, **signing))


def records(fabric: Fabric, topic: str) -> list[Any]:
    return list(fabric.reader.read([topic]))


async def test_a_webhook_is_taken_and_its_status_can_be_asked_for(client: httpx.AsyncClient, fabric: Fabric) -> None:
    answer = await post(client, payload())

    assert answer.status_code == 202
    found = answer.json()
    assert (found["state"], len(found["accepted"])) == ("published", 1)
    (record,) = records(fabric, PUBLISHED)
    assert dict(record.headers)["ce_id"].decode() == found["accepted"][0]
    asked = await client.get(answer.headers["location"])
    assert asked.status_code == 200
    assert asked.json() == {name: value for name, value in found.items() if name != "status_url"}


async def test_a_duplicate_is_answered_alike_and_publishes_nothing(client: httpx.AsyncClient, fabric: Fabric) -> None:
    first = await post(client, payload())
    second = await post(client, payload(), age_s=30)

    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert len(records(fabric, PUBLISHED)) == 1


@pytest.mark.parametrize(
    ("signing", "code"),
    [({"secret": "another"}, "signature-wrong"), ({"age_s": 301}, "signature-too-old"), ({"age_s": -301}, "signature-too-old")],
)
async def test_what_is_not_signed_rightly_is_refused(client: httpx.AsyncClient, fabric: Fabric, signing: Any, code: str) -> None:
    answer = await post(client, payload(), **signing)

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert records(fabric, PUBLISHED) == []


async def test_a_body_that_was_changed_on_the_way_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/webhooks/crm", content=payload(Name="Q-1002"), headers=signed(payload()))
    assert answer.status_code == 401


async def test_the_signature_is_checked_before_anything_is_parsed(client: httpx.AsyncClient) -> None:
    answer = await client.post("/webhooks/crm", content=b"{", headers=signed(b"{", secret="another"))
    assert answer.status_code == 401


async def test_what_is_too_large_is_refused(client: httpx.AsyncClient, fabric: Fabric) -> None:
    answer = await post(client, b" " * (MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


@pytest.mark.parametrize("system", ["nobody", "helpline"])
async def test_who_sends_no_webhooks_is_not_known(client: httpx.AsyncClient, system: str) -> None:
    assert (await post(client, payload(), system=system)).status_code == 404


async def test_drift_is_stored_byte_for_byte_and_answered_202_with_the_path_of_the_field(client: httpx.AsyncClient, fabric: Fabric) -> None:
    body = payload(Version__c="four")
    answer = await post(client, body)

    assert answer.status_code == 202
    found = answer.json()
    assert (found["state"], found["code"]) == ("quarantined", "vendor-drift")
    assert found["problem"].startswith("sobject.Version__c: ")
    (record,) = records(fabric, QUARANTINE)
    dead = view(record)
    assert (dead.value, dead.failure, dead.subscriber) == (body, "vendor_drift", "crm.intake")
    assert dead.headers["fabric_dlq_field"] == "sobject.Version__c"
    assert [dead.id] == found["accepted"]


async def test_drift_that_comes_again_is_one_dead_letter_and_is_answered_alike(client: httpx.AsyncClient, fabric: Fabric) -> None:
    first, second = await post(client, b"{}"), await post(client, b"{}")

    assert second.json() == first.json()
    assert len(records(fabric, QUARANTINE)) == 1


async def test_a_broker_that_is_away_is_answered_503_and_nothing_is_lost(client: httpx.AsyncClient, fabric: Fabric) -> None:
    publisher = fabric.publisher
    assert isinstance(publisher, MemoryPublisher)
    publisher.fail_next()
    refused = await post(client, payload())
    taken = await post(client, payload())

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert taken.status_code == 202
    assert len(records(fabric, PUBLISHED)) == 1


async def test_slow_publishing_is_answered_503_with_retry_after(
    gateway: Gateway, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_records: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(gateway.fabric.publisher, "put", never)
    gateway.publish_within = timedelta(milliseconds=20)
    answer = await post(client, payload())

    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "slow", "2")


async def test_too_many_at_once_are_asked_to_come_again(gateway: Gateway, client: httpx.AsyncClient) -> None:
    gateway.max_under_way = 0
    answer = await post(client, payload())
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "busy", "2")


async def test_a_receipt_is_shown_to_its_own_system_alone(client: httpx.AsyncClient) -> None:
    receipt = (await post(client, payload())).json()["id"]
    assert (await client.get(f"/webhooks/helpline/{receipt}")).status_code == 404
    assert (await client.get("/webhooks/crm/none")).status_code == 404
