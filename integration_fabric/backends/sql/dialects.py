"""What differs between the databases: the one place that knows SQLite from PostgreSQL."""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Engine, Float, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from integration_fabric.messages.errors import UsageProblem

BUSY_TIMEOUT_MS = 10_000
"""SQLite: how long a writer waits for the other processes' transactions; each takes a few milliseconds."""

LOCK_TIMEOUT_MS = 200
"""PostgreSQL: how long a statement waits for another's lock before its work is put off. Not longer, as it may hold locks that the other
waits for, and all other work of the process waits behind it; not much shorter, as a commit on a busy disk takes tens of milliseconds."""
STATEMENT_TIMEOUT_MS = 30_000
"""PostgreSQL: nothing that the fabric asks takes longer, unless the server is in trouble."""
IDLE_TIMEOUT_MS = 10_000
"""PostgreSQL: a worker that is frozen inside a transaction must not keep the one that takes over from it waiting. Between two statements of
one there is only our own code, which takes microseconds."""
UPGRADE_WITHIN_S = 120
"""PostgreSQL: for another process that is bringing the tables up to date."""
UPGRADE_LOCK = 0x66616272_6963_0001
"""PostgreSQL: names the lock that whoever changes tables holds: `fabric` in ASCII, and a number."""

REACH = {
    "connect_timeout": "5",
    # A server that is gone without a word is noticed within about ten seconds, idle or not.
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "integration-fabric",
}
"""PostgreSQL: how its client library behaves where the URL does not say."""

UNIQUE_VIOLATION = "23505"
IN_THE_WAY = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATEs: a serialization failure, a deadlock, a lock that was not had in time."""


def make_engine(url: str) -> Engine:
    """Make the engine for a URL. Raises UsageProblem where the URL is no database's."""
    try:
        parsed = make_url(url)
        if parsed.drivername in {"postgres", "postgresql"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = _postgresql(parsed) if parsed.get_backend_name() == "postgresql" else create_engine(parsed)
    except (ArgumentError, ImportError, ValueError) as error:
        # what cannot be parsed may hold a piece of the password
        odd = "it cannot be taken apart; letters such as / and @ in its password must be percent-encoded"
        reason = odd if isinstance(error, ValueError) else str(error).splitlines()[0]
        raise UsageProblem(f"FABRIC_STORE__URL={shown(url)}: {reason}; use sqlite:///FILE or postgresql+psycopg://…") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def shown(url: str) -> str:
    """A URL as people may see it: without its password."""
    if url.startswith("sqlite"):
        return url
    # By hand: what is no URL, or one in another way than was meant, is shown as well.
    return re.sub(r"([?&]password=)[^&]*", r"\1***", re.sub(r":(?!//).*@", ":***@", url))


class NowS(FunctionElement[float]):
    """The database's clock, in seconds since 1970."""

    type = Float()
    inherit_cache = True


@compiles(NowS, "sqlite")
def _now_of_sqlite(*_: object, **__: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(NowS, "postgresql")
def _now_of_postgresql(*_: object, **__: object) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS FLOAT)"


def lock_name(connection: Connection, *parts: str) -> None:
    """Keep every other transaction that locks the same name waiting until this one ends: for what has no row yet that could be locked.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()
        connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(digest[:8], "big", signed=True))))


def be_alone_for_upgrade(connection: Connection) -> None:
    """Wait until no other process changes tables; what it did is then seen. SQLite's transactions are alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {UPGRADE_WITHIN_S * 1000}")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")


def storable(text: str) -> str:
    """Text as every database takes it: PostgreSQL knows no NUL, and neither takes half a surrogate pair."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "�")


class Failure(Enum):
    """What an error of a transaction that was not committed means for the work in it."""

    OWN = "the work's own: doing it again ends in the same way"
    OUTRUN = "another's row came first: begun anew at once, the work finds it"
    LOCKED = "another's transaction is in the way: it ends, but nobody knows when"
    LOST = "the connection went, e.g. as the server was restarted: a new one may do"
    AWAY = "the database does not answer, or not in time"


def meaning(error: BaseException) -> Failure:
    """What an error means. SQLite's own waiting is over when it fails, so that nothing of it is worth another try at once."""
    if not isinstance(error, DBAPIError):
        return Failure.OWN
    state = getattr(error.orig, "sqlstate", None)
    if state in IN_THE_WAY:
        return Failure.LOCKED
    if state == UNIQUE_VIOLATION:
        return Failure.OUTRUN
    if error.connection_invalidated:
        return Failure.LOST
    return Failure.AWAY if isinstance(error, (OperationalError, InterfaceError)) else Failure.OWN


def _postgresql(url: URL) -> Engine:
    reach = {name: value for name, value in REACH.items() if name not in url.query}
    engine = create_engine(url, connect_args=reach, isolation_level="READ COMMITTED")
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_postgresql(connection: Any, _: Any) -> None:
    connection.autocommit = True  # else they would end with the transaction
    connection.execute(
        f"SET lock_timeout = {LOCK_TIMEOUT_MS}; "
        f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}; "
        f"SET idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}"
    )
    connection.autocommit = False


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
