"""Every switch that spoils webhooks, on every simulator that has them: nothing before it is on, the fault while it is, nothing after."""

from __future__ import annotations

import pytest
from switch_bench import WITH_WEBHOOKS, Delivered, tell

from connectors.simulators.faults import Ability, Switches, need_of

DAY_MS = 86_400_000
ALL = [1, 2, 3, 4]
ON_WEBHOOKS = {
    "webhook_copies": ({"webhook_copies": 3}, lambda seen: seen.numbers == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]),
    "webhook_duplicate_rate": ({"webhook_duplicate_rate": 1}, lambda seen: seen.numbers == [1, 1, 2, 2, 3, 3, 4, 4]),
    "webhook_delay_ms": ({"webhook_delay_ms": 5000}, lambda seen: seen.numbers == ALL and seen.arrivals_s[0] >= 5),
    "webhook_delay_jitter_ms": ({"webhook_delay_jitter_ms": 3000}, lambda seen: seen.numbers == ALL and seen.arrivals_s[-1] >= 1.5),
    "webhook_loss_rate": ({"webhook_loss_rate": 1}, lambda seen: seen.numbers == [] and seen.counts["lost"] == 4),
    "webhook_reorder_rate": ({"webhook_reorder_rate": 1}, lambda seen: seen.numbers == [2, 1, 4, 3]),
    "webhook_corrupt_rate": ({"webhook_corrupt_rate": 1}, lambda seen: seen.numbers == ALL and not seen.genuine),
    "webhook_age_s": ({"webhook_age_s": 600}, lambda seen: seen.genuine and seen.ages_s == {600}),
}


def untouched(seen: Delivered) -> bool:
    return seen.numbers == ALL and seen.genuine and seen.ages_s == {0} and seen.arrivals_s[0] < 5  # a busy machine takes a second or two


@pytest.mark.parametrize("name", WITH_WEBHOOKS)
@pytest.mark.parametrize("switch", ON_WEBHOOKS)
async def test_a_switch_spoils_webhooks(playing, deliver, name, switch):
    changes, spoilt = ON_WEBHOOKS[switch]
    async with playing(name) as vendor:
        assert untouched(await deliver(vendor))

        await vendor.set(**changes)
        assert spoilt(await deliver(vendor))

        await vendor.simulators.control.clear_faults(name)
        assert untouched(await deliver(vendor))


@pytest.mark.parametrize("name", WITH_WEBHOOKS)
async def test_one_that_nothing_overtakes_goes_on_by_itself(playing, deliver, name):
    async with playing(name) as vendor:
        await vendor.set(webhook_reorder_rate=1, webhook_reorder_ms=700)

        seen = await deliver(vendor, 3)

        assert seen.numbers == [2, 1, 3]
        assert seen.arrivals_s[-1] >= 0.7


@pytest.mark.parametrize("name", WITH_WEBHOOKS)
async def test_paused_ones_and_those_without_an_address_wait(playing, receiver, name):
    async with playing(name) as vendor:
        await tell(vendor, 2)
        await vendor.set(webhooks_paused=True, webhook_url=receiver.url)
        await tell(vendor, 2)
        assert (await vendor.simulators.control.webhooks(name))["pending"] == 4
        assert receiver.requests.empty()

        await vendor.set(webhooks_paused=False)

        came = Delivered(name, [await receiver.next() for _ in range(4)])
        assert sorted(came.numbers) == [1, 1, 2, 2]


@pytest.mark.parametrize(("name", "old"), [("salesforce", "Legal_Entity__c"), ("stripe", "metadata")])
async def test_webhooks_drift_as_answers_do_and_are_signed_as_they_are(playing, deliver, name, old):
    async with playing(name) as vendor:
        await vendor.set(renamed_fields={old: "new_name"}, drift_rate=0.5)

        seen = await deliver(vendor, 12)

        drifted = [b'"new_name"' in body for _, body in seen.requests]
        assert [f'"{old}"'.encode() in body for _, body in seen.requests] == [not each for each in drifted]
        assert set(drifted) == {True, False}
        assert seen.genuine


async def test_lost_ones_stand_in_the_vendors_own_list(playing, deliver):
    async with playing("stripe") as vendor:
        await vendor.set(webhook_loss_rate=1)

        await deliver(vendor)

        listed = (await vendor.simulators.stripe.get("/events")).json()["data"]
        assert [event["data"]["object"]["metadata"]["number"] for event in listed] == ["4", "3", "2", "1"]
        await vendor.simulators.control.clear_faults("stripe")
        assert await vendor.simulators.control.webhooks("stripe") == {"pending": 0, "delivered": 0, "given_up": 0, "lost": 4}


async def test_a_corrupt_one_that_is_refused_comes_again_and_fits_then(playing, receiver):
    receiver.statuses[:] = [401]
    async with playing("salesforce") as vendor:
        await vendor.set(webhook_corrupt_rate=1, webhook_url=receiver.url)
        await tell(vendor, 1)
        corrupt = await receiver.next()
        await vendor.set(webhook_corrupt_rate=0)
        again = await receiver.next()

        assert corrupt[1] == again[1]
        assert [Delivered("salesforce", [each]).genuine for each in (corrupt, again)] == [False, True]


@pytest.mark.parametrize("changes", [{"webhook_reorder_rate": 1, "webhook_reorder_ms": DAY_MS}, {"webhook_delay_ms": DAY_MS}])
async def test_what_stands_aside_or_is_late_goes_out_after_a_restart_or_a_change(playing, receiver, changes):
    async with playing("salesforce") as vendor:
        await vendor.set(webhook_url=f"{receiver.url}/too-early", **changes)
        await tell(vendor, 1)
        assert (await vendor.simulators.control.webhooks("salesforce"))["pending"] == 1
    async with playing("salesforce") as vendor:
        await vendor.set(webhook_url=receiver.url)
        assert (await receiver.next())[0]["path"] == "/webhooks/salesforce"

        await vendor.set(webhook_url=f"{receiver.url}/too-early", **changes)
        await tell(vendor, 1)
        await vendor.simulators.control.clear_faults("salesforce")
        assert (await receiver.next())[0]["path"] == "/webhooks/salesforce/too-early"


async def test_every_one_arrives_however_they_are_shuffled(playing, deliver):
    async with playing("stripe") as vendor:
        await vendor.set(webhook_reorder_rate=0.4, webhook_reorder_ms=10_000, webhook_duplicate_rate=0.3, webhook_delay_jitter_ms=300)

        seen = await deliver(vendor, 30)

        assert set(seen.numbers) == set(range(1, 31))
        assert seen.numbers != sorted(seen.numbers)
        assert len(seen.numbers) > 30


def test_each_of_them_is_tried():
    elsewhere = {"webhooks_paused", "webhook_url", "webhook_reorder_ms"}
    assert {*ON_WEBHOOKS, *elsewhere} == {name for name in Switches.model_fields if need_of(name) is Ability.WEBHOOKS}
