"""The pool of coroutines that run lanes: few of them while handlers wait for nothing, all of them where they wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from integration_fabric.runtime.lanes import Lane, Lanes, Taken
from integration_fabric.runtime.records import Record
from integration_fabric.runtime.workers import Workers

WORKERS = 20
BURST = 8


@asynccontextmanager
async def pool(lanes: Lanes, run: Callable[[Lane], Awaitable[None]]) -> AsyncIterator[Workers]:
    async def handle(lane: Lane) -> None:
        await run(lane)
        lanes.finish(lane)

    workers = Workers(lanes=lanes, begin=lanes.start, handle=handle, burst=BURST)
    tasks = workers.start(WORKERS)
    await rest()
    yield workers
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def fill(lanes: Lanes, keys: int, each: int = 1) -> None:
    for offset in range(keys * each):
        lanes.put(Taken(Record("t", 0, offset, b"%d" % (offset % keys), None, None, 0), 1))


async def rest() -> None:
    """Let the loop go until workers that have nothing to do rest."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_one_worker_does_what_waits_for_nothing() -> None:
    lanes, seen = Lanes(), set()

    async def run(_: Lane) -> None:
        seen.add(asyncio.current_task())

    async with pool(lanes, run) as workers:
        fill(lanes, keys=50, each=5)
        workers.wake(1)
        await until(lambda: not lanes.queued and not lanes.running)
    assert len(seen) == 1


async def test_the_loop_is_let_go_after_a_burst() -> None:
    """Or else what Kafka tells would wait until every lane is empty."""
    lanes, handled = Lanes(), 0

    async def run(_: Lane) -> None:
        nonlocal handled
        handled += 1

    async with pool(lanes, run) as workers:
        fill(lanes, keys=10 * BURST)
        workers.wake(1)
        before = 0
        while lanes.queued:
            await asyncio.sleep(0)
            assert handled - before <= BURST
            before = handled


async def test_where_handlers_wait_all_workers_run() -> None:
    lanes, gate, waiting = Lanes(), asyncio.Event(), 0

    async def run(_: Lane) -> None:
        nonlocal waiting
        waiting += 1
        await gate.wait()

    async with pool(lanes, run) as workers:
        fill(lanes, keys=2 * WORKERS)
        workers.wake(1)
        await until(lambda: waiting == WORKERS)
        gate.set()
        await until(lambda: not lanes.queued and not lanes.running)


async def test_those_that_rest_are_called_when_a_handler_waits_in_the_middle_of_a_burst() -> None:
    lanes, gate, done = Lanes(), asyncio.Event(), set()

    async def run(lane: Lane) -> None:
        if lane.name == ("t", 0, b"3"):
            await gate.wait()
        done.add(lane.name)

    async with pool(lanes, run) as workers:
        fill(lanes, keys=100)
        workers.wake(1)
        await until(lambda: len(done) == 99)
        gate.set()
        await until(lambda: len(done) == 100)


async def test_those_that_rest_cost_nothing() -> None:
    """A worker that is woken for nothing must not wake others for nothing, and so on for ever."""
    lanes, calls = Lanes(), 0

    def begin() -> Lane | None:
        nonlocal calls
        calls += 1
        return lanes.start()

    async def handle(lane: Lane) -> None:
        lanes.finish(lane)

    workers = Workers(lanes=lanes, begin=begin, handle=handle, burst=BURST)
    tasks = workers.start(WORKERS)
    await rest()
    fill(lanes, keys=1)
    workers.wake(5)
    await rest()
    assert calls == WORKERS + 2
    for task in tasks:
        task.cancel()


async def test_those_that_rest_cost_nothing_while_every_place_is_taken() -> None:
    """One that stood in has nothing to do, all places are taken, and lanes wait: waking it would wake it again, and so on for ever."""
    lanes, aside, gate, ended = Lanes(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    woken = 0

    async def handle(lane: Lane) -> None:
        if lane.name == ("t", 0, b"0"):
            await workers.aside(aside.wait())
        await gate.wait()
        lanes.finish(lane)
        ended.set()

    def begin() -> Lane | None:
        return lanes.start()

    class Counting(Workers):
        async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
            nonlocal woken
            woken += 1
            await super()._rest(loop)

    workers = Counting(lanes=lanes, begin=begin, handle=handle, burst=BURST)
    tasks = workers.start(1)
    await rest()
    fill(lanes, keys=1)
    workers.wake(1)
    await until(lambda: workers.stand_ins)
    aside.set()
    await rest()
    fill(lanes, keys=4)
    workers.wake(1)
    await rest()
    before = woken
    for _ in range(50):
        await asyncio.sleep(0)
    assert (workers._busy, lanes.ready > 0) == (1, True)
    assert woken - before <= 1
    for task in (*tasks, *workers.stand_ins):
        task.cancel()
    await asyncio.gather(*tasks, *workers.stand_ins, return_exceptions=True)


async def test_who_steps_aside_leaves_its_place_and_comes_back_to_a_free_one() -> None:
    """All keys wait aside at once, and never do more handlers work than there are places."""
    lanes, gate = Lanes(), asyncio.Event()
    working, most, done = 0, 0, 0

    async def run(_: Lane) -> None:
        nonlocal working, most, done
        for _ in range(3):
            working += 1
            most = max(most, working)
            await asyncio.sleep(0)
            working -= 1
            await pool_of[0].aside(gate.wait())
        done += 1

    pool_of: list[Workers] = []
    async with pool(lanes, run) as workers:
        pool_of.append(workers)
        fill(lanes, keys=5 * WORKERS)
        workers.wake(1)
        await until(lambda: lanes.running == 5 * WORKERS and working == 0)
        gate.set()
        await until(lambda: done == 5 * WORKERS)
        assert most == WORKERS
        await until(lambda: not lanes.running)
        for task in workers.stand_ins:
            task.cancel()


async def test_what_comes_while_everyone_is_aside_is_handled() -> None:
    lanes, gate, handled = Lanes(), asyncio.Event(), 0

    async def run(_: Lane) -> None:
        nonlocal handled
        handled += 1
        await pool_of[0].aside(gate.wait())

    pool_of: list[Workers] = []
    async with pool(lanes, run) as workers:
        pool_of.append(workers)
        for offset in range(3 * WORKERS):
            lanes.put(Taken(Record("t", 0, offset, b"%d" % offset, None, None, 0), 1))
            workers.wake(1)
            await until(lambda offset=offset: handled == offset + 1)  # type: ignore[misc]
        gate.set()
        await until(lambda: not lanes.running)
        for task in workers.stand_ins:
            task.cancel()


async def test_a_wait_that_is_called_off_leaves_the_count_right() -> None:
    lanes, gate = Lanes(), asyncio.Event()

    async def refuse() -> None:
        await gate.wait()
        raise ValueError

    async def run(_: Lane) -> None:
        try:
            await pool_of[0].aside(refuse())
        except ValueError:
            await asyncio.sleep(0)

    pool_of: list[Workers] = []
    async with pool(lanes, run) as workers:
        pool_of.append(workers)
        fill(lanes, keys=3 * WORKERS)
        workers.wake(1)
        await until(lambda: lanes.running == 3 * WORKERS)
        gate.set()
        await until(lambda: not lanes.running)
        assert workers._busy == 0
        for task in workers.stand_ins:
            task.cancel()
