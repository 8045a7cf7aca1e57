"""Billing charges a new subscription; the ERP has the invoice and its payment, to the cent."""

from __future__ import annotations

from decimal import Decimal

from integration_fabric.messages.fabric import ProcessState
from integration_fabric.testing.world import World


async def test_an_invoice_and_its_payment_stand_in_the_books_to_the_cent(world: World) -> None:
    quote = await world.cpq.approve_quote(recurring=3, one_off=1)
    await world.settle()

    money = await quote.money()
    (billed,) = money.billed
    assert billed.total > billed.tax > 0
    assert billed.paid == billed.total
    assert money.differences == []
    (posted,) = money.posted[billed.invoice_id]
    assert posted.open == Decimal(0)


async def test_every_invoice_of_a_subscription_is_posted_once(world: World) -> None:
    quote = await world.cpq.approve_quote()
    await world.settle()
    second = await quote.next_invoice()
    await world.settle()
    assert await second.collect()
    await world.settle()

    money = await quote.money()
    assert len(money.billed) == 2
    assert money.differences == []
    row = await second.process("invoice-posting")
    assert row is not None
    assert row.instance.state is ProcessState.COMPLETED
