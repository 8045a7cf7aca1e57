"""The order of a key, whatever is tried again and whoever handles it (R22)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from site_of_workers import Job, Site

from integration_fabric.messages.errors import DataProblem, Transient
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.policy import AtDeadLetter, Policy

KEYS = [f"k{number}" for number in range(10)]


async def test_r22_retries_keep_the_order_of_their_key_through_rebalances(site: Site) -> None:
    """R22: a message that fails is tried again in its lane, and what comes after it waits; another owner begins with it."""
    dice, failed = random.Random(22), Counter[tuple[str, int]]()
    numbers = list(range(12))

    async def fail_now_and_then(job: Job) -> None:
        if dice.random() < 0.3 and failed[job.job, job.number] < 3:
            failed[job.job, job.number] += 1
            raise Transient("the row is locked")

    first = site.start(fail_now_and_then)
    await site.put(KEYS, numbers[:4])
    second = site.start(fail_now_and_then)
    await site.put(KEYS, numbers[4:8])
    await site.until_owned(second, 1)
    await first.drain()
    await site.put(KEYS, numbers[8:])
    await site.until_committed()
    assert failed
    assert await site.made_by_key() == dict.fromkeys(KEYS, numbers)


async def test_r22_nothing_overtakes_a_dead_letter_of_its_key_whoever_owns_the_partition(site: Site) -> None:
    """R22: keys cannot be parked one by one yet, so the subscriber stands still there, durably, until a person says that it may go on."""

    async def refuse(job: Job) -> None:
        if job.number == 2:
            raise DataProblem(field="number", value="2", hint="mend it")

    async def never(_: Job) -> None:
        raise AssertionError("it stands still")

    first = site.start(refuse)
    await site.put(["a"], range(5), partition=0)
    await site.until(lambda: first.loop.state is LoopState.STOPPED)
    await first.drain()
    second = site.start(never)
    await site.until(lambda: second.loop.state is LoopState.STOPPED)
    await second.drain()
    assert await site.made() == [("a", 0), ("a", 1)]
    assert len(await site.dead_letters()) == 1
    third = site.start(policy=Policy(at_dead_letter=AtDeadLetter.SKIP))
    await site.until_committed()
    assert await site.made() == [("a", 0), ("a", 1), ("a", 3), ("a", 4)]
    assert third.loop.state is LoopState.RUNNING
    await asyncio.sleep(0)
