"""One database, written by one thread. Each piece of work is a function of a connection, so no transaction can span an await."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from integration_fabric.backends.sql import migrations
from integration_fabric.backends.sql.dialects import make_engine, now_s
from integration_fabric.backends.sql.tables import STORE
from integration_fabric.messages.errors import Unavailable, Unreachable

T = TypeVar("T")

GROUP = 64
"""Pieces of work that share one transaction, and so one flush to disk."""


@dataclass(slots=True)
class _Work:
    call: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]


class Database:
    """The store. Make it with `open`; it is safe to use from one event loop."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = make_engine(url)
        self.store_id = ""
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="store", daemon=True)

    def now_s(self) -> ColumnElement[float]:
        """The database's clock as an expression, in seconds since 1970."""
        return now_s(self.engine)

    def open(self) -> None:
        """Bring the tables up to date and begin. Blocks. Raises Unreachable where the database does not answer."""
        try:
            with self.engine.begin() as connection:
                migrations.upgrade(connection)
                found = connection.execute(select(STORE.c.id)).scalar()
                if found is None:
                    found = uuid4().hex[:12]
                    connection.execute(insert(STORE).values(id=found))
                self.store_id = str(found)
        except DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
            raise Unreachable(f"FABRIC_STORE__URL={self._shown()}: {reason}; start the database or correct the setting") from error
        self._thread.start()

    async def run(self, call: Callable[[Connection], T]) -> T:
        """Run one piece of work in a transaction of its own or shared with others; durable when it returns.

        Raises:
            Unavailable: the database does not answer, or the transaction did not commit: nothing of it happened.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._work.put(_Work(call, loop, answer))
        result: T = await answer
        return result

    def close(self) -> None:
        """End the thread and let go of the connections."""
        if self._thread.is_alive():
            self._work.put(None)
            self._thread.join(10)
        self.engine.dispose()

    def _shown(self) -> str:
        return self.engine.url.render_as_string(hide_password=True)

    def _main(self) -> None:
        while True:
            works, end = self._gather()
            if works:
                self._transact(works)
            if end:
                return

    def _gather(self) -> tuple[list[_Work], bool]:
        works: list[_Work] = []
        item = self._work.get()
        while item is not None:
            works.append(item)
            if len(works) == GROUP:
                return works, False
            try:
                item = self._work.get_nowait()
            except queue.Empty:
                return works, False
        return works, True

    def _transact(self, works: list[_Work]) -> None:
        outcomes: list[tuple[_Work, Any, Exception | None]] = []
        try:
            with self.engine.begin() as connection:
                outcomes = [self._one(connection, work, alone=len(works) == 1) for work in works]
        except Exception as error:  # noqa: BLE001  it belongs to those who asked
            outcomes = [(work, None, self._named(error)) for work in works]
        for loop in {work.loop for work in works}:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_answer, [outcome for outcome in outcomes if outcome[0].loop is loop])

    def _one(self, connection: Connection, work: _Work, *, alone: bool) -> tuple[_Work, Any, Exception | None]:
        if alone:
            return work, work.call(connection), None
        try:
            with connection.begin_nested():
                return work, work.call(connection), None
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001  one piece of work failed; its savepoint is gone, the others stand
            return work, None, self._named(error)

    def _named(self, error: Exception) -> Exception:
        if isinstance(error, SQLAlchemyError) and not isinstance(error, DataError):  # a value that does not fit never will
            return Unavailable(f"store {self._shown()}: {str(error).splitlines()[0]}")
        return error


def _answer(outcomes: list[tuple[_Work, Any, Exception | None]]) -> None:
    for work, result, error in outcomes:
        if work.answer.done():
            continue
        if error is None:
            work.answer.set_result(result)
        else:
            work.answer.set_exception(error)
