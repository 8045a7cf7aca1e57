"""Several calls of one action or one reader, a few at a time; used by connectors whose vendor takes one record a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from integration_fabric.messages.errors import UnknownOutcome

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

AT_ONCE = 8
"""Of one action. All actions of a client share its connections: those beyond wait for one."""


async def side_by_side(call: Callable[[ItemT], Awaitable[ResultT]], items: Iterable[ItemT]) -> list[ResultT]:
    """Call for each item and wait for all: none is left under way, whatever fails.

    Returns:
        The results, in the order of the items.

    Raises:
        Exception: what one of the calls raised; an unknown outcome goes before anything else, since it must be resolved first.
    """
    free = asyncio.Semaphore(AT_ONCE)

    async def one(item: ItemT) -> ResultT:
        async with free:
            return await call(item)

    ended = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
    failures = [each for each in ended if isinstance(each, BaseException)]
    if failures:
        raise next((failure for failure in failures if isinstance(failure, UnknownOutcome)), failures[0])
    return [each for each in ended if not isinstance(each, BaseException)]
