"""One database, written by one thread. Each piece of work is a function of a connection, so no transaction can span an await.

Work that waits together shares a transaction, and where it is of one kind the statements too. A piece of work may be run several times
before it is answered, each time after all that it did was undone: it changes nothing but the database.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError

from integration_fabric.backends.sql import migrations
from integration_fabric.backends.sql.dialects import Failure, be_alone_for_upgrade, make_engine, meaning, shown
from integration_fabric.backends.sql.tables import STORE
from integration_fabric.messages.errors import Unavailable, Unreachable

T = TypeVar("T")
A = TypeVar("A")

GROUP = 256
"""Pieces of work that share one transaction, and so one flush to disk: more than run at once, and still a few milliseconds."""
TRIES = 4
"""For one piece of work that others outran, or whose connection was lost. Each time a row that it had not seen is there; three such rows of
one message are more than there ever are."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5
"""Between two tries to have a lock, doubled from one to the next. Each try keeps the thread for as long as the database waits."""
PATIENCE_S = 10.0
"""How long one piece of work comes back for a lock, before whoever asked is told that the store is unavailable and waits in its lane."""


@dataclass(slots=True)
class _Work:
    call: Callable[[Connection, Sequence[Any]], Sequence[Any]]
    """What does it, for several pieces of work at once; answers are in their order."""
    item: Any
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    began_s: float = field(default_factory=time.monotonic)
    tries: int = 0
    """How often it was put off. It then has a transaction of its own, and waits for others' locks with nothing in hand."""

    def may_come_back(self, failure: Failure) -> bool:
        """Whether it is worth another try."""
        if failure is Failure.LOCKED:
            return time.monotonic() - self.began_s < PATIENCE_S
        return failure in {Failure.OUTRUN, Failure.LOST} and self.tries < TRIES


@dataclass(frozen=True, slots=True)
class _Outcome:
    work: _Work
    result: Any = None
    error: Exception | None = None


DRAWN, DURABLE = "drawn", "durable"
"""In `Connection.info`: numbers that the transaction under way has drawn, and the highest of each name that were ever committed."""


class _InDoubt(Exception):
    """The connection went while a commit was under way: nobody knows whether it was carried out."""


