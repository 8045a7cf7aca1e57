"""`delivery.ports.SystemStates` on every store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from store_kit import Stores

from integration_fabric.delivery.ports import Flow, SystemState

MINUTE = timedelta(minutes=1)


async def state(stores: Stores, system: str = "tryton") -> SystemState:
    return (await stores.system_states.read()).get(system, SystemState())


async def test_a_system_that_nothing_is_known_of_flows(stores: Stores) -> None:
    assert await stores.system_states.read() == {}


async def test_what_one_worker_found_out_the_others_know(stores: Stores) -> None:
    await stores.system_states.turn_away("tryton", Flow.AWAY, MINUTE, why="connection refused \x00", failures=2)
    found = await state(stores)
    assert (found.flow, found.failures) == (Flow.AWAY, 2)
    assert found.why.startswith("connection refused")
    assert timedelta(seconds=50) < found.remaining <= MINUTE
    assert found.since is not None
    assert (await state(stores, "stripe")).flow is Flow.FLOWING
    await stores.system_states.flows("tryton")
    assert (await state(stores)).flow is Flow.FLOWING


async def test_a_longer_wait_of_the_same_kind_stays(stores: Stores) -> None:
    await stores.system_states.turn_away("tryton", Flow.THROTTLED, MINUTE, why="429")
    await stores.system_states.turn_away("tryton", Flow.THROTTLED, timedelta(seconds=1), why="429 again")
    assert (await state(stores)).remaining > timedelta(seconds=50)


async def test_a_throttle_that_is_over_flows(stores: Stores) -> None:
    await stores.system_states.turn_away("tryton", Flow.THROTTLED, timedelta(), why="429")
    assert (await state(stores)).flow is Flow.FLOWING


async def test_away_stays_away_until_somebody_has_asked(stores: Stores) -> None:
    await stores.system_states.turn_away("tryton", Flow.AWAY, timedelta(), why="down")
    found = await state(stores)
    assert found.flow is Flow.AWAY
    assert found.remaining <= timedelta()


async def test_one_asks_whether_it_is_back(stores: Stores) -> None:
    answers = await asyncio.gather(*(stores.system_states.claim_probe("tryton", MINUTE) for _ in range(5)))
    assert sorted(answers) == [False] * 4 + [True]
    assert await stores.system_states.claim_probe("stripe", MINUTE)
    await stores.system_states.flows("tryton")
    assert await stores.system_states.claim_probe("tryton", MINUTE)


async def test_who_does_not_ask_after_all_leaves_it_to_another(stores: Stores) -> None:
    assert await stores.system_states.claim_probe("tryton", MINUTE)
    await stores.system_states.return_probe("tryton")
    answers = await asyncio.gather(*(stores.system_states.claim_probe("tryton", MINUTE) for _ in range(2)))
    assert sorted(answers) == [False, True]


async def test_what_a_person_paused_stays_paused_until_a_person_resumes_it(stores: Stores) -> None:
    await stores.system_states.pause("tryton", by="kari", why="year end", within=None)
    await stores.system_states.turn_away("tryton", Flow.AWAY, MINUTE, why="down")
    await stores.system_states.flows("tryton")
    found = await state(stores)
    assert (found.flow, found.by, found.why) == (Flow.PAUSED, "kari", "year end")
    assert await stores.system_states.resume("tryton")
    assert (await state(stores)).flow is Flow.FLOWING
    assert not await stores.system_states.resume("tryton")


async def test_a_pause_for_a_while_ends_by_itself(stores: Stores) -> None:
    await stores.system_states.pause("tryton", by="kari", why="", within=timedelta())
    await stores.system_states.pause("stripe", by="kari", why="", within=MINUTE)
    assert (await state(stores, "stripe")).flow is Flow.PAUSED
    assert (await state(stores, "tryton")).flow is Flow.FLOWING


async def test_after_a_pause_that_has_ended_the_others_hear_of_an_outage_again(stores: Stores) -> None:
    await stores.system_states.pause("tryton", by="kari", why="", within=timedelta())
    await stores.system_states.turn_away("tryton", Flow.AWAY, MINUTE, why="down")
    assert (await state(stores)).flow is Flow.AWAY
    await stores.system_states.flows("tryton")
    assert (await state(stores)).flow is Flow.FLOWING


async def test_calls_of_a_shared_rate_come_one_after_the_other(stores: Stores) -> None:
    waits = [await stores.system_states.reserve("tryton", 10, per_s=1.0) for _ in range(3)]
    assert waits[0] == timedelta()
    assert timedelta(seconds=8) < waits[1] <= timedelta(seconds=10)
    assert timedelta(seconds=18) < waits[2] <= timedelta(seconds=20)
    assert await stores.system_states.reserve("stripe", 1, per_s=1.0) == timedelta()
    await stores.system_states.turn_away("tryton", Flow.THROTTLED, MINUTE, why="429")
    assert await stores.system_states.reserve("tryton", 1, per_s=1.0) > timedelta(seconds=20)


async def test_what_is_spare_is_taken_only_where_nobody_has_taken_in_advance(stores: Stores) -> None:
    states = stores.system_states
    assert await states.reserve("spare", 1, per_s=1, spare=True) == timedelta()
    wait = await states.reserve("spare", 1, per_s=1, spare=True)
    assert timedelta() < wait <= timedelta(seconds=1)
    live = await states.reserve("spare", 1, per_s=1)
    assert live <= wait, "the one that was not taken took no time"
