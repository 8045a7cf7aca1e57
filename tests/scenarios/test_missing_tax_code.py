"""A quote with an unknown tax code waits before anything is written, and goes on by itself once the ERP knows the code."""

from __future__ import annotations

from integration_fabric.testing.world import Held, World
from integration_fabric.wiring.drivers import Footprint


async def test_a_missing_tax_code_holds_the_quote_until_it_is_added(world: World) -> None:
    tax_code = world.erp.unused_tax_code()

    quote = await world.cpq.approve_quote(tax_code=tax_code)
    await world.settle()

    assert await quote.held() == Held(step="validate", code="unknown-tax-code")
    assert await quote.footprint() == Footprint()

    await world.erp.add_tax_code(tax_code)
    await world.settle()

    assert await quote.held() is None
    assert await quote.footprint() == Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)


async def test_others_go_on_while_one_is_held(world: World) -> None:
    held = await world.cpq.approve_quote(tax_code=world.erp.unused_tax_code())
    other = await world.cpq.approve_quote()
    await world.settle()

    assert await held.footprint() == Footprint()
    assert await other.footprint() == Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)
