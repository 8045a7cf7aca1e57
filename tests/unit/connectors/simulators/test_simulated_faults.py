from __future__ import annotations

import time

import httpx
import pytest

from connectors.simulators.control import ControlError

CUSTOMER = {"name": "A", "metadata[external_id]": "C-1"}


async def test_latency_holds_every_answer_back(simulators):
    await simulators.control.set_faults("stripe", latency_ms=150, latency_jitter_ms=50)

    began = time.monotonic()
    await simulators.stripe.get("/customers")

    assert 0.14 < time.monotonic() - began < 5


async def test_offline_ends_the_connection_before_the_request_is_read(simulators):
    await simulators.control.set_faults("stripe", offline=True)

    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            await simulators.stripe.post("/customers", data=CUSTOMER)

    assert await simulators.control.calls("stripe") == []
    assert (await simulators.zendesk.get("/tickets")).status_code == 200
    await simulators.control.set_faults("stripe", offline=False)
    assert (await simulators.stripe.post("/customers", data=CUSTOMER)).status_code == 200


async def test_an_error_before_the_effect_has_none(simulators):
    await simulators.control.set_faults("stripe", error_rate=1)

    refused = await simulators.stripe.post("/customers", data=CUSTOMER)

    assert (refused.status_code, refused.json()["error"]["type"]) == (503, "api_error")
    assert await simulators.control.counts("stripe") == {}


async def test_an_error_after_the_effect_hides_it(simulators):
    await simulators.control.set_faults("stripe", effect_then_error_rate=1)

    hidden = await simulators.stripe.post("/customers", data=CUSTOMER, headers={"Idempotency-Key": "k"})
    assert hidden.status_code == 502
    assert await simulators.control.counts("stripe") == {"customer": 1}

    await simulators.control.set_faults("stripe", effect_then_error_rate=0)
    again = await simulators.stripe.post("/customers", data=CUSTOMER, headers={"Idempotency-Key": "k"})
    assert again.headers["idempotent-replayed"] == "true"
    assert await simulators.control.counts("stripe") == {"customer": 1}


async def test_a_timeout_after_the_effect_hangs_and_ends_without_an_answer(simulators):
    await simulators.control.set_faults("stripe", effect_then_timeout_rate=1, hang_ms=100)

    began = time.monotonic()
    with pytest.raises(httpx.TransportError):
        await simulators.stripe.post("/customers", data=CUSTOMER)

    assert time.monotonic() - began > 0.09
    assert await simulators.control.counts("stripe") == {"customer": 1}
    assert (await simulators.stripe.get("/customers")).status_code == 200  # reads have no effect to hide


async def test_a_throttled_request_is_told_when_to_come_again(simulators):
    await simulators.control.set_faults("zendesk", throttle_rate=1, retry_after_s=7)

    refused = await simulators.zendesk.get("/tickets")

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize("vendor", ["salesforce", "stripe", "gainsight", "zendesk", "tryton"])
async def test_every_vendor_says_no_in_its_own_shape(simulators, vendor):
    client = getattr(simulators, vendor)
    path = {
        "salesforce": "/query",
        "stripe": "/customers",
        "gainsight": "/v2/cockpit/cta",
        "zendesk": "/tickets",
        "tryton": "/party.party",
    }[vendor]

    async def shape(status: int) -> object:
        answer = await client.get(path, params={"q": "SELECT Id FROM SBQQ__Quote__c"} if vendor == "salesforce" else {})
        assert answer.status_code == status
        return answer.text if vendor == "tryton" else answer.json()

    def check(body: object) -> None:
        match vendor, body:
            case "salesforce", [{"errorCode": str(), "message": str()}]:
                pass
            case "stripe", {"error": {"type": str(), "message": str()}}:
                pass
            case "gainsight", {"result": False, "errorCode": str(), "errorDesc": str()}:
                pass
            case "zendesk", {"error": str(), "description": str()}:
                pass
            case "tryton", str() as page:
                assert page.startswith("<!doctype html>")
            case _:
                pytest.fail(f"{vendor}: {body}")

    await shape(200)
    errors = [({"error_rate": 1.0, "error_status": status}, status) for status in (500, 502, 503, 504)]
    for changes, status in (({"expired_token": True}, 401), ({"throttle_rate": 1.0}, 429), *errors):
        await simulators.control.set_faults(vendor, **changes)
        check(await shape(status))
        await simulators.control.reset(vendor)

    client.headers["authorization"] = client.headers["accesskey"] = "Bearer wrong"
    check(await shape(401))


async def test_the_dice_fall_the_same_way_twice(start):
    async def pattern(simulators) -> list[int]:
        await simulators.control.set_faults("stripe", error_rate=0.5)
        return [(await simulators.stripe.get("/customers")).status_code for _ in range(30)]

    async with start(seed=3) as simulators:
        first = await pattern(simulators)
    async with start(seed=3) as simulators:
        assert await pattern(simulators) == first
    async with start(seed=4) as simulators:
        assert await pattern(simulators) != first
    assert set(first) == {200, 503}


async def test_an_unreadable_body_and_an_unknown_path_are_refused(simulators):
    unreadable = await simulators.zendesk.post("/tickets", content=b"{", headers={"content-type": "application/json"})
    assert unreadable.status_code == 400
    assert unreadable.json()["description"].startswith("The request cannot be read")
    assert (await simulators.zendesk.get("/unknown")).json()["error"] == "RecordNotFound"


# The control API


async def test_calls_are_seen_in_the_order_in_which_they_were_performed(simulators):
    made = (await simulators.stripe.post("/customers", data=CUSTOMER)).json()["id"]
    await simulators.stripe.post("/customers", data={"name": "B", "metadata[external_id]": "C-2"})
    await simulators.stripe.get(f"/customers/{made}")
    await simulators.stripe.post(f"/customers/{made}", data={"name": "A2"})

    calls = await simulators.control.calls("stripe", "C-1")

    assert [(call.method, call.path, call.kind, call.status) for call in calls] == [
        ("POST", "/stripe/v1/customers", "customer", 200),
        ("POST", f"/stripe/v1/customers/{made}", "customer", 200),
    ]
    everything = await simulators.control.calls("stripe")
    assert [call.external_id for call in everything] == ["C-1", "C-2", "C-1"]
    assert [call.at for call in everything] == sorted(call.at for call in everything)


async def test_reset_empties_and_restores(simulators):
    await simulators.stripe.post("/customers", data=CUSTOMER)
    await simulators.control.set_faults("stripe", error_rate=1)
    party = {"name": "P"}
    await simulators.tryton.post("/party.party", json=party)
    seeded = (await simulators.control.counts("tryton")) | {"party.party": 52}

    await simulators.control.reset()

    assert await simulators.control.counts("stripe") == {}
    assert await simulators.control.counts("tryton") == seeded
    assert await simulators.control.calls("stripe") == []
    assert (await simulators.control.faults("stripe"))["error_rate"] == 0


async def test_a_wrong_switch_is_named(simulators):
    with pytest.raises(ControlError, match="error_rate: Input should be less than or equal to 1"):
        await simulators.control.set_faults("stripe", error_rate=2)
    with pytest.raises(ControlError, match="colour: there is no such switch; there are latency_ms, "):
        await simulators.control.set_faults("stripe", colour="red")
    with pytest.raises(ControlError, match="no vendor 'sap' here"):
        await simulators.control.counts("sap")


async def test_a_simulator_that_is_not_there_is_not_healthy(start):
    async with start() as simulators:
        assert await simulators.control.healthy()
        url = simulators.url
    async with type(simulators.control)(url) as control:
        assert not await control.healthy()
