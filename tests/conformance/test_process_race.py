"""Two workers and one process: what each decides rests on what the other has decided before it (protocol.md, J)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, BrokenBarrierError

import pytest
from store_kit import FENCE, HANDLED, HERE, Stores, open_database, sql_stores

from integration_fabric.backends.sql.database import Database
from integration_fabric.canonical.entities import EntityRef
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.errors import FabricError
from integration_fabric.messages.ids import MessageId
from integration_fabric.messages.problems import Problem
from integration_fabric.process_engine.ports import Decide, Desk
from integration_fabric.process_engine.state import Instance, StepState, StepStatus
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.subscriber import Handled

PROCESS = "quote-to-activation"
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OTHER, THIRD = (Fence(FENCE.subscriber, FENCE.topic_id, partition, 5) for partition in (4, 5))
ROUNDS = 3
MEET_S = 0.2
"""How long one decision waits for the other to be under way, too; a database that lets only one be so keeps them apart."""


@pytest.fixture
def others_database(database_url: str) -> Iterator[Database]:
    """A second connection to the same database, as another worker has it."""
    with open_database(database_url) as database:
        yield database


async def both(databases: tuple[Database, Database], number: int, mine: Decide, others: Decide) -> None:
    """Two messages on two partitions, owned by two workers, decided at the same time; each until it is through."""
    stores, other_stores = (sql_stores(database) for database in databases)
    await asyncio.gather(handle(stores, FENCE, f"mine-{number}", mine), handle(other_stores, OTHER, f"others-{number}", others))


async def handle(stores: Stores, fence: Fence, message_id: str, decide: Decide) -> Handled:
    """As a lane does: again while the store says that it was unavailable."""
    coordinates = Coordinates(HERE.topic, fence.partition, HERE.offset)
    for _ in range(20):
        with suppress(FabricError):
            return await stores.instances.handle(fence, MessageId(message_id), coordinates, process=PROCESS, decide=decide)
    raise AssertionError("never through")


def meeting(barrier: Barrier) -> None:
    with suppress(BrokenBarrierError):
        barrier.wait(MEET_S)


@pytest.fixture
def third_database(database_url: str) -> Iterator[Database]:
    """A third connection."""
    with open_database(database_url) as database:
        yield database


def hold_and_change(number: int) -> tuple[Decide, Decide, dict[str, bool]]:
    """A refusal that is turned into a hold, the change that mends it, and what each has seen of the other."""
    ref, barrier = EntityRef("tax-code", f"T-{number}"), Barrier(2)
    seen: dict[str, bool] = {}

    def hold(desk: Desk) -> Handled:
        seen["change"] = desk.changed_at(ref) is not None
        meeting(barrier)
        problem = Problem(entity=ref.entity, id=ref.id, field="f", code="c")
        step = StepState("validate", StepStatus.HELD, problems=(problem,))
        desk.save(replace(Instance(PROCESS, 1, ref.id, "c", None, {}, NOW), steps={"validate": step}), sent=(), timers=())
        return HANDLED

    def change(desk: Desk) -> Handled:
        desk.note_change(ref, datetime.now(UTC))
        seen["hold"] = bool(desk.held_on(ref))
        meeting(barrier)
        return HANDLED

    return hold, change, seen


async def test_a_hold_and_the_change_that_ends_it_do_not_miss_each_other(database: Database, others_database: Database) -> None:
    """A refusal is turned into a hold while the change comes by: the one sees the other, or the quote waits for ever."""
    await sql_stores(database).take(FENCE)
    await sql_stores(database).take(OTHER)
    for number in range(ROUNDS):
        hold, change, seen = hold_and_change(number)
        await both((database, others_database), number, hold, change)
        assert seen["hold"] or seen["change"], "the hold was written beside the change that ends it"


def asking(number: int) -> Decide:
    def ask(desk: Desk) -> Handled:
        desk.changed_at(EntityRef("tax-code", f"T-{number}"))
        return HANDLED

    return ask


async def forget(stores: Stores) -> None:
    for _ in range(10):
        await stores.instances.prune(THIRD, process=PROCESS, below=0, older_than=timedelta(hours=1))


async def test_nor_while_older_changes_are_forgotten(database: Database, others_database: Database, third_database: Database) -> None:
    """Somebody asked after it before: its row, which both lock, is of no use, and a third worker forgets it at that very moment."""
    pruning = sql_stores(third_database)
    for fence in (FENCE, OTHER, THIRD):
        await pruning.take(fence)
    for number in range(ROUNDS):
        hold, change, seen = hold_and_change(number)
        await handle(pruning, THIRD, f"asked-{number}", asking(number))
        await asyncio.gather(both((database, others_database), number, hold, change), forget(pruning))
        assert seen["hold"] or seen["change"], "the hold was written beside the change that ends it"


async def test_two_answers_to_one_instance_are_both_kept(database: Database, others_database: Database) -> None:
    """Entitlements and onboarding answer at the same time, to two workers."""
    await sql_stores(database).take(FENCE)
    await sql_stores(database).take(OTHER)
    for number in range(ROUNDS):
        barrier, key = Barrier(2), f"Q-{number}"

        def begin(desk: Desk, key: str = key) -> Handled:
            desk.save(Instance(PROCESS, 1, key, "c", None, {}, NOW), sent=(), timers=())
            return HANDLED

        await handle(sql_stores(database), FENCE, f"begin-{number}", begin)

        def answer(desk: Desk, step: str, key: str = key, barrier: Barrier = barrier) -> Handled:
            instance = desk.by_key(key)
            assert instance is not None
            meeting(barrier)
            desk.save(instance.with_step(StepState(step, StepStatus.DONE)), sent=(), timers=())
            return HANDLED

        await both((database, others_database), number, lambda d: answer(d, "entitlements"), lambda d: answer(d, "onboarding"))
        (row,) = await sql_stores(database).instances.find(key=key)
        assert set(row.instance.steps) == {"entitlements", "onboarding"}


async def test_two_starts_of_one_key_make_one_instance(database: Database, others_database: Database) -> None:
    await sql_stores(database).take(FENCE)
    await sql_stores(database).take(OTHER)
    for number in range(ROUNDS):
        barrier, key = Barrier(2), f"Q-{number}"

        def start(desk: Desk, key: str = key, barrier: Barrier = barrier) -> Handled:
            if desk.by_key(key) is None:
                meeting(barrier)
                desk.save(Instance(PROCESS, 1, key, "c", None, {}, NOW), sent=[MessageId(f"{key}-validate")], timers=())
            return HANDLED

        await both((database, others_database), number, start, start)
        assert len(await sql_stores(database).instances.find(key=key)) == 1
