"""The accounting period is closed: the invoice waits, nothing is half posted; it is opened again, and the posting goes on by itself."""

from __future__ import annotations

from integration_fabric.messages.fabric import ProcessState
from integration_fabric.testing.world import World


async def test_a_posting_waits_for_its_period(world: World) -> None:
    today = world.clock.now().date()
    await world.erp.close_period("NO", today)
    try:
        quote = await world.cpq.approve_quote()
        await world.settle()
        money = await quote.money()
        (billed,) = money.billed
        assert list(money.posted[billed.invoice_id]) == []
        (held,) = await world.fabric.stores.instances.find(process="invoice-posting", key=billed.invoice_id)
        assert held.instance.state is ProcessState.HELD
        assert held.instance.steps["post invoice"].problems[0].code == "period-closed"
    finally:
        await world.erp.open_period("NO", today)
    await world.settle()

    assert (await quote.money()).differences == []
