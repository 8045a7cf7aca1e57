"""The governor: a system that is away, asks for less or refuses us is left alone by every worker, and goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest

from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemorySystemStates
from integration_fabric.delivery.deadline import before_sending
from integration_fabric.delivery.governor import BREAK_AFTER, LOOK_S, REFUSE_AFTER, Governor, Governors, Limits
from integration_fabric.delivery.maintenance import Window
from integration_fabric.delivery.ports import Flow
from integration_fabric.messages.errors import BadCredential, DataProblem, FabricError, Throttled, Transient, Unavailable, UnknownOutcome
from integration_fabric.runtime.executor import Abandoned

SYSTEM = "tryton"
DOWN = Unavailable("connection refused")


@dataclass
class Office:
    """Some workers, each with a governor of one system, on one store."""

    limits: Limits
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.states = MemorySystemStates(self.store)
        self.workers: list[Governors] = []
        self._looking: list[asyncio.Task[None]] = []

    def worker(self) -> Governor:
        """One more; it looks at the shared states as a worker does."""
        governors = Governors({SYSTEM: self.limits}, states=self.states, clock=self.clock)
        self.workers.append(governors)
        self._looking.append(asyncio.create_task(self._look(governors)))
        return governors.by_system[SYSTEM]

    async def _look(self, governors: Governors) -> None:
        while True:
            with suppress(Unavailable):
                await governors.look()
            await self.clock.sleep(LOOK_S)

    async def call(self, governor: Governor, how: Callable[[], Awaitable[None]]) -> Exception | None:
        """One call, as an action makes it."""
        try:
            async with governor.turn(self.clock.pause):
                try:
                    await how()
                except FabricError as error:
                    await governor.note(error)
                    raise
                await governor.note(None)
        except FabricError as error:
            return error
        return None

    async def fail(self, governor: Governor, error: FabricError, times: int = 1) -> None:
        async def how() -> None:
            raise error

        for _ in range(times):
            await self.call(governor, how)


@asynccontextmanager
async def office(limits: Limits = Limits()) -> AsyncIterator[Office]:  # noqa: B008  it is frozen
    found = Office(limits)
    async with found.clock.auto_advance():
        yield found
        for task in found._looking:
            task.cancel()
        await asyncio.gather(*found._looking, return_exceptions=True)


async def answers() -> None:
    """The system does."""


@pytest.mark.parametrize("error", [DOWN, UnknownOutcome("timeout"), Transient("502")])
async def test_a_system_that_does_not_answer_is_left_alone_by_every_worker(error: FabricError) -> None:
    async with office() as found:
        first, second = found.worker(), found.worker()
        await found.fail(first, error, BREAK_AFTER - 1)
        assert await found.call(first, answers) is None, "an answer begins the count anew"
        await found.fail(first, error, BREAK_AFTER)
        refused = await found.call(first, answers)
        assert isinstance(refused, Unavailable)
        assert refused.retry_after is not None
        await found.clock.sleep(LOOK_S * 1.5)
        assert second.state.flow is Flow.AWAY
        assert isinstance(await found.call(second, answers), Unavailable)


async def test_a_problem_of_the_message_says_nothing_about_the_system() -> None:
    async with office() as found:
        governor = found.worker()
        await found.fail(governor, DataProblem(field="f", value="v", hint="h"), 100)
        assert await found.call(governor, answers) is None


async def test_an_outage_of_an_hour_costs_few_calls_and_ends_by_itself() -> None:
    """Two workers with forty lanes each; every lane comes back as the governor says."""
    calls: list[float] = []
    through = 0

    async with office() as found:
        workers = [found.worker(), found.worker()]
        ends_s = 3600.0

        async def how() -> None:
            calls.append(found.clock.monotonic_s())
            if found.clock.monotonic_s() < ends_s:
                raise DOWN

        async def lane(governor: Governor) -> None:
            nonlocal through
            while True:
                error = await found.call(governor, how)
                if error is None:
                    through += 1
                    return
                wait = getattr(error, "retry_after", None)
                await found.clock.sleep(wait.total_seconds() if wait else 1)

        await asyncio.gather(*(lane(governor) for governor in workers for _ in range(40)))
        assert through == 80
        during = [at for at in calls if at < ends_s]
        assert len(during) < 80 + 3600 / 30 + 20, "what was under way at once, and then one every half minute"
        assert found.clock.monotonic_s() < ends_s + 60, "it was back within a minute"
        gaps = [later - earlier for earlier, later in pairwise(during[80:])]
        assert max(gaps) <= 33
        assert all(gap >= 0.9 for gap in gaps), "one at a time asks whether it is back"


async def test_lanes_that_look_first_do_not_use_up_what_asks_whether_a_system_is_back() -> None:
    """After an outage every lane waits for an unknown outcome: a first turn finds its intent and calls nothing, a second one asks."""
    async with office() as found:
        workers = [found.worker(), found.worker()]
        await found.fail(workers[0], DOWN, BREAK_AFTER)
        through = 0

        async def lane(governor: Governor) -> None:
            nonlocal through
            while True:
                try:
                    async with governor.turn(found.clock.pause):
                        await found.clock.sleep(0.01)  # looks into the effect log
                    async with governor.turn(found.clock.pause):
                        await governor.note(None)
                except Unavailable as error:
                    await found.clock.sleep(error.retry_after.total_seconds() if error.retry_after else 1)
                else:
                    through += 1
                    return

        await asyncio.gather(*(lane(governor) for governor in workers for _ in range(20)))
        assert found.clock.monotonic_s() < 60


async def test_retry_after_holds_for_everybody_and_then_fewer_run_at_once() -> None:
    async with office() as found:
        first, second = found.worker(), found.worker()

        async def together() -> None:
            await found.clock.sleep(1)
            raise Throttled("429", retry_after=timedelta(seconds=7))

        began_s = found.clock.monotonic_s()
        await asyncio.gather(*(found.call(first, together) for _ in range(8)))
        assert first.most == 4, "half, and once for all that were under way together"
        await found.clock.sleep(LOOK_S * 1.5)
        assert isinstance(await found.call(second, answers), Unavailable)
        while await found.call(second, answers) is not None:
            await found.clock.sleep(0.1)
        assert 7.9 <= found.clock.monotonic_s() - began_s <= 9
        assert second.most is None, "the other was not asked for less"
        for _ in range(4 + 5 + 6):
            assert await found.call(first, answers) is None
        assert first.most == 7, "one more after each round that was answered"


async def test_a_credential_that_is_refused_stops_all_and_is_tried_again() -> None:
    async with office() as found:
        governor = found.worker()
        await found.fail(governor, BadCredential("401"), REFUSE_AFTER)
        assert governor.state.flow is Flow.REFUSING
        assert isinstance(await found.call(governor, answers), Unavailable)
        await found.clock.sleep(1.1)
        assert await found.call(governor, answers) is None
        assert governor.state.flow is Flow.FLOWING


async def test_no_more_run_at_once_than_may_and_all_have_their_turn() -> None:
    running = most = done = 0

    async with office(Limits(concurrency=3)) as found:
        governor = found.worker()

        async def how() -> None:
            nonlocal running, most, done
            running += 1
            most = max(most, running)
            await found.clock.sleep(0.2)
            running -= 1
            done += 1

        assert set(await asyncio.gather(*(found.call(governor, how) for _ in range(30)))) == {None}
    assert (most, done, governor.running) == (3, 30, 0)


async def test_who_gives_up_waiting_leaves_no_place_taken() -> None:
    async with office(Limits(concurrency=1)) as found:
        governor = found.worker()

        async def hold() -> None:
            await found.clock.sleep(10)

        async def leaving(seconds: float, *, aside: bool = False) -> None:
            await found.clock.sleep(seconds)
            raise Abandoned

        holding = asyncio.create_task(found.call(governor, hold))
        await found.clock.sleep(0.01)
        for _ in range(3):
            with pytest.raises(Abandoned):
                async with governor.turn(leaving):
                    raise AssertionError
        await holding
        assert await found.call(governor, answers) is None
        assert governor.running == 0


async def test_the_rate_is_shared_by_all_workers() -> None:
    made: list[float] = []

    async with office(Limits(per_s=20)) as found:
        workers = [found.worker() for _ in range(3)]

        async def how() -> None:
            made.append(found.clock.monotonic_s())

        async def lane(governor: Governor) -> None:
            for _ in range(20):
                while (error := await found.call(governor, how)) is not None:
                    assert isinstance(error, Throttled)
                    assert error.retry_after is not None
                    await found.clock.sleep(error.retry_after.total_seconds())

        await asyncio.gather(*(lane(governor) for governor in workers for _ in range(5)))
    assert len(made) == 300
    assert 14 <= max(made) <= 17
    for start in range(15):
        assert sum(start <= at < start + 1 for at in made) <= 20 + 3 * 2


async def test_an_action_of_several_calls_takes_as_much_of_the_rate() -> None:
    async with office(Limits(per_s=10)) as found:
        governor = found.worker()

        async def how() -> None:
            for _ in range(5):
                before_sending()

        began_s = found.clock.monotonic_s()
        for _ in range(10):
            while (error := await found.call(governor, how)) is not None:
                assert isinstance(error, Throttled)
                assert error.retry_after is not None
                await found.clock.sleep(error.retry_after.total_seconds())
        assert 4 <= found.clock.monotonic_s() - began_s <= 5.5


async def test_a_maintenance_window_is_waited_out() -> None:
    async with office(Limits(maintenance=(Window.parse("Mon-Sun 00:00-24:00"),))) as found:
        refused = await found.call(found.worker(), answers)
        assert isinstance(refused, Unavailable)
        assert "maintenance" in str(refused)


async def test_what_a_person_paused_is_not_called_until_he_resumes_it() -> None:
    async with office() as found:
        governor = found.worker()
        await found.states.pause(SYSTEM, by="kari", why="year end", within=None)
        await found.clock.sleep(LOOK_S * 1.5)
        refused = await found.call(governor, answers)
        assert "paused (year end)" in str(refused)
        await found.clock.sleep(7200)
        assert isinstance(await found.call(governor, answers), Unavailable)
        await found.states.resume(SYSTEM)
        await found.clock.sleep(LOOK_S * 1.5)
        assert await found.call(governor, answers) is None


async def test_a_store_that_is_away_lets_no_more_calls_through() -> None:
    async with office() as found:
        governor = found.worker()
        await found.clock.sleep(0.1)
        found.store.is_down = True
        await found.fail(governor, DOWN, BREAK_AFTER)
        assert governor.state.flow is Flow.AWAY
        assert isinstance(await found.call(governor, answers), Unavailable)


async def test_what_is_spare_waits_until_nothing_live_does() -> None:
    order: list[str] = []

    async def take(governor: Governor, name: str, *, spare: bool) -> None:
        async with governor.turn(found.clock.pause, spare=spare):
            order.append(name)
            await found.clock.sleep(1)

    async with office(Limits(concurrency=1)) as found:
        governor = found.worker()
        first = asyncio.create_task(take(governor, "first", spare=True))
        await found.clock.sleep(0.5)
        waiting = [asyncio.create_task(take(governor, name, spare=name[0] == "s")) for name in ("spare 1", "spare 2", "live 1", "live 2")]
        await asyncio.gather(first, *waiting)
    assert order == ["first", "live 1", "live 2", "spare 1", "spare 2"]


async def test_what_is_spare_takes_no_call_that_something_live_needs() -> None:
    async with office(Limits(per_s=1)) as found:
        governor = found.worker()
        await found.call(governor, answers)
        with pytest.raises(Throttled, match="live traffic needs"):
            async with governor.turn(found.clock.pause, spare=True):
                raise AssertionError("it was given a turn")
        began_s = found.clock.monotonic_s()
        assert await found.call(governor, answers) is None
        assert found.clock.monotonic_s() - began_s <= 1.0, "it waited for no other"
        await found.clock.sleep(1)
        async with governor.turn(found.clock.pause, spare=True):
            pass


async def test_who_gives_a_spare_turn_up_leaves_its_place_to_others() -> None:
    async def leaving(_: float, *, aside: bool = False) -> None:
        raise Abandoned

    async with office(Limits(concurrency=1)) as found:
        governor = found.worker()
        async with governor.turn(found.clock.pause):
            with pytest.raises(Abandoned):
                async with governor.turn(leaving, spare=True):
                    raise AssertionError("it was given a turn")
        async with governor.turn(found.clock.pause, spare=True):
            assert governor.running == 1
        assert governor.running == 0
