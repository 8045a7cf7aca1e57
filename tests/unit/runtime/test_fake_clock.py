"""The clock that tests turn."""

from __future__ import annotations

import asyncio
import threading

from integration_fabric.backends.memory.clock import BEGIN, FakeClock, settle


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = FakeClock()
    assert (clock.now(), clock.monotonic_s()) == (BEGIN, 0)
    await clock.advance(90)
    assert ((clock.now() - BEGIN).total_seconds(), clock.monotonic_s()) == (90, 90)


async def test_sleepers_wake_at_their_own_moment_in_order() -> None:
    clock = FakeClock()
    woke: list[tuple[str, float]] = []

    async def sleep_twice(name: str, seconds: float) -> None:
        for _ in range(2):
            await clock.sleep(seconds)
            woke.append((name, clock.monotonic_s()))

    tasks = [asyncio.create_task(sleep_twice("long", 3)), asyncio.create_task(sleep_twice("short", 2))]
    await clock.advance(5)
    assert woke == [("short", 2), ("long", 3), ("short", 4)]
    assert clock.monotonic_s() == 5
    await clock.advance(1)
    assert woke[3:] == [("long", 6)]
    await asyncio.gather(*tasks)


async def test_a_sleeper_that_gave_up_holds_up_nothing() -> None:
    clock = FakeClock()
    gone = asyncio.create_task(clock.sleep(1))
    await settle()
    gone.cancel()
    await asyncio.wait({gone})
    assert clock.sleepers == 0
    assert not clock.advance_to_next()


async def test_sleeping_no_time_lets_others_run() -> None:
    clock, ran = FakeClock(), asyncio.Event()

    async def run() -> None:
        ran.set()

    task = asyncio.create_task(run())
    await clock.sleep(0)
    await clock.sleep(-1)
    assert ran.is_set()
    await task


async def test_waiting_is_jumped_over_only_when_nothing_else_runs() -> None:
    """A day of sleeping beside a task that is busy for a thousand turns: the busy one is through before the time moves."""
    clock = FakeClock()
    busy_until: list[float] = []

    async def be_busy() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)
        busy_until.append(clock.monotonic_s())

    async with clock.auto_advance():
        await asyncio.gather(clock.sleep(86_400), be_busy())
    assert (busy_until, clock.monotonic_s()) == ([0], 86_400)


async def test_a_thread_is_given_a_moment_to_answer() -> None:
    clock, ready = FakeClock(), threading.Event()
    timer = threading.Timer(0.02, ready.set)

    async with clock.auto_advance(grace_s=0.5):
        patience = asyncio.create_task(clock.sleep(60))
        timer.start()
        await asyncio.to_thread(ready.wait, 5)
        assert clock.monotonic_s() == 0
        patience.cancel()
    timer.join()
