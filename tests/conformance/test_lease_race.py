"""Two workers and one database: once a lease is raised, nothing of the epoch below it is written any more (protocol.md, test 6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event, func, select, update
from store_kit import FENCE, HERE, PARTITION, SUBSCRIBER, TOPIC_ID, Stores, open_database, sql_stores

from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.leases import hold_fence
from integration_fabric.backends.sql.tables import EFFECTS, LEASES
from integration_fabric.delivery.ports import Fresh
from integration_fabric.messages.errors import Fenced, Unavailable
from integration_fabric.runtime.ports import Fence, Lease, TakenLease
from integration_fabric.runtime.records import TopicPartition

ROUNDS = 15
MINUTE = timedelta(minutes=1)


@pytest.fixture
def others_database(database_url: str) -> Iterator[Database]:
    """A second connection to the same database, as another worker has it."""
    with open_database(database_url) as database:
        yield database


async def rows_of(database: Database, epoch: int) -> int:
    query = select(func.count()).select_from(EFFECTS).where(EFFECTS.c.epoch == epoch)
    return await database.run(lambda connection: connection.execute(query).scalar_one())


async def claim_until_fenced(stores: Stores, fence: Fence, begun: asyncio.Event) -> int:
    """Write intents until somebody else has the lease, leaving the database alone for a moment after each: SQLite's lock is not fair."""
    written = 0
    while True:
        claims = [stores.effects.claim(fence, f"{fence.epoch}-{written + n}", HERE, within=MINUTE) for n in range(5)]
        for found in await asyncio.gather(*claims, return_exceptions=True):
            if isinstance(found, Fresh):
                written += 1
            else:
                assert isinstance(found, Fenced)
                return written
        begun.set()
        await asyncio.sleep(0.002)


async def test_nothing_of_a_lower_epoch_is_written_after_the_lease_is_raised(database: Database, others_database: Database) -> None:
    mine, others = sql_stores(database), sql_stores(others_database)
    for epoch in range(1, ROUNDS + 1):
        old, new = Fence(SUBSCRIBER, TOPIC_ID, 3, 2 * epoch), Fence(SUBSCRIBER, TOPIC_ID, 3, 2 * epoch + 1)
        begun = asyncio.Event()
        await mine.take(old, "old")
        writing = asyncio.create_task(claim_until_fenced(mine, old, begun))
        await begun.wait()
        await others.take(new, "new")
        at_the_raise = await rows_of(others_database, old.epoch)
        written = await writing
        assert await rows_of(others_database, old.epoch) == at_the_raise == written


async def test_two_workers_that_write_at_once_wait_for_each_other(database: Database, others_database: Database) -> None:
    """A transaction that reads first and writes then must not fail because another wrote in between."""
    workers = [sql_stores(database), sql_stores(others_database)]
    links = [
        stores.cross_references.link("order", f"SO-{worker}-{number}", "tryton", f"{worker}-{number}")
        for number in range(40)
        for worker, stores in enumerate(workers)
    ]
    await asyncio.gather(*links)
    assert await workers[0].cross_references.canonical("order", "1-39", "tryton") == "SO-1-39"


async def test_of_two_who_raise_a_lease_to_one_epoch_one_has_it(database: Database, others_database: Database) -> None:
    """Also where nobody had it before. The other is told so, or that the store could not say."""
    mine, others = sql_stores(database), sql_stores(others_database)
    for partition in range(ROUNDS):
        for epoch in (1, 2, 3):
            lease = TakenLease(TopicPartition(PARTITION.topic, partition), TOPIC_ID, epoch)
            takers = {"a": mine, "b": others}
            answers = await asyncio.gather(
                *(stores.leases.take(SUBSCRIBER, [lease], name) for name, stores in takers.items()), return_exceptions=True
            )
            (owner,) = [name for name, answer in zip(takers, answers, strict=True) if answer == [True]]
            assert all(answer in ([True], [False]) or isinstance(answer, Unavailable) for answer in answers)
            assert await mine.leases.read(SUBSCRIBER, TOPIC_ID, partition) == Lease(epoch, 0, owner)


