"""Billing's webhooks get lost, come twice, late and in another order: the books are the same."""

from __future__ import annotations

import pytest

from integration_fabric.testing.world import World


@pytest.fixture(autouse=True)
def _switches(world: World) -> None:
    if "billing" not in world.drivers.simulated:
        pytest.skip("a real billing system has no switches")


async def _pay_and_compare(world: World) -> None:
    quote = await world.cpq.approve_quote()
    await world.settle()
    invoice = await quote.next_invoice()
    await invoice.collect(card_works=False)
    await world.settle()
    await invoice.collect(card_works=True)
    await world.settle()

    money = await quote.money()
    assert len(money.billed) == 2
    assert money.differences == []
    assert await invoice.interventions() == ["closed"]


async def test_lost_webhooks_are_caught_up_by_polling(world: World) -> None:
    await world.drivers.set_faults("billing", webhook_loss_rate=1.0)
    await _pay_and_compare(world)


async def test_webhooks_that_come_twice_late_and_reordered_do_no_harm(world: World) -> None:
    await world.drivers.set_faults("billing", webhook_copies=2, webhook_delay_ms=50, webhook_delay_jitter_ms=400, webhook_reorder_rate=0.5)
    await _pay_and_compare(world)
