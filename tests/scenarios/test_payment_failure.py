"""A payment fails: the receivable turns overdue and somebody is asked to talk to the customer. It is paid: both are closed."""

from __future__ import annotations

from integration_fabric.messages.fabric import ProcessState
from integration_fabric.testing.world import World


async def test_a_failed_payment_shows_on_both_sides_until_it_is_made_good(world: World) -> None:
    quote = await world.cpq.approve_quote()
    await world.settle()

    invoice = await quote.next_invoice()
    assert not await invoice.collect(card_works=False)
    await world.settle()

    assert [record.is_overdue for record in await invoice.posted()] == [True]
    assert await invoice.interventions() == ["open"]
    row = await invoice.process("payment-failure")
    assert row is not None
    assert row.instance.state is ProcessState.WAITING

    assert await invoice.collect(card_works=True)
    await world.settle()

    assert [(record.is_overdue, record.open) for record in await invoice.posted()] == [(False, 0)]
    assert await invoice.interventions() == ["closed"]
    assert (await quote.money()).differences == []
    row = await invoice.process("payment-failure")
    assert row is not None
    assert row.instance.state is ProcessState.COMPLETED


async def test_repeated_failures_are_one_intervention(world: World) -> None:
    quote = await world.cpq.approve_quote()
    await world.settle()
    invoice = await quote.next_invoice()
    for _ in range(3):
        assert not await invoice.collect(card_works=False)
        await world.settle()

    assert await invoice.interventions() == ["open"]
    assert [record.is_overdue for record in await invoice.posted()] == [True]

    assert await invoice.collect()
    await world.settle()
    assert await invoice.interventions() == ["closed"]


async def test_a_payment_right_after_its_failure_closes_both_sides(world: World) -> None:
    """Failure and payment come together: in whatever order they are handled, both sides end closed."""
    quote = await world.cpq.approve_quote()
    await world.settle()
    invoice = await quote.next_invoice()
    await invoice.collect(card_works=False)
    await invoice.collect(card_works=True)
    await world.settle()

    assert await invoice.interventions() == ["closed"]
    assert [(record.is_overdue, record.open) for record in await invoice.posted()] == [(False, 0)]
