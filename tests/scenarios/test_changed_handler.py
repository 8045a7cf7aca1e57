"""Before a changed handler is let loose, it goes through old messages in the shadow: what would differ is told, nothing written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from connectors.erp.tryton.actions import create_order
from integration_fabric.delivery.shadow import Verdict
from integration_fabric.messages.orders import CreateOrder, OrderBooked, OrderRejected
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.redelivery import Stretch
from integration_fabric.runtime.steering import Order, OrderKind
from integration_fabric.testing.world import ApprovedQuote, World
from integration_fabric.wiring.drivers import Footprint
from integration_fabric.wiring.shadow import Report, go_through

WHOLE = Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)


def booking_of(world: World) -> SubscriberLoop:
    (found,) = [loop for loop in world.loops if loop.name.endswith(".create-order")]
    return found


async def shadow(world: World, quote: ApprovedQuote) -> Report:
    """Of the order of a quote, through what the ERP makes of orders."""
    booking = booking_of(world)
    ends = await asyncio.to_thread(world.fabric.reader.ends, list(booking.topics))
    (command,) = [record for record in await world.records(CreateOrder.topic) if quote.id.encode() in (record.value or b"")]
    wanted = [Stretch(p, "", max(0, end - 50), end, max(0, end - 50)) for p, end in ends.items() if end]
    retained = world.fabric.backing(f"shadow-{uuid4().hex[:8]}").retained
    assert retained is not None
    try:
        return await go_through(world.fabric, booking.name, retained, wanted, key=command.key)
    finally:
        await retained.close()


def changed(call: Callable[[CreateOrder, Context[object]], Awaitable[OrderBooked | OrderRejected]]):
    """Somebody's new version: it names orders otherwise."""

    async def create(command: CreateOrder, context: Context[object]) -> OrderBooked | OrderRejected:
        reply = await call(command, context)
        return reply.model_copy(update={"native_id": "otherwise"}) if isinstance(reply, OrderBooked) else reply

    return create


async def test_a_changed_handler_goes_through_what_was_done(world: World, monkeypatch) -> None:
    quote = await world.cpq.approve_quote()
    await world.settle()

    report = await shadow(world, quote)
    assert dict(report.counts) == {Verdict.SAME: 1}

    monkeypatch.setattr(create_order, "call", changed(create_order.call))
    report = await shadow(world, quote)
    assert dict(report.counts) == {Verdict.DIFFERS: 1}
    (difference,) = report.unlike[0].differences
    assert (difference.field, difference.now) == ("erp.v1.OrderBooked native_id", "otherwise")

    await world.settle()
    assert await quote.footprint() == WHOLE


async def test_what_was_not_carried_out_yet_would_write(world: World) -> None:
    orders, booking = world.fabric.stores.orders, booking_of(world)
    await orders.give(Order(booking.name, OrderKind.PAUSE, "kari", "year end"))
    async with asyncio.timeout(5):
        while booking.state is not LoopState.PAUSED:
            await asyncio.sleep(0.05)
    quote = await world.cpq.approve_quote()
    await world.settle()

    report = await shadow(world, quote)
    assert dict(report.counts) == {Verdict.WRITES: 1}
    assert report.unlike[0].now.startswith("POST ")
    assert await quote.footprint() == Footprint()

    await orders.lift(booking.name)
    async with asyncio.timeout(5):
        while booking.state is not LoopState.RUNNING:
            await asyncio.sleep(0.05)
    await world.settle()
    assert await quote.footprint() == WHOLE
