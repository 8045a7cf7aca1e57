"""One webhook sent three times makes one of each."""

from __future__ import annotations

from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint

CPQ = ("cpq.quote-approved.v1", "process.quote-to-activation")


async def test_a_webhook_sent_three_times_makes_one_of_each(world: World) -> None:
    await world.drivers.webhook_copies(3)
    before = await world.balances()

    quote = await world.cpq.approve_quote()
    await world.settle()

    assert await quote.footprint() == Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)
    taken = {(item.topic, item.subscriber): item for item in await world.balances()}[CPQ]
    taken_before = {(item.topic, item.subscriber): item for item in before}[CPQ]
    grown = {name: taken.outcomes[name] - taken_before.outcomes[name] for name in taken.outcomes}
    assert grown["applied"] == 1
    assert grown["duplicate"] <= 1, "the gateway knows the same bytes again; polling may tell of it once more"
    assert taken.accepted - taken_before.accepted == grown["applied"] + grown["duplicate"]
