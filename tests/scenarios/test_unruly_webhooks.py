"""Webhooks that come late, in another order, or with a signature that does not fit: one of each in the end."""

from __future__ import annotations

from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint

ONE_OF_EACH = Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)


async def test_late_webhooks_are_taken_when_they_come(world: World) -> None:
    await world.settle()
    await world.drivers.set_faults("cpq", webhook_delay_ms=300, webhook_delay_jitter_ms=700)

    quotes = [await world.cpq.approve_quote() for _ in range(3)]
    await world.settle()

    assert [await quote.footprint() for quote in quotes] == [ONE_OF_EACH] * 3


async def test_a_later_approval_that_overtakes_makes_one_of_each_too(world: World) -> None:
    await world.settle()
    before = sum(item.outcomes["dead_lettered"] for item in await world.balances())  # of other tests: the broker is shared
    await world.drivers.set_faults("cpq", webhook_reorder_rate=1)

    quote = await world.cpq.approve_quote()
    await world.drivers.approve_again(quote.id)
    await world.settle()

    assert await quote.footprint() == ONE_OF_EACH
    assert sum(item.outcomes["dead_lettered"] for item in await world.balances()) == before


async def test_what_cannot_be_verified_is_not_taken_and_the_genuine_one_is(world: World) -> None:
    await world.settle()
    await world.drivers.set_faults("cpq", webhook_corrupt_rate=0.5, webhook_duplicate_rate=1)

    quotes = [await world.cpq.approve_quote() for _ in range(4)]
    await world.settle()

    assert [await quote.footprint() for quote in quotes] == [ONE_OF_EACH] * 4
