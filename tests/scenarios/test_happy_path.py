"""An approved quote becomes an ERP order, a billing subscription, support entitlements and an onboarding, by itself and once."""

from __future__ import annotations

from integration_fabric.messages.fabric import ProcessState
from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint


async def test_a_quote_becomes_one_of_each(world: World) -> None:
    quote = await world.cpq.approve_quote(recurring=2, one_off=1)
    await world.settle()

    assert await quote.state() is ProcessState.COMPLETED
    assert await quote.footprint() == Footprint(orders=1, subscriptions=1, entitlements=3, onboardings=1)


async def test_one_off_quotes_need_no_subscription(world: World) -> None:
    quote = await world.cpq.approve_quote(recurring=0, one_off=2)
    await world.settle()

    assert await quote.footprint() == Footprint(orders=1, subscriptions=0, entitlements=2, onboardings=1)


async def test_every_message_is_in_exactly_one_outcome(world: World) -> None:
    for _ in range(3):
        await world.cpq.approve_quote()
    await world.settle()

    found = await world.balances()

    assert [item for item in found if not item.balanced or item.in_flight] == []
    taken = {item.topic: item.outcomes["applied"] for item in found}
    assert taken["cpq.quote-approved.v1"] >= 3
    assert taken["erp.create-order.v1"] >= 3
