"""What PostgreSQL does and SQLite never does: others' transactions beside ours, connections that go, a server that restarts.

Each is provoked with two connections, and with everything that a message does to the store: none of it is lost, doubled or failed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cut_wire import Cut, wire_to
from sqlalchemy import Connection, create_engine, insert, select, text, update
from sqlalchemy.engine import make_url
from store_kit import FENCE, HANDLED, HERE, PARTITION, SUBSCRIBER, TOPIC_ID, Stores, empty, open_database, sql_stores

from integration_fabric.backends.sql import database as database_module, dialects
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.tables import CHANGES, CROSS_REFERENCES, CURSORS, EFFECTS, LEASES, STORE
from integration_fabric.canonical.entities import EntityRef
from integration_fabric.delivery.ports import EffectState, Fresh, Link, Open, Remembered
from integration_fabric.local import postgres
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.errors import Conflict, FabricError, Fenced, Unavailable
from integration_fabric.messages.ids import MessageId
from integration_fabric.process_engine.ports import Desk
from integration_fabric.process_engine.state import Instance
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Fence, TakenLease
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Handled

PROCESS = "quote-to-activation"
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OTHER = Fence(SUBSCRIBER, TOPIC_ID, 4, 5)
MINE_AND_OTHERS = [FENCE, OTHER]
LEASE = TakenLease(PARTITION, TOPIC_ID, 6)


@pytest.fixture
def url(postgres_url: str) -> str:
    """An empty store."""
    empty(postgres_url)
    return postgres_url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A worker's."""
    with open_database(url) as database:
        yield database


@pytest.fixture
async def mine(database: Database) -> Stores:
    """A worker's, with two partitions taken."""
    stores = sql_stores(database)
    for fence in MINE_AND_OTHERS:
        await stores.take(fence)
    return stores


@pytest.fixture
def others(url: str) -> Iterator[Callable[[], AbstractContextManager[Connection]]]:
    """Opens a transaction of another worker, which is committed at the end of its block."""
    engine = create_engine(url)
    yield engine.begin
    engine.dispose()


async def until_somebody_waits(database: Database) -> None:
    """Until the store's thread stands before another's lock."""
    question = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    engine = create_engine(database.url, isolation_level="AUTOCOMMIT")
    try:
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(_scalar, engine, question):
                await asyncio.sleep(0)
    finally:
        engine.dispose()


def _scalar(engine: Any, question: Any) -> Any:
    with engine.connect() as connection:
        return connection.execute(question).scalar()


# -- another worker's row comes first

Write = Callable[[Stores], Awaitable[object]]


def effect_row(message_id: str) -> dict[str, Any]:
    place = {"epoch": OTHER.epoch, "topic_id": TOPIC_ID, "partition": OTHER.partition, "offset": 7}
    return {"subscriber": SUBSCRIBER, "message_id": message_id, "generation": 0, "state": "intent", "written_s": 0.0, **place}


LINK = {"entity": "order", "system": "tryton"}


async def handle(stores: Stores, fence: Fence = FENCE, decide: Callable[[Desk], Handled] = lambda _: HANDLED) -> Handled:
    coordinates = Coordinates(HERE.topic, fence.partition, HERE.offset)
    return await stores.instances.handle(fence, MessageId("m-1"), coordinates, process=PROCESS, decide=decide)


async def claim(stores: Stores, fence: Fence = FENCE, message_id: str = "m-1") -> object:
    return await stores.effects.claim(fence, message_id, HERE, within=MINUTE)


async def link(stores: Stores) -> object:
    return await stores.cross_references.link("order", "SO-1", "tryton", "1")


async def change(stores: Stores) -> object:
    def decide(desk: Desk) -> Handled:
        desk.note_change(EntityRef("tax-code", "T-1"), NOW)
        assert desk.changed_at(EntityRef("tax-code", "T-1")) == NOW
        return HANDLED

    return await handle(stores, decide=decide)


async def save_cursor(stores: Stores) -> object:
    return await stores.cursors.save("poller", "2")


async def take(stores: Stores) -> object:
    return list(await stores.leases.take(SUBSCRIBER, [TakenLease(TopicPartition(PARTITION.topic, 9), TOPIC_ID, 6)], "me"))


CHANGE = {"process": PROCESS, "entity": "tax-code", "entity_id": "T-1", "changed_s": 1.0}
NEW_LEASE = {"subscriber": SUBSCRIBER, "topic_id": TOPIC_ID, "partition": 9, "epoch": 6, "serial": 0, "owner": "other"}


