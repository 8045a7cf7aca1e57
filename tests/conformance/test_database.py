"""The one thread that writes to a database: what it answers when work fails, and what survives it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, select, text
from store_kit import FENCE, HERE, open_database, sql_stores

from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.tables import CURSORS, METADATA
from integration_fabric.messages.errors import FabricError, Unavailable, Unreachable, UsageProblem


def write(poller: str) -> object:
    def work(connection: Connection) -> None:
        connection.execute(insert(CURSORS).values(poller=poller, cursor="1", saved_s=0.0))

    return work


def all_pollers(connection: Connection) -> list[str]:
    return [row.poller for row in connection.execute(select(CURSORS.c.poller).order_by(CURSORS.c.poller))]


async def test_the_stores_name_outlives_the_connection(database_url: str) -> None:
    with open_database(database_url) as first:
        named = first.store_id
    with open_database(database_url) as second:
        assert second.store_id == named != ""


def test_migrations_make_the_tables_and_nothing_else(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


async def test_what_is_answered_stands_in_the_database(database: Database, database_url: str) -> None:
    await database.run(write("p"))  # type: ignore[arg-type]
    with open_database(database_url) as other:
        assert await other.run(all_pollers) == ["p"]


async def test_work_that_fails_leaves_nothing_and_its_error_comes_back(database: Database) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(insert(CURSORS).values(poller="half", cursor="1", saved_s=0.0))
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        await database.run(fail)
    outcomes = await asyncio.gather(*(database.run(work) for work in (write("a"), fail, write("b"))), return_exceptions=True)  # type: ignore[arg-type]
    assert [type(outcome) for outcome in outcomes] == [type(None), ZeroDivisionError, type(None)]
    assert await database.run(all_pollers) == ["a", "b"]


async def test_work_of_one_kind_that_waits_together_is_done_in_one_go(database: Database) -> None:
    """The first keeps the thread until the others wait."""
    calls: list[tuple[int, ...]] = []
    begun, go = threading.Event(), threading.Event()

    def keep(_: Connection) -> None:
        begun.set()
        assert go.wait(10)

    def double(_: Connection, items: Sequence[int]) -> list[int]:
        calls.append(tuple(items))
        return [2 * item for item in items]

    keeping = asyncio.create_task(database.run(keep))
    await asyncio.to_thread(begun.wait, 10)
    waiting = [asyncio.create_task(database.run_alike(double, item)) for item in (1, 2, 3)]
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*waiting) == [2, 4, 6]
    await keeping
    assert calls == [(1, 2, 3)]


async def test_of_work_of_one_kind_only_what_fails_has_failed(database: Database) -> None:
    def insert_all(connection: Connection, names: Sequence[str]) -> list[str]:
        connection.execute(insert(CURSORS), [{"poller": name, "cursor": "1", "saved_s": 0.0} for name in names])
        if "bad" in names:
            raise ZeroDivisionError("ours")
        return list(names)

    outcomes = await asyncio.gather(*(database.run_alike(insert_all, name) for name in ("a", "bad", "b")), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["a", "ours", "b"]
    assert await database.run(all_pollers) == ["a", "b"]


async def test_a_row_that_another_wrote_first_is_worth_another_try(database: Database) -> None:
    """Two workers insert one key: the one that comes second tries again, and then finds it."""
    await database.run(write("p"))  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await database.run(write("p"))  # type: ignore[arg-type]


async def test_a_value_that_the_database_cannot_hold_is_no_outage(database: Database) -> None:
    """Waiting mends nothing: it is a defect of this message, not a store that is away. SQLite holds anything."""
    stores = sql_stores(database)
    await stores.take()
    for odd in ("x" * 10_000, "nul\x00nul"):
        (answer,) = await asyncio.gather(stores.effects.claim(FENCE, odd, HERE, within=timedelta(minutes=1)), return_exceptions=True)
        assert not isinstance(answer, FabricError), answer


async def test_a_database_that_went_away_is_unavailable_in_one_line(database: Database) -> None:
    def break_it(connection: Connection) -> None:
        connection.execute(text("SELECT * FROM no_such_table"))

    with pytest.raises(Unavailable) as failure:
        await database.run(break_it)
    assert "\n" not in str(failure.value)


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 1000)
    with pytest.raises(Unreachable, match=r"FABRIC_STORE__URL=.*notes\.txt: file is not a database"), open_database(f"sqlite:///{path}"):
        pass


def test_a_url_that_is_none_is_said_so() -> None:
    with pytest.raises(UsageProblem, match="FABRIC_STORE__URL=nonsense"), open_database("nonsense"):
        pass
