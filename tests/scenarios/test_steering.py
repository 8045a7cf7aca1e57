"""An operator pauses what books orders: nothing is booked, nothing is lost, and what waited is done once he resumes it."""

from __future__ import annotations

import asyncio

from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.steering import Order, OrderKind
from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint


async def test_what_is_paused_waits_and_then_goes_on(world: World) -> None:
    (booking,) = [loop for loop in world.loops if loop.name.endswith(".create-order")]
    orders = world.fabric.stores.orders
    await orders.give(Order(booking.name, OrderKind.PAUSE, "kari", "year end"))
    try:
        async with asyncio.timeout(5):
            while booking.state is not LoopState.PAUSED:
                await asyncio.sleep(0.05)
        quote = await world.cpq.approve_quote()
        await world.settle()
        assert await quote.footprint() == Footprint()
    finally:
        assert await orders.lift(booking.name) == 1

    async with asyncio.timeout(5):
        while booking.state is LoopState.PAUSED:
            await asyncio.sleep(0.05)
    await world.settle()
    assert await quote.footprint() == Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)
