"""Billing refuses the subscription: the order that was booked for it is taken back, and nothing is left anywhere."""

from __future__ import annotations

from integration_fabric.messages.fabric import ProcessState
from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint


async def test_a_billing_refusal_compensates_the_order(world: World) -> None:
    quote = await world.cpq.approve_quote(payer=await world.payer_with_declined_card())
    await world.settle()

    assert await quote.state() is ProcessState.COMPENSATED
    assert await quote.footprint() == Footprint()
    assert await quote.ended_orders() == 1
