"""Every switch on every simulator: nothing before it is on, the fault while it is, nothing after; and who takes which."""

from __future__ import annotations

import time
from typing import get_type_hints

import httpx
import pytest
from pydantic import ValidationError
from switch_bench import WITH_WEBHOOKS

from connectors.simulators.application import VENDORS
from connectors.simulators.control import ControlError, FaultChanges
from connectors.simulators.faults import Ability, Switches, describe_problems, need_of

TAKERS = {
    Ability.WEBHOOKS: WITH_WEBHOOKS,
    Ability.IDEMPOTENCY_KEYS: ("stripe",),
    Ability.UNIQUE_IDS: ("gainsight", "zendesk"),
    None: VENDORS,
}
RENAMED = {"salesforce": "success", "stripe": "external_id", "gainsight": "Gsid", "zendesk": "external_id", "tryton": "id"}


# What every vendor takes: (what is switched, whether the fault is seen)


async def status_is(vendor, expected):
    return (await vendor.write()).status_code == expected


async def takes_long(vendor):
    began = time.monotonic()
    await vendor.write()
    return time.monotonic() - began >= 0.5


async def is_slow(vendor):
    """Each time: on a busy machine a single call may take long without any switch."""
    return all([await takes_long(vendor) for _ in range(3)])


async def is_mostly_slow(vendor):
    """The dice are seeded; one slow call of a busy machine is no switch."""
    return sum([await takes_long(vendor) for _ in range(5)]) >= 3


async def is_cut_off(vendor):
    try:
        await vendor.write()
    except httpx.TransportError:
        return True
    return False


async def has_no_effect(vendor, expected):
    before = await vendor.count()
    refused = await status_is(vendor, expected)
    return refused and await vendor.count() == before


async def hides_its_effect(vendor, fails):
    before = await vendor.count()
    hidden = await fails(vendor)
    assert await vendor.count() > before
    return hidden


async def hangs(vendor):
    began = time.monotonic()
    return await hides_its_effect(vendor, is_cut_off) and time.monotonic() - began >= 0.5


async def is_told_when(vendor):
    return (await vendor.write()).headers.get("retry-after") == "7"


async def is_renamed(vendor):
    answer = (await vendor.write()).text
    old, new = (f'"{RENAMED[vendor.name]}":' in answer, '"new_name":' in answer)
    assert old != new
    return new


async def is_renamed_now_and_then(vendor):
    return {await is_renamed(vendor) for _ in range(12)} == {True, False}


async def forgets_keys(vendor):
    key = f"key-{vendor.written}"
    ids = {(await vendor.write("C-1", **{"Idempotency-Key": key})).json()["id"] for _ in range(2)}
    return len(ids) == 2


async def takes_a_second(vendor):
    before = await vendor.count()
    for _ in range(2):
        assert (await vendor.write(f"twice-{before}")).is_success
    return await vendor.count() == before + 2


ON_REQUESTS = {
    "latency_ms": ({"latency_ms": 500}, is_slow),
    "latency_jitter_ms": ({"latency_jitter_ms": 2500}, is_mostly_slow),
    "offline": ({"offline": True}, is_cut_off),
    "error_rate": ({"error_rate": 1}, lambda vendor: has_no_effect(vendor, 503)),
    "error_status": ({"error_rate": 1, "error_status": 504}, lambda vendor: has_no_effect(vendor, 504)),
    "effect_then_error_rate": ({"effect_then_error_rate": 1}, lambda vendor: hides_its_effect(vendor, lambda each: status_is(each, 502))),
    "effect_then_timeout_rate": ({"effect_then_timeout_rate": 1, "hang_ms": 1}, lambda vendor: hides_its_effect(vendor, is_cut_off)),
    "hang_ms": ({"effect_then_timeout_rate": 1, "hang_ms": 500}, hangs),
    "throttle_rate": ({"throttle_rate": 1}, lambda vendor: has_no_effect(vendor, 429)),
    "retry_after_s": ({"throttle_rate": 1, "retry_after_s": 7}, is_told_when),
    "expired_token": ({"expired_token": True}, lambda vendor: has_no_effect(vendor, 401)),
    "renamed_fields": ({"renamed_fields": None}, is_renamed),
    "drift_rate": ({"renamed_fields": None, "drift_rate": 0.5}, is_renamed_now_and_then),
    "ignore_idempotency_keys": ({"ignore_idempotency_keys": True}, forgets_keys),
    "ignore_unique_ids": ({"ignore_unique_ids": True}, takes_a_second),
}


