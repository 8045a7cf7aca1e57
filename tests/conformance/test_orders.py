"""`runtime.ports.Orders` on every store."""

from __future__ import annotations

from dataclasses import replace

from store_kit import PARTITION, SUBSCRIBER, Stores

from integration_fabric.runtime.steering import Order, OrderKind, Steering

PAUSE = Order(SUBSCRIBER, OrderKind.PAUSE, "kari", "year end")
OF_PARTITION = replace(PAUSE, partition=PARTITION)
OF_KEY = replace(PAUSE, key=b"SO-9\x00\xff")
OF_EMPTY_KEY = replace(PAUSE, key=b"")
SKIP = Order(SUBSCRIBER, OrderKind.SKIP, "ola", "test data", PARTITION, until=2**40)


async def standing(stores: Stores) -> set[Order]:
    return {replace(order, given_at=None) for order in await stores.orders.read()}


async def test_orders_come_back_as_they_were_given(stores: Stores) -> None:
    given = {PAUSE, OF_PARTITION, OF_KEY, OF_EMPTY_KEY, SKIP, replace(PAUSE, kind=OrderKind.DRAIN)}
    for order in given:
        await stores.orders.give(order)
    assert await standing(stores) == given
    assert all(order.given_at is not None for order in await stores.orders.read())


async def test_one_about_the_same_thing_is_replaced(stores: Stores) -> None:
    await stores.orders.give(PAUSE)
    await stores.orders.give(replace(PAUSE, why="upgrade"))
    await stores.orders.give(SKIP)
    await stores.orders.give(replace(SKIP, until=7))
    assert await standing(stores) == {replace(PAUSE, why="upgrade"), replace(SKIP, until=7)}


async def test_only_what_is_named_is_lifted(stores: Stores) -> None:
    for order in (PAUSE, replace(PAUSE, kind=OrderKind.DRAIN), OF_PARTITION, OF_KEY, SKIP):
        await stores.orders.give(order)
    assert await stores.orders.lift(SUBSCRIBER) == 2
    assert await standing(stores) == {OF_PARTITION, OF_KEY, SKIP}
    assert await stores.orders.lift(SUBSCRIBER, key=OF_KEY.key) == 1
    assert await stores.orders.lift(SUBSCRIBER, partition=PARTITION) == 1
    assert await stores.orders.lift(SUBSCRIBER, partition=PARTITION) == 0
    assert await standing(stores) == {SKIP}


async def test_another_subscribers_orders_are_not_ours(stores: Stores) -> None:
    await stores.orders.give(PAUSE)
    assert await stores.orders.lift("stripe.start-subscription") == 0
    assert Steering.of("stripe.start-subscription", await stores.orders.read()) == Steering()
    assert Steering.of(SUBSCRIBER, await stores.orders.read()).is_paused
