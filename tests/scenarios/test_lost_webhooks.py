"""A webhook of the CPQ that is lost is never sent again: asking the CPQ finds the quote, and what was told too makes nothing twice."""

from __future__ import annotations

from integration_fabric.messages.fabric import ProcessState
from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint

TOPIC = "cpq.quote-approved.v1"
ONE_OF_EACH = Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)


async def test_a_lost_webhook_is_caught_up(world: World) -> None:
    await world.settle()  # the CPQ was asked once: what is approved from now on is found
    await world.drivers.set_faults("cpq", webhook_loss_rate=1)
    lost_before = await world.drivers.webhooks_lost()

    quote = await world.cpq.approve_quote()
    await world.settle()

    assert await world.drivers.webhooks_lost() == lost_before + 1
    assert await quote.state() is ProcessState.COMPLETED
    assert await quote.footprint() == ONE_OF_EACH


async def test_some_are_lost_and_each_quote_becomes_one_of_each(world: World) -> None:
    await world.settle()
    before = {item.topic: item for item in await world.balances()}[TOPIC]
    await world.drivers.set_faults("cpq", webhook_loss_rate=0.5, webhook_duplicate_rate=0.5)

    quotes = [await world.cpq.approve_quote() for _ in range(6)]
    await world.settle()

    assert [await quote.footprint() for quote in quotes] == [ONE_OF_EACH] * 6
    after = {item.topic: item for item in await world.balances()}[TOPIC]
    assert after.outcomes["applied"] - before.outcomes["applied"] == 6
    assert after.outcomes["dead_lettered"] == before.outcomes["dead_lettered"]