@pytest.mark.parametrize(("switch", "name"), [(switch, name) for switch in ON_REQUESTS for name in TAKERS[need_of(switch)]])
async def test_a_switch_spoils_requests(playing, name, switch):
    changes, seen = ON_REQUESTS[switch]
    if "renamed_fields" in changes:
        changes = changes | {"renamed_fields": {RENAMED[name]: "new_name"}}
    async with playing(name) as vendor:
        assert not await seen(vendor)

        await vendor.set(**changes)
        assert await seen(vendor)

        await vendor.simulators.control.clear_faults(name)
        assert not await seen(vendor)


# Which vendor takes what


def test_every_switch_is_tried():
    on_webhooks = {name for name in Switches.model_fields if need_of(name) is Ability.WEBHOOKS}  # test_every_webhook_switch.py
    assert {*ON_REQUESTS, *on_webhooks} == set(Switches.model_fields)


def test_the_client_knows_every_switch():
    assert set(get_type_hints(FaultChanges)) == set(Switches.model_fields)


SOMETHING = {
    "webhook_url": "http://127.0.0.1:9/",
    "webhook_copies": 2,
    "webhooks_paused": True,
    "ignore_idempotency_keys": True,
    "ignore_unique_ids": True,
}


@pytest.mark.parametrize("switch", [name for name in Switches.model_fields if need_of(name)])
async def test_a_vendor_refuses_what_it_has_nothing_for_and_says_who_takes_it(start, switch):
    takers = TAKERS[need_of(switch)]
    async with start(landscape=False) as simulators:
        for name in VENDORS:
            before = await simulators.control.faults(name)
            changes = {switch: SOMETHING.get(switch, 1)}
            if name in takers:
                await simulators.control.change(name, changes)
                assert (await simulators.control.faults(name)) != before
            else:
                said = f"{switch}: {name} has no {need_of(switch)}; taken by {', '.join(takers)}"
                with pytest.raises(ControlError, match=said):
                    await simulators.control.change(name, changes)
                assert (await simulators.control.faults(name)) == before
                await simulators.control.change(name, {switch: before[switch]})  # switching it off is no mistake
            described = {each.name: each for each in await simulators.control.switches(name)}
            assert described[switch].taken == described[switch].on == (name in takers) or switch == "webhook_url"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"error_rate": 1.1}, "error_rate: Input should be less than or equal to 1"),
        ({"error_rate": "120%"}, "error_rate: Input should be less than or equal to 1"),
        ({"error_rate": "often"}, "error_rate: Input should be a valid number"),
        ({"error_rate": float("nan")}, "error_rate: Input should be"),
        ({"error_status": 404}, "error_status: Input should be 500, 502, 503 or 504"),
        ({"latency_ms": -1}, "latency_ms: Input should be greater than or equal to 0"),
        ({"webhook_delay_ms": 1e12}, "webhook_delay_ms: Input should be less than or equal to 86400000"),
        ({"webhook_copies": 0}, "webhook_copies: Input should be greater than or equal to 1"),
        ({"offline": "perhaps"}, "offline: Input should be a valid boolean"),
        ({"renamed_fields": "name"}, "renamed_fields: it is old:new"),
        ({"renamed_fields": {"name": "name"}}, "renamed_fields: name is renamed to itself"),
        ({"renamed_fields": {"name": ""}}, "renamed_fields.name: String should have at least 1 character"),
        ({"webhook_url": "nowhere"}, "webhook_url: it is http://"),
        ({"colour": "red"}, "colour: there is no such switch; there are latency_ms"),
    ],
)
def test_a_wrong_value_is_named(given, words):
    with pytest.raises(ValidationError) as wrong:
        Switches().changed(given)

    assert words in describe_problems(wrong.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"error_rate": "2%"}, {"error_rate": 0.02}),
        ({"error_rate": "0.02"}, {"error_rate": 0.02}),
        ({"error_status": "504"}, {"error_status": 504}),
        ({"offline": "on"}, {"offline": True}),
        ({"renamed_fields": "name:full_name, id:identity"}, {"renamed_fields": {"name": "full_name", "id": "identity"}}),
        ({"renamed_fields": '{"name": "full_name"}'}, {"renamed_fields": {"name": "full_name"}}),
        ({"renamed_fields": ""}, {"renamed_fields": {}}),
        ({"webhook_url": "none"}, {"webhook_url": None}),
    ],
)
def test_people_may_write_it_their_way(given, meant):
    assert Switches().changed(given) == Switches(**meant)
