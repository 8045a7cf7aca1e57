"""The one thread that writes to a database: what it answers when work fails, and what survives it."""

from __future__ import annotations

import asyncio
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
