"""Several calls of one action: a few at a time, all of them ended, and the worst failure first."""

from __future__ import annotations

import asyncio

import pytest

from integration_fabric.connector_kit.several import AT_ONCE, side_by_side
from integration_fabric.messages.errors import Throttled, UnknownOutcome


async def test_results_come_in_the_order_of_the_items() -> None:
    async def twice(item: int) -> int:
        for _ in range(10 - item):
            await asyncio.sleep(0)
        return item * 2

    assert await side_by_side(twice, range(10)) == [item * 2 for item in range(10)]
    assert await side_by_side(twice, []) == []


async def test_only_a_few_run_at_once() -> None:
    running, most = 0, 0

    async def call(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await side_by_side(call, range(5 * AT_ONCE))

    assert most == AT_ONCE


async def test_none_is_left_under_way_when_one_fails() -> None:
    ended = []

    async def call(item: int) -> None:
        if item == 0:
            raise Throttled("first")
        await asyncio.sleep(0)
        ended.append(item)

    with pytest.raises(Throttled):
        await side_by_side(call, range(20))

    assert ended == list(range(1, 20))


async def test_an_unknown_outcome_goes_before_everything_else() -> None:
    async def call(item: int) -> None:
        raise (UnknownOutcome if item == 3 else Throttled)(str(item))

    with pytest.raises(UnknownOutcome, match="3"):
        await side_by_side(call, range(6))
