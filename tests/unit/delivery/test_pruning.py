"""When and how a worker forgets what no producer publishes again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from integration_fabric.delivery import pruning
from integration_fabric.delivery.ports import PRUNED_AT_ONCE
from integration_fabric.delivery.pruning import Pruner
from integration_fabric.messages.errors import Fenced, Unavailable
from integration_fabric.runtime.ports import Fence

FIRST, SECOND = Fence("s", "topic", 0, 5), Fence("s", "topic", 1, 5)
MONTH, AT_ONCE = timedelta(days=35), timedelta(milliseconds=1)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "PAUSE_S", 0.001)


@dataclass
class Log:
    """An effect log that only prunes: so many rows of each partition."""

    old: dict[Fence, int]
    asked: list[tuple[Fence, int]] = field(default_factory=list)
    failing: dict[Fence, Exception] = field(default_factory=dict)

    async def prune(self, fence: Fence, *, below: int, older_than: timedelta, limit: int) -> int:
        assert (older_than, limit) == (MONTH, PRUNED_AT_ONCE)
        self.asked.append((fence, below))
        if (error := self.failing.pop(fence, None)) is not None:
            raise error
        count = min(limit, self.old[fence])
        self.old[fence] -= count
        return count


async def until(log: Log, bases: Callable[[], dict[Fence, int]], condition: Callable[[], bool], *, every: timedelta = AT_ONCE) -> None:
    ending = asyncio.Event()
    pruner = Pruner(subscriber="s", prune=log.prune, older_than=MONTH, bases=bases)

    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0)
        ending.set()

    waiting: tuple[Awaitable[None], ...] = (pruner.run(every=every, ending=ending), wait())
    await asyncio.wait_for(asyncio.gather(*waiting), 10)


async def test_it_goes_on_until_there_is_nothing_more() -> None:
    log = Log({FIRST: 2 * PRUNED_AT_ONCE + 7, SECOND: 0})
    await until(log, lambda: {FIRST: 40, SECOND: 50}, lambda: (SECOND, 50) in log.asked)
    assert log.asked[:4] == [(FIRST, 40), (FIRST, 40), (FIRST, 40), (SECOND, 50)]
    assert log.old == {FIRST: 0, SECOND: 0}


async def test_it_asks_each_time_what_is_ours_and_how_far_it_is() -> None:
    log, bases = Log({FIRST: 0, SECOND: 0}), iter([{FIRST: 1}, {}, {FIRST: 2, SECOND: 9}])
    await until(log, lambda: next(bases, {}), lambda: len(log.asked) == 3)
    assert log.asked == [(FIRST, 1), (FIRST, 2), (SECOND, 9)]


@pytest.mark.parametrize("error", [Fenced("another's"), Unavailable("no store"), ZeroDivisionError("ours")])
async def test_what_fails_is_left_for_the_next_time(error: Exception) -> None:
    log = Log({FIRST: 3, SECOND: 3}, failing={FIRST: error})
    await until(log, lambda: {FIRST: 1, SECOND: 1}, lambda: not any(log.old.values()))
    assert log.asked[:3] == [(FIRST, 1), (SECOND, 1), (FIRST, 1)]


async def test_it_ends_in_the_middle_of_much_to_do() -> None:
    log = Log({FIRST: 1000 * PRUNED_AT_ONCE})
    await until(log, lambda: {FIRST: 1}, lambda: len(log.asked) >= 2)
    assert log.old[FIRST] > 900 * PRUNED_AT_ONCE


async def test_it_does_not_begin_before_its_time() -> None:
    log = Log({FIRST: 1})
    await until(log, lambda: {FIRST: 1}, lambda: True, every=timedelta(hours=1))
    assert log.asked == []
