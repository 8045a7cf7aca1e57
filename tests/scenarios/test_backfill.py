"""Somebody passes commands over by mistake; a backfill has them carried out, and a second one changes nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.redelivery import Redelivery, RedeliveryProgress, RedeliveryState, Stretch
from integration_fabric.runtime.steering import Order, OrderKind
from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint

WHOLE = Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)


async def ends(world: World, loop: SubscriberLoop) -> Mapping[TopicPartition, int]:
    return await asyncio.to_thread(world.fabric.reader.ends, list(loop.topics))


async def until(loop: SubscriberLoop, state: LoopState) -> None:
    async with asyncio.timeout(5):
        while loop.state is not state:
            await asyncio.sleep(0.05)


async def backfill(world: World, loop: SubscriberLoop, found: Mapping[TopicPartition, int]) -> RedeliveryProgress:
    """Of these offsets, to its end."""
    stretches = [Stretch(p, loop._consumer.topic_id(p.topic), max(0, end - 20), end, max(0, end - 20)) for p, end in found.items() if end]
    redeliveries = world.fabric.stores.redeliveries
    number = await redeliveries.file(Redelivery(0, loop.name, force=False, key=None, by="ola", why="passed over by mistake"), stretches)
    async with asyncio.timeout(60):
        while True:
            (progress,) = await redeliveries.look(number)
            if progress.state is RedeliveryState.DONE:
                return progress
            await asyncio.sleep(0.05)


async def test_what_was_passed_over_is_carried_out_by_a_backfill(world: World) -> None:
    (booking,) = [loop for loop in world.loops if loop.name.endswith(".create-order")]
    orders = world.fabric.stores.orders
    await orders.give(Order(booking.name, OrderKind.PAUSE, "kari", "year end"))
    await until(booking, LoopState.PAUSED)
    quote = await world.cpq.approve_quote()
    await world.settle()
    for partition, end in (await ends(world, booking)).items():
        if end:
            await orders.give(Order(booking.name, OrderKind.SKIP, "kari", "test data", partition, until=end))
    await asyncio.sleep(1)
    await orders.lift(booking.name)
    await until(booking, LoopState.RUNNING)
    await world.settle()
    assert await quote.footprint() == Footprint()

    progress = await backfill(world, booking, await ends(world, booking))
    assert progress.counts["applied"] == 1
    await world.settle()
    assert await quote.footprint() == WHOLE

    progress = await backfill(world, booking, await ends(world, booking))
    assert set(progress.counts) == {"duplicate"}
    await world.settle()
    assert await quote.footprint() == WHOLE