@pytest.mark.parametrize(
    ("row", "write", "found"),
    [
        (insert(EFFECTS).values(**effect_row("m-1")), claim, Open),
        (insert(EFFECTS).values(**effect_row("m-1"), kind="applied", detail="", outputs=b'{"types":[],"outputs":[]}'), claim, Remembered),
        (insert(CROSS_REFERENCES).values(**LINK, canonical_id="SO-1", native_id="1"), link, None),
        (insert(CROSS_REFERENCES).values(**LINK, canonical_id="SO-1", native_id="2"), link, None),
        (insert(CROSS_REFERENCES).values(**LINK, canonical_id="SO-2", native_id="1"), link, Conflict),
        (insert(CURSORS).values(poller="poller", cursor="1", saved_s=0.0), save_cursor, None),
        (insert(CHANGES).values(**CHANGE), change, Handled),
        (insert(LEASES).values(**NEW_LEASE), take, [False]),
    ],
    ids=["intent", "done", "same link", "older link", "other's link", "cursor", "change", "lease"],
)
async def test_a_row_that_another_wrote_first_is_found(  # noqa: PLR0917  three of them are the case
    database: Database, mine: Stores, others: Callable[[], AbstractContextManager[Connection]], row: Any, write: Write, found: Any
) -> None:
    """We look before it is committed, and write after: the whole piece of work begins anew, and nobody hears of it."""
    with others() as connection:
        connection.execute(row)
        writing = asyncio.create_task(write(mine))  # type: ignore[arg-type]
        await until_somebody_waits(database)
    (answer,) = await asyncio.gather(writing, return_exceptions=True)
    if isinstance(found, type):
        assert isinstance(answer, found), answer
    else:
        assert answer == found


async def test_what_waits_for_anothers_row_leaves_the_others_alone(
    database: Database, mine: Stores, others: Callable[[], AbstractContextManager[Connection]]
) -> None:
    """One lease is locked by a worker that dawdles: the other partition's messages go on, though one thread writes for both."""
    with others() as connection:
        connection.execute(update(LEASES).where(LEASES.c.partition == FENCE.partition).values(serial=1))
        waiting = asyncio.create_task(claim(mine))
        await until_somebody_waits(database)
        for number in range(20):
            assert isinstance(await claim(mine, OTHER, f"o-{number}"), Fresh)
        assert not waiting.done()
    assert isinstance(await waiting, Fresh)


