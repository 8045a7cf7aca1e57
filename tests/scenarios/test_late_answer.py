"""An answer that does not come is noticed at its step's deadline, and the process still goes on when it comes."""

from __future__ import annotations

from datetime import timedelta

from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint


async def test_a_missing_answer_is_noticed_and_still_taken(world: World) -> None:
    await world.set_offline("customer-success", offline=True)
    quote = await world.cpq.approve_quote()
    await world.settle(but="customer-success")
    assert await quote.late_steps() == []

    world.clock.put_forward(timedelta(hours=2))
    await world.settle(but="customer-success")
    assert await quote.late_steps() == ["onboarding"]

    await world.set_offline("customer-success", offline=False)
    await world.settle()
    assert await quote.late_steps() == []
    assert await quote.footprint() == Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)
