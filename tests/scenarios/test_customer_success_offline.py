"""With customer success offline an order still activates and is supported; its onboarding waits, and catches up with nobody's help."""

from __future__ import annotations

from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint


async def test_orders_activate_and_onboarding_catches_up(world: World) -> None:
    await world.set_offline("customer-success", offline=True)
    quotes = [await world.cpq.approve_quote() for _ in range(3)]
    await world.settle(but="customer-success")

    for quote in quotes:
        assert await quote.footprint_but("customer-success") == Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=0)

    await world.set_offline("customer-success", offline=False)
    await world.settle()

    for quote in quotes:
        assert await quote.footprint() == Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)
    assert all(item.outcomes["dead_lettered"] == 0 for item in await world.balances())