class Database:
    """The store. Make it with `open`; it is safe to use from one event loop."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = make_engine(url)
        self.store_id = ""
        self.durable: dict[Hashable, int] = {}
        """The highest number of each name that a transaction of this process has drawn and committed."""
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="store", daemon=True)

    def open(self) -> None:
        """Bring the tables up to date and begin. Blocks. Raises Unreachable where the database does not answer."""
        try:
            with self.engine.begin() as connection:
                be_alone_for_upgrade(connection)
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

        Args:
            call: Runs in the store's thread, several times where it must; it changes nothing but the database.

        Raises:
            Unavailable: the database does not answer in time. Nothing of it happened; or, where the connection went during the commit,
                nobody knows. Work that may be asked for again is written so that it then finds what it did.
        """
        return await self.run_alike(lambda connection, _: (call(connection),), None)

    async def run_alike(self, call: Callable[[Connection, Sequence[A]], Sequence[T]], item: A) -> T:
        """As `run`, for work of which much waits at once: what waits for the same `call` is done by one call of it.

        Args:
            call: Does several pieces of work, and answers in their order. Where it raises, each is tried alone.
            item: What this piece of work is about.

        Raises:
            Unavailable: as `run`.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._work.put(_Work(call, item, loop, answer))
        result: T = await answer
        return result

    def close(self) -> None:
        """End the thread and let go of the connections."""
        if self._thread.is_alive():
            self._work.put(None)
            self._thread.join(10)
        self.engine.dispose()

    def _shown(self) -> str:
        return shown(self.engine.url.render_as_string(hide_password=True))

    def _main(self) -> None:
        ending = False
        while not ending or not self._work.empty():
            works, last = self._gather()
            ending = ending or last
            together = [work for work in works if not work.tries]
            for group in (together, *([work] for work in works if work.tries)):
                if group:
                    self._answer(self._carry_out(group), ending=ending)

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

    def _carry_out(self, works: Sequence[_Work]) -> Sequence[_Outcome]:
        """In one transaction. Where a piece of work fails, once more with each in a savepoint, so that the failure is its own alone."""
        try:
            try:
                return self._transact(works, apart=False)
            except Exception as error:
                failure = meaning(error)
                its_own = len(works) == 1 and failure is not Failure.LOST
                if its_own or failure is Failure.AWAY or isinstance(error, _InDoubt):
                    raise
            return self._transact(works, apart=True)
        except Exception as error:  # noqa: BLE001  it belongs to those who asked
            return [_Outcome(work, error=error) for work in works]

    def _transact(self, works: Sequence[_Work], *, apart: bool) -> Sequence[_Outcome]:
        with self.engine.connect() as connection, connection.begin() as transaction:
            connection.info[DRAWN], connection.info[DURABLE] = {}, self.durable
            outcomes = [_tried(connection, work) for work in works] if apart else _done(connection, works)
            drawn: dict[Hashable, int] = connection.info[DRAWN]
            try:
                transaction.commit()
            except DBAPIError as error:
                if error.connection_invalidated:
                    reason = str(error).splitlines()[0]
                    raise _InDoubt(f"the connection went during a commit, and nobody knows whether it was carried out: {reason}") from error
                raise
        self.durable.update(drawn)
        return outcomes

    def _answer(self, outcomes: Sequence[_Outcome], *, ending: bool) -> None:
        """Tell those who asked, each in its own loop; put off what is worth another try."""
        told: list[_Outcome] = []
        for outcome in outcomes:
            work = outcome.work
            failure = None if outcome.error is None else meaning(outcome.error)
            if failure is not None and not ending and work.may_come_back(failure):
                self._put_off(work, failure)
            else:
                told.append(replace(outcome, error=outcome.error and self._named(outcome.error)))
        for loop in {outcome.work.loop for outcome in told}:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_tell, [outcome for outcome in told if outcome.work.loop is loop])

    def _put_off(self, work: _Work, failure: Failure) -> None:
        """Try it again: at once, or a little later where it waits for a lock, so that other work is not kept waiting with it."""
        work.tries += 1
        if failure is not Failure.LOCKED:
            self._work.put(work)
        elif not work.loop.is_closed():
            delay_s = min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2 ** (work.tries - 1))
            work.loop.call_soon_threadsafe(lambda: work.loop.call_later(delay_s, self._work.put, work))

    def _named(self, error: Exception) -> Exception:
        ours = not isinstance(error, (SQLAlchemyError, _InDoubt))
        if ours or isinstance(error, DataError):  # a value that does not fit never will
            return error
        return Unavailable(f"store {self._shown()}: {str(error).splitlines()[0]}")


def _done(connection: Connection, works: Sequence[_Work]) -> list[_Outcome]:
    """All of it, each kind in one go. It waited at the same time, so nobody has promised an order."""
    kinds: dict[Callable[..., Any], list[_Work]] = {}
    for work in works:
        kinds.setdefault(work.call, []).append(work)
    return [
        _Outcome(work, result)
        for call, alike in kinds.items()
        for work, result in zip(alike, call(connection, [work.item for work in alike]), strict=True)
    ]


def _tried(connection: Connection, work: _Work) -> _Outcome:
    """In a savepoint, which is gone where it fails. Raises what concerns every piece of work."""
    drawn = dict(connection.info[DRAWN])
    try:
        with connection.begin_nested():
            (result,) = work.call(connection, [work.item])
            return _Outcome(work, result)
    except Exception as error:
        connection.info[DRAWN] = drawn
        if meaning(error) in {Failure.AWAY, Failure.LOST}:
            raise
        return _Outcome(work, error=error)


def _tell(outcomes: Sequence[_Outcome]) -> None:
    for outcome in outcomes:
        answer = outcome.work.answer
        if answer.done():
            continue
        if outcome.error is None:
            answer.set_result(outcome.result)
        else:
            answer.set_exception(outcome.error)