async def test_a_message_is_fresh_for_one_of_two_partitions_only(database: Database, others_database: Database) -> None:
    """One id on two partitions with two owners: one of them writes the intent."""
    mine, others = sql_stores(database), sql_stores(others_database)
    other_fence = Fence(SUBSCRIBER, TOPIC_ID, 4, 5)
    await mine.take(FENCE)
    await others.take(other_fence)
    for number in range(ROUNDS):
        found = await asyncio.gather(
            mine.effects.claim(FENCE, f"m-{number}", HERE, within=MINUTE),
            others.effects.claim(other_fence, f"m-{number}", HERE, within=MINUTE),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, Fresh) for answer in found) == 1


async def test_work_of_one_thread_is_grouped_and_one_failure_spares_the_others(database: Database) -> None:
    """Pieces of work that wait together share a transaction; each answer is still its own."""
    stores = sql_stores(database)
    await stores.take()
    stale = Fence(SUBSCRIBER, TOPIC_ID, 3, 4)
    found = await asyncio.gather(
        *(stores.effects.claim(stale if number % 3 == 0 else FENCE, f"m-{number}", HERE, within=MINUTE) for number in range(30)),
        return_exceptions=True,
    )
    assert [isinstance(answer, Fenced) for answer in found] == [number % 3 == 0 for number in range(30)]
    assert await rows_of(database, 5) == 20


async def test_a_fence_that_a_transaction_holds_is_asked_for_once(database: Database) -> None:
    """Its row is locked once for all messages of the partition that share the transaction, and again in the next one."""
    stores, asked = sql_stores(database), []
    await stores.take()

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        if "UPDATE leases SET serial" in statement:
            asked.append(statement)

    def hold_twice(connection: Connection) -> None:
        hold_fence(connection, FENCE)
        hold_fence(connection, FENCE)

    await database.run(hold_twice)
    assert len(asked) == 1
    await database.run(hold_twice)
    assert len(asked) == 2
    await stores.take(Fence(SUBSCRIBER, TOPIC_ID, PARTITION.partition, FENCE.epoch + 1), "other")
    with pytest.raises(Fenced):
        await database.run(hold_twice)


async def test_a_fence_held_in_a_savepoint_that_is_gone_is_asked_for_again(database: Database) -> None:
    """With the savepoint goes the lock: what comes after it in the same transaction may not rest on it."""
    stores, asked = sql_stores(database), []
    await stores.take()

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        if "UPDATE leases SET serial" in statement:
            asked.append(statement)

    def work(connection: Connection) -> None:
        savepoint = connection.begin_nested()
        hold_fence(connection, FENCE)
        savepoint.rollback()
        hold_fence(connection, FENCE)

    await database.run(work)
    assert len(asked) == 2


async def test_what_fails_beside_others_draws_no_number(database: Database) -> None:
    """In a savepoint that is gone: the number would be missed in the store, which would then look like an older copy."""
    stores = sql_stores(database)
    await stores.take()

    def fail(connection: Connection) -> None:
        hold_fence(connection, FENCE)
        raise KeyError("our own mistake")

    for _ in range(5):
        found = await asyncio.gather(*(database.run(fail) for _ in range(4)), return_exceptions=True)
        assert all(isinstance(error, KeyError) for error in found)
    await stores.effects.claim(FENCE, "m-1", HERE, within=MINUTE)
    lease = await stores.leases.read(SUBSCRIBER, TOPIC_ID, PARTITION.partition)
    assert lease is not None
    assert stores.leases.serial(SUBSCRIBER, TOPIC_ID, PARTITION.partition) == lease.serial == 1


async def test_a_store_that_has_gone_back_is_noticed_by_who_has_written_to_it(database: Database) -> None:
    """Restored from an older copy under a worker: what it wrote is gone, and it writes nothing more."""
    stores = sql_stores(database)
    await stores.take()
    for number in range(3):
        await stores.effects.claim(FENCE, f"m-{number}", HERE, within=MINUTE)
    await database.run(lambda connection: connection.execute(update(LEASES).values(serial=1)))
    for _ in range(2):
        with pytest.raises(Fenced):
            await stores.effects.claim(FENCE, "m-new", HERE, within=MINUTE)
    assert stores.leases.serial(SUBSCRIBER, TOPIC_ID, PARTITION.partition) == 3
