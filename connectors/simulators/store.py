"""The state of one simulated vendor: one SQLite file with its records, a log of every write call, and the queue of its webhooks.

Written by the handlers and read by the control API, always from the one thread of the event loop. What is committed survives
`kill -9` of the process: the write-ahead log is with the operating system by then (it need not survive the machine, hence
synchronous=NORMAL).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.simulators.clock import iso_micros, now

_TABLES = """
CREATE TABLE IF NOT EXISTS records (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    external_id TEXT,
    unique_key TEXT,
    body TEXT NOT NULL,
    created_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    UNIQUE (kind, id),
    UNIQUE (kind, unique_key)
);
CREATE INDEX IF NOT EXISTS records_by_external_id ON records (kind, external_id);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    kind TEXT,
    external_id TEXT,
    status INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_by_external_id ON calls (external_id);
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    order_key TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at_s REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    acknowledged_copies INTEGER NOT NULL DEFAULT 0,
    failed_attempts INTEGER NOT NULL DEFAULT 0,
    next_at_s REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS events_waiting ON events (next_at_s) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS events_held ON events (order_key, next_at_s) WHERE state = 'held';
CREATE INDEX IF NOT EXISTS events_in_order ON events (order_key, position) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    kind TEXT,
    external_id TEXT,
    stored_at_s REAL NOT NULL
);
"""
_EMPTIED = ("records", "counters", "calls", "events", "answers")
_COLUMNS = "kind, id, external_id, body, created_at, changed_at"


class DuplicateError(Exception):
    """A record with this id or unique key exists.

    Attributes:
        existing_id: its id.
    """

    def __init__(self, kind: str, existing_id: str) -> None:
        super().__init__(f"{kind} {existing_id} exists")
        self.existing_id = existing_id


@dataclass(frozen=True, slots=True)
class Record:
    """One stored record; `body` is what the vendor shows or is made from."""

    kind: str
    id: str
    external_id: str | None
    body: dict[str, Any]
    created_at: str
    changed_at: str


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One write call that reached the vendor, with the status that it was answered with."""

    position: int
    at: str
    method: str
    path: str
    kind: str | None
    external_id: str | None
    status: int


