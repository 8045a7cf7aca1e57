"""What differs between the databases: the one place that knows SQLite."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, Engine, Float, cast, create_engine, event, func, literal_column, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.sql.elements import ColumnElement

from integration_fabric.messages.errors import UsageProblem

BUSY_TIMEOUT_MS = 10_000
"""How long a writer waits for the other processes' transactions; each takes a few milliseconds."""


def make_engine(url: str) -> Engine:
    """Make the engine for a URL. Raises UsageProblem where the URL is no database's."""
    try:
        parsed = make_url(url)
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except (ArgumentError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise UsageProblem(f"FABRIC_STORE__URL={url}: {reason}; use sqlite:///FILE or postgresql+psycopg://…") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def now_s(engine: Engine) -> ColumnElement[float]:
    """The database's clock, in seconds since 1970."""
    if engine.dialect.name == "sqlite":
        return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Float)
    return cast(func.extract("epoch", func.clock_timestamp()), Float)


def lock_name(connection: Connection, *parts: str) -> None:
    """Keep every other transaction that locks the same name waiting until this one ends: for what has no row yet that could be locked.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()
        connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(digest[:8], "big", signed=True))))


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions by itself, and deferred
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # an intent that a power cut takes back would let a call be made twice
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # a deferred transaction that turns to writing fails at once instead of waiting