async def test_a_lock_that_is_never_given_back_is_waited_for_no_longer_than_that(
    mine: Stores, others: Callable[[], AbstractContextManager[Connection]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "PATIENCE_S", 0.5)
    with others() as connection:
        connection.execute(update(LEASES).values(serial=1))
        with pytest.raises(Unavailable, match="lock timeout"):
            await claim(mine)
    assert isinstance(await claim(mine), Fresh)


async def test_a_worker_that_is_frozen_in_a_transaction_is_cut_off(url: str, mine: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SIGSTOP` between two statements: its locks must not keep its successor waiting."""
    monkeypatch.setattr(dialects, "IDLE_TIMEOUT_MS", 300)
    with open_database(url) as frozen:
        go_on, holds = threading.Event(), threading.Event()

        def freeze(connection: Connection) -> None:
            connection.execute(update(LEASES).values(serial=1))
            holds.set()
            assert go_on.wait(30)
            connection.execute(select(LEASES))

        freezing = asyncio.create_task(frozen.run(freeze))
        await asyncio.to_thread(holds.wait)
        assert list(await mine.leases.take(SUBSCRIBER, [LEASE], "successor")) == [True]
        go_on.set()
        holds.clear()
        await freezing  # begun anew on a new connection: nothing of the first time was kept


async def test_two_workers_that_lock_in_opposite_orders_both_go_through(database: Database, url: str, mine: Stores) -> None:
    """Each does two pieces of work in one transaction, in opposite orders; neither transaction can be the other's end."""
    with open_database(url) as others_database:
        meet = threading.Barrier(2)

        def touch(partition: int, *, first: bool) -> Callable[[Connection], int]:
            tries = 0

            def work(connection: Connection) -> int:
                nonlocal tries
                tries += 1
                connection.execute(update(LEASES).where(LEASES.c.partition == partition).values(serial=LEASES.c.serial + 1))
                if first and tries == 1:
                    meet.wait(10)
                return partition

            return work

        async def both(worker: Database, first: int, second: int) -> list[int]:
            held = threading.Event()
            holding = asyncio.create_task(worker.run(lambda _: held.wait(10)))
            works = [worker.run(touch(first, first=True)), worker.run(touch(second, first=False))]
            tasks = [asyncio.create_task(work) for work in works]
            await asyncio.sleep(0)
            held.set()
            await holding
            return list(await asyncio.gather(*tasks))

        answers = await asyncio.gather(both(database, 3, 4), both(others_database, 4, 3))
        assert answers == [[3, 4], [4, 3]]
    leases = [await mine.leases.read(SUBSCRIBER, TOPIC_ID, partition) for partition in (3, 4)]
    assert [lease and lease.serial for lease in leases] == [2, 2]


async def test_one_message_on_two_partitions_is_applied_once_and_a_duplicate_once(url: str, mine: Stores) -> None:
    with open_database(url) as others_database:
        other_stores = sql_stores(others_database)
        meet = threading.Barrier(2)
        met: set[int] = set()

        def decide(_: Desk) -> Handled:
            if threading.get_ident() not in met:
                met.add(threading.get_ident())
                meet.wait(10)
            return HANDLED

        kinds = [handled.kind for handled in await asyncio.gather(handle(mine, FENCE, decide), handle(other_stores, OTHER, decide))]
        assert sorted(kinds) == [OutcomeKind.APPLIED, OutcomeKind.DUPLICATE]


async def test_a_process_that_we_saw_none_of_is_begun_by_nobody_else_meanwhile(database: Database, url: str, mine: Stores) -> None:
    """We saw none; another worker looks before we have saved ours: it waits, and then sees ours."""
    looked, tasks = threading.Event(), []
    with open_database(url) as others_database:
        other_stores, loop = sql_stores(others_database), asyncio.get_running_loop()

        def start(desk: Desk, by: str) -> Handled:
            looked.set()
            if desk.by_key("Q-1") is not None:
                return Handled(OutcomeKind.SUPERSEDED)
            if by == "we":
                looked.clear()
                loop.call_soon_threadsafe(lambda: tasks.append(asyncio.create_task(begin(other_stores, "the other"))))
                assert looked.wait(10)
                asyncio.run_coroutine_threadsafe(until_somebody_waits(database), loop).result(10)
            desk.save(Instance(PROCESS, 1, "Q-1", by, None, {}, NOW), sent=(), timers=())
            return HANDLED

        async def begin(stores: Stores, by: str) -> Handled:
            fence = FENCE if by == "we" else OTHER
            coordinates = Coordinates(HERE.topic, fence.partition, HERE.offset)
            return await stores.instances.handle(fence, MessageId(by), coordinates, process=PROCESS, decide=lambda desk: start(desk, by))

        assert await begin(mine, "we") == HANDLED
        assert (await tasks[0]).kind is OutcomeKind.SUPERSEDED
    (row,) = await mine.instances.find(key="Q-1")
    assert row.instance.correlation_id == "we"


# -- connections that go


async def test_a_connection_that_went_while_idle_is_replaced(url: str, mine: Stores) -> None:
    _cut_off_everybody(url)
    assert isinstance(await claim(mine), Fresh)


async def test_a_connection_that_goes_in_the_middle_is_replaced_and_the_work_begins_anew(database: Database, url: str) -> None:
    tries = 0

    def work(connection: Connection) -> int:
        nonlocal tries
        tries += 1
        connection.execute(insert(CURSORS).values(poller="p", cursor="1", saved_s=0.0))
        if tries == 1:
            _cut_off_everybody(url)
        return connection.execute(select(CURSORS.c.cursor)).rowcount

    assert await database.run(work) == 1
    assert tries == 2


def _cut_off_everybody(url: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = :kind"),
            {"kind": "client backend"},
        )
    engine.dispose()


async def settle(stores: Stores) -> object:
    links = (Link("order", "SO-1", "tryton", "1"),)
    return await stores.effects.settle(FENCE, "m-0", HERE, HANDLED, state=EffectState.DONE, links=links)


async def start_process(stores: Stores) -> object:
    def decide(desk: Desk) -> Handled:
        assert desk.by_key("Q-1") is None, "decided twice"
        desk.save(Instance(PROCESS, 1, "Q-1", "c", None, {}, NOW), sent=[MessageId("c-1")], timers=())
        return HANDLED

    return await handle(stores, decide=decide)


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("write", [claim, settle, start_process, link, save_cursor, take])
async def test_a_commit_whose_answer_is_lost_may_be_asked_for_again(url: str, mine: Stores, write: Write, cut: Cut) -> None:
    """Nobody knows whether it was carried out, and we say so; doing it again is right in either case."""
    await claim(mine, message_id="m-0")
    with wire_to(url) as wire, open_database(wire.url) as database:
        by_wire = sql_stores(database)
        wire.cut_at_commit(cut)
        with pytest.raises(Unavailable, match=r"nobody knows whether it was carried out"):
            await write(by_wire)
        assert wire.cuts == 1
        again = await write(by_wire)
    carried_out = cut is Cut.AFTER
    match write:
        case _ if write is claim:  # then it counts as one that may have been sent: looked up, not sent blindly
            assert isinstance(again, Open if carried_out else Fresh)
        case _ if write is settle:
            assert await mine.effects.claim(FENCE, "m-0", HERE, within=MINUTE) == Remembered(HANDLED, same_record=True)
            assert await mine.cross_references.canonical("order", "1", "tryton") == "SO-1"
        case _ if write is start_process:
            assert again == HANDLED
            assert len(await mine.instances.find(key="Q-1")) == 1
        case _ if write is take:  # the takeover then raises a higher epoch
            assert again == [not carried_out]


def test_a_server_that_restarts_is_an_outage_that_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same Database goes on, and what it had promised is there."""
    settings = LocalSettings(state_dir=tmp_path_factory.mktemp("restarted"))
    address = postgres.up(settings, lambda _: None)
    try:
        asyncio.run(_through_a_restart(settings, address.url))
    finally:
        postgres.forget(settings)


async def _through_a_restart(settings: LocalSettings, url: str) -> None:
    with open_database(url) as database:
        stores = sql_stores(database)
        await stores.take(FENCE)
        assert isinstance(await claim(stores), Fresh)
        postgres.down(settings)
        with pytest.raises(Unavailable) as away:
            await claim(stores, message_id="m-2")
        assert "\n" not in str(away.value)
        assert make_url(url).password not in str(away.value)
        postgres.up(settings, lambda _: None)
        assert isinstance(await claim(stores), Open)
        assert isinstance(await claim(stores, message_id="m-2"), Fresh)


# -- at the start


@contextmanager
def new_database(url: str) -> Iterator[str]:
    """A database without a single table."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS brand_new WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE brand_new"))
    yield make_url(url).set(database="brand_new").render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE brand_new WITH (FORCE)"))
    engine.dispose()


def test_workers_that_start_at_once_on_an_empty_store_make_it_once(postgres_url: str) -> None:
    with new_database(postgres_url) as url:
        begin = threading.Barrier(4)

        def start(_: int) -> str:
            database = Database(url)
            begin.wait(10)
            database.open()
            database.close()
            return database.store_id

        with ThreadPoolExecutor(4) as pool:
            names = set(pool.map(start, range(4)))
        engine = create_engine(url)
        with engine.connect() as connection:
            assert connection.execute(select(STORE.c.id)).scalars().all() == list(names)
        engine.dispose()


def test_a_session_is_bounded_in_all_that_it_waits_for(database: Database, postgres_url: str) -> None:
    with database.engine.connect() as connection:
        asked = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "transaction_isolation", "application_name")
        assert {name: connection.execute(text(f"SHOW {name}")).scalar() for name in asked} == {
            "lock_timeout": "200ms",
            "statement_timeout": "30s",
            "idle_in_transaction_session_timeout": "10s",
            "transaction_isolation": "read committed",
            "application_name": "integration-fabric",
        }
        assert postgres_url.startswith(str(database.engine.url.drivername))


@pytest.mark.parametrize("odd", ["nul\x00nul", "half \ud800", "x" * 300])
async def test_what_no_text_column_holds_is_a_defect_of_its_message_alone(mine: Stores, odd: str) -> None:
    answers = await asyncio.gather(claim(mine, message_id="m-1"), claim(mine, message_id=odd), return_exceptions=True)
    assert isinstance(answers[0], Fresh)
    assert isinstance(answers[1], Exception)
    assert not isinstance(answers[1], FabricError)


async def test_an_old_epoch_among_others_is_fenced_alone(mine: Stores) -> None:
    stale = Fence(SUBSCRIBER, TOPIC_ID, OTHER.partition, OTHER.epoch - 1)
    answers = await asyncio.gather(claim(mine, FENCE, "a"), claim(mine, stale, "b"), claim(mine, FENCE, "c"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Fresh, Fenced, Fresh]