class Store:
    """One open database file.

    Args:
        path: the file; it is made where it is missing.
        indexed: paths into bodies that `find` goes by, e.g. `$.party`; several by comma that it goes by together.
    """

    def __init__(self, path: Path, indexed: Sequence[str] = ()) -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.execute("PRAGMA case_sensitive_like=ON")
        self.db.executescript(_TABLES)
        for body_paths in indexed:
            name = "by_" + body_paths.replace("$.", "").replace(".", "_").replace(",", "_and_")
            values = ", ".join(f"json_extract(body, '{path}')" for path in body_paths.split(","))
            self.db.execute(f"CREATE INDEX IF NOT EXISTS records_{name} ON records (kind, {values})")

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block did, or nothing of it where it raises."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block did where it raises; the transaction around it goes on."""
        self.db.execute("SAVEPOINT effect")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK TO effect")
            self.db.execute("RELEASE effect")
            raise
        self.db.execute("RELEASE effect")

    def next_number(self, name: str) -> int:
        """The next value of a sequence, from 1."""
        row = self.db.execute(
            "INSERT INTO counters (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value", (name,)
        ).fetchone()
        return int(row[0])

    def insert(
        self, kind: str, record_id: str, body: dict[str, Any], *, external_id: str | None = None, unique_key: str | None = None
    ) -> Record:
        """Add a record.

        Args:
            kind: what it is.
            record_id: the vendor's own id of it.
            body: a JSON object.
            external_id: somebody else's id of it; it may repeat.
            unique_key: a second record of the kind with the same one is refused.

        Returns:
            The record.

        Raises:
            DuplicateError: the id or the unique key is taken.
        """
        at = iso_micros(now())
        try:
            self.db.execute(
                f"INSERT INTO records ({_COLUMNS}, unique_key) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants only
                (kind, record_id, external_id, json.dumps(body), at, at, unique_key),
            )
        except sqlite3.IntegrityError as error:
            existing = self.db.execute(
                "SELECT id FROM records WHERE kind = ? AND (id = ? OR unique_key = ?)", (kind, record_id, unique_key)
            ).fetchone()
            raise DuplicateError(kind, existing[0]) from error
        return Record(kind, record_id, external_id, body, at, at)

    def replace(self, record: Record, body: dict[str, Any], *, unique_key: str | None = None) -> Record:
        """Give a record another body (and another unique key, where one is named).

        Raises:
            DuplicateError: the unique key is taken.
        """
        at = iso_micros(now())
        try:
            self.db.execute(
                "UPDATE records SET body = ?, changed_at = ?, unique_key = coalesce(?, unique_key) WHERE kind = ? AND id = ?",
                (json.dumps(body), at, unique_key, record.kind, record.id),
            )
        except sqlite3.IntegrityError as error:
            existing = self.db.execute("SELECT id FROM records WHERE kind = ? AND unique_key = ?", (record.kind, unique_key)).fetchone()
            raise DuplicateError(record.kind, existing[0]) from error
        return Record(record.kind, record.id, record.external_id, body, record.created_at, at)

    def delete(self, record: Record) -> None:
        """Remove a record."""
        self.db.execute("DELETE FROM records WHERE kind = ? AND id = ?", (record.kind, record.id))

    def get(self, kind: str, record_id: str) -> Record | None:
        """The record with this id."""
        found = self.find(kind, "id = ?", (record_id,))
        return found[0] if found else None

    def by_unique_key(self, kind: str, unique_key: str) -> Record | None:
        """The record with this unique key."""
        found = self.find(kind, "unique_key = ?", (unique_key,))
        return found[0] if found else None

    def by_external_id(self, kind: str, external_id: str) -> list[Record]:
        """Every record with this external id, oldest first."""
        return self.find(kind, "external_id = ?", (external_id,))

    def find(
        self,
        kind: str,
        where: str = "1",
        values: Sequence[Any] = (),
        *,
        order: str = "position",
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Record]:
        """Records of a kind by an SQL condition made of constants and placeholders, in an SQL order.

        Args:
            kind: what to look for.
            where: condition with `?` for each value.
            values: the values.
            order: an ORDER BY list.
            limit: at most so many; None for all.
            offset: skip so many.
        """
        sql = f"SELECT {_COLUMNS} FROM records WHERE kind = ? AND ({where}) ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608 - see docstring
        rows = self.db.execute(sql, (kind, *values, -1 if limit is None else limit, offset))
        return [Record(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5]) for row in rows]

    def count(self, kind: str, where: str = "1", values: Sequence[Any] = ()) -> int:
        """How many records `find` would give without a limit."""
        sql = f"SELECT count(*) FROM records WHERE kind = ? AND ({where})"  # noqa: S608 - as find
        return int(self.db.execute(sql, (kind, *values)).fetchone()[0])

    def counts(self) -> dict[str, int]:
        """Number of records by kind."""
        return dict(self.db.execute("SELECT kind, count(*) FROM records GROUP BY kind ORDER BY kind").fetchall())

    def log_call(self, method: str, path: str, *, kind: str | None, external_id: str | None, status: int) -> None:
        """Note a write call, in the transaction of its effect."""
        self.db.execute(
            "INSERT INTO calls (at, method, path, kind, external_id, status) VALUES (?, ?, ?, ?, ?, ?)",
            (iso_micros(now()), method, path, kind, external_id, status),
        )

    def calls(self, external_id: str | None = None) -> list[LoggedCall]:
        """The write calls in the order in which they were performed; those about one external id where one is given."""
        rows = self.db.execute(
            "SELECT position, at, method, path, kind, external_id, status FROM calls"
            " WHERE ?1 IS NULL OR external_id = ?1 ORDER BY position",
            (external_id,),
        )
        return [LoggedCall(*row) for row in rows]

    def empty(self) -> None:
        """Remove everything."""
        for table in _EMPTIED:
            self.db.execute(f"DELETE FROM {table}")  # noqa: S608 - the constants above

    def is_empty(self) -> bool:
        """Whether there is no record and there never was one."""
        return self.db.execute("SELECT 1 FROM counters LIMIT 1").fetchone() is None
