"""The effect log on SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Float, Integer, Update, and_, bindparam, delete, insert, null, or_, select, update

from integration_fabric.backends.sql.cross_references import link
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.dialects import NowS, storable
from integration_fabric.backends.sql.leases import hold_fence, hold_fences
from integration_fabric.backends.sql.packing import pack, unpack
from integration_fabric.backends.sql.tables import EFFECTS
from integration_fabric.delivery.ports import PRUNED_AT_ONCE, Claim, EffectLog, EffectState, Fresh, Link, Open, Remembered
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.subscriber import Handled

_MINE = (EFFECTS.c.subscriber == bindparam("of_subscriber"), EFFECTS.c.message_id == bindparam("of_message"))
# Made once: SQLAlchemy takes three times as long to make a statement as to carry it out.
_FIND = select(EFFECTS).where(*_MINE)
_FIND_ALL = select(EFFECTS, NowS().label("now_s")).where(
    EFFECTS.c.subscriber == bindparam("of_subscriber"), EFFECTS.c.message_id.in_(bindparam("of_messages", expanding=True))
)
_INTEND = insert(EFFECTS).values(
    state=EffectState.INTENT.value, generation=0, deadline_s=NowS() + bindparam("within_s", type_=Float), written_s=NowS()
)
_REMEMBER = insert(EFFECTS).values(state=EffectState.DONE.value, generation=0, written_s=NowS())
_OF_THIS_RECORD = and_(
    EFFECTS.c.topic_id == bindparam("of_topic"),
    EFFECTS.c.partition == bindparam("of_partition"),
    EFFECTS.c.offset == bindparam("of_offset"),
)
# no `IN`: SQLAlchemy does not take it in a statement for many rows
_IS_OPEN = or_(EFFECTS.c.state == EffectState.INTENT.value, EFFECTS.c.state == EffectState.UNKNOWN.value)
_AS_SEEN = (*_MINE, _IS_OPEN, or_(_OF_THIS_RECORD, EFFECTS.c.deadline_s == bindparam("mark", type_=Float)))
_SETTLE = update(EFFECTS).where(*_MINE, or_(_IS_OPEN, _OF_THIS_RECORD)).values(deadline_s=null(), written_s=NowS())
_SETTLE_NEW = insert(EFFECTS).values(generation=0, written_s=NowS())
_RENEW = (
    update(EFFECTS)
    .where(*_AS_SEEN)
    .values(state=EffectState.INTENT.value, deadline_s=NowS() + bindparam("within_s", type_=Float), written_s=NowS())
)
_GIVE_UP = update(EFFECTS).where(*_AS_SEEN).values(state=EffectState.UNKNOWN.value)
_MY_INTENT = (*_MINE, EFFECTS.c.state == EffectState.INTENT.value, _OF_THIS_RECORD)
_TAKE_BACK = delete(EFFECTS).where(*_MY_INTENT, EFFECTS.c.generation == 0)
_LET_GO = update(EFFECTS).where(*_MY_INTENT).values(deadline_s=0.0)
_LOWEST = (
    select(EFFECTS.c.message_id, EFFECTS.c.written_s)
    .where(
        EFFECTS.c.subscriber == bindparam("of_subscriber"),
        EFFECTS.c.topic_id == bindparam("of_topic"),
        EFFECTS.c.partition == bindparam("of_partition"),
        EFFECTS.c.offset < bindparam("below"),
        EFFECTS.c.state.in_([EffectState.DONE.value, EffectState.REFUSED.value]),
    )
    .order_by(EFFECTS.c.offset)
    .limit(bindparam("most", type_=Integer))
    .subquery()
)
# Of the lowest, those that are old: an index by age would have to be written anew with each intent that is settled. Where more than `most`
# were blocked for long and settled late, those above them wait until these are old, too.
_PRUNE = delete(EFFECTS).where(
    EFFECTS.c.subscriber == bindparam("of_subscriber"),
    EFFECTS.c.message_id.in_(select(_LOWEST.c.message_id).where(_LOWEST.c.written_s < NowS() - bindparam("older_s", type_=Float))),
)


def recall(connection: Connection, fence: Fence, message_id: str, coordinates: Coordinates) -> Remembered | None:
    """What is stored of a message that is done or refused. Called inside a fenced transaction."""
    row = connection.execute(_FIND, _of(fence, message_id)).first()
    return None if row is None or row.outputs is None else _remembered(row, fence, coordinates)


def remember(connection: Connection, fence: Fence, message_id: str, coordinates: Coordinates, *, handled: Handled) -> None:
    """Store a result beside the state that it belongs to. Called inside a fenced transaction, for a message that is new."""
    key = {"subscriber": fence.subscriber, "message_id": message_id}
    connection.execute(_REMEMBER, {**key, **_result(handled), **_place(fence, coordinates)})


def prune(connection: Connection, fence: Fence, *, below: int, older_than: timedelta, limit: int) -> int:
    """Forget what is done or refused of a partition. Called inside a fenced transaction. Returns how many."""
    mine = {"of_subscriber": fence.subscriber, "of_topic": fence.topic_id, "of_partition": fence.partition}
    return connection.execute(_PRUNE, {**mine, "below": below, "older_s": older_than.total_seconds(), "most": limit}).rowcount


def _of(fence: Fence, message_id: str) -> dict[str, Any]:
    return {"of_subscriber": fence.subscriber, "of_message": message_id}


def _of_record(fence: Fence, message_id: str, coordinates: Coordinates) -> dict[str, Any]:
    place = {"of_topic": fence.topic_id, "of_partition": coordinates.partition, "of_offset": coordinates.offset}
    return {**_of(fence, message_id), **place}


def _result(handled: Handled) -> dict[str, Any]:
    return {"kind": handled.kind.value, "detail": storable(handled.detail), "outputs": pack(handled)}


def _place(fence: Fence, coordinates: Coordinates) -> dict[str, Any]:
    return {"epoch": fence.epoch, "topic_id": fence.topic_id, "partition": coordinates.partition, "offset": coordinates.offset}


def _remembered(row: Any, fence: Fence, coordinates: Coordinates) -> Remembered:
    return Remembered(unpack(row.kind, row.detail or "", row.outputs), _is_of(row, fence, coordinates), row.redelivery)


def _is_of(row: Any, fence: Fence, coordinates: Coordinates) -> bool:
    here: tuple[str, int, int] = (fence.topic_id, coordinates.partition, coordinates.offset)
    return here == (row.topic_id, row.partition, row.offset)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A claim."""

    fence: Fence
    message_id: str
    coordinates: Coordinates
    within_s: float


@dataclass(frozen=True, slots=True)
class _Settled:
    """What became of one message."""

    fence: Fence
    message_id: str
    coordinates: Coordinates
    handled: Handled
    state: EffectState
    links: Sequence[Link]
    redelivery: int | None


def _claim_all(connection: Connection, wanted: Sequence[_Wanted]) -> list[Claim]:
    """Look all of them up, and write the intents of those that are new."""
    hold_fences(connection, [item.fence for item in wanted])
    rows = _find_all(connection, wanted)
    new: dict[tuple[str, str], _Wanted] = {}
    claims: list[Claim] = []
    for item in wanted:
        key = (item.fence.subscriber, item.message_id)
        row = rows.get(key)
        if row is not None:
            claims.append(_claim_of(row, item))
        elif key in new:  # the same message, from two positions at once: this one comes second
            claims.append(Open(0, timedelta(seconds=new[key].within_s)))
        else:
            new[key] = item
            claims.append(Fresh(0))
    if new:
        connection.execute(_INTEND, [_intent(item) for item in new.values()])
    return claims


def _find_all(connection: Connection, wanted: Sequence[_Wanted]) -> dict[tuple[str, str], Any]:
    messages: dict[str, list[str]] = {}
    for item in wanted:
        messages.setdefault(item.fence.subscriber, []).append(item.message_id)
    return {
        (subscriber, row.message_id): row
        for subscriber, found in messages.items()
        for row in connection.execute(_FIND_ALL, {"of_subscriber": subscriber, "of_messages": found})
    }


def _claim_of(row: Any, item: _Wanted) -> Remembered | Open:
    if row.outputs is not None:
        return _remembered(row, item.fence, item.coordinates)
    remaining = timedelta(seconds=(row.deadline_s or 0.0) - row.now_s)
    return Open(row.generation, remaining, row.deadline_s, _is_of(row, item.fence, item.coordinates))


def _intent(item: _Wanted) -> dict[str, Any]:
    key = {"subscriber": item.fence.subscriber, "message_id": item.message_id, "within_s": item.within_s}
    return {**key, **_place(item.fence, item.coordinates)}


class _Overtaken(Exception):
    """One of several was settled by another record before, or is not there."""


def _settle_all(connection: Connection, settled: Sequence[_Settled]) -> list[bool]:
    """Write what became of all of them. Raises _Overtaken where one of several is no longer open: each is then tried alone."""
    hold_fences(connection, [item.fence for item in settled])
    results = [
        {
            **_of_record(item.fence, item.message_id, item.coordinates),
            "state": item.state.value,
            "redelivery": item.redelivery,
            **_result(item.handled),
            **_place(item.fence, item.coordinates),
        }
        for item in settled
    ]
    if connection.execute(_SETTLE, results).rowcount != len(settled):
        if len(settled) > 1:
            raise _Overtaken
        return [_settle_unseen(connection, settled[0])]
    for item in settled:
        _link(connection, item)
    return [True] * len(settled)


def _settle_unseen(connection: Connection, item: _Settled) -> bool:
    """It is another's by now; or its intent is gone, as no rule of ours allows: the call was made, so it is written all the same."""
    if connection.execute(_FIND, _of(item.fence, item.message_id)).first() is not None:
        return False
    of = {"subscriber": item.fence.subscriber, "message_id": item.message_id}
    key = {**of, "state": item.state.value, "redelivery": item.redelivery}
    connection.execute(_SETTLE_NEW, {**key, **_result(item.handled), **_place(item.fence, item.coordinates)})
    _link(connection, item)
    return True


def _link(connection: Connection, item: _Settled) -> None:
    for found in item.links:
        link(connection, found)


class SqlEffects(EffectLog):
    """Implements `delivery.ports.EffectLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta) -> Claim:
        """Look it up, or write an intent."""
        return await self._database.run_alike(_claim_all, _Wanted(fence, message_id, coordinates, within.total_seconds()))

    async def look(self, fence: Fence, message_id: str, coordinates: Coordinates) -> Remembered | Open | None:
        """Look up what is known of a message."""

        def work(connection: Connection) -> Remembered | Open | None:
            hold_fence(connection, fence)
            row = _find_all(connection, [wanted]).get((fence.subscriber, message_id))
            return None if row is None else _claim_of(row, wanted)

        wanted = _Wanted(fence, message_id, coordinates, 0.0)
        return await self._database.run(work)

    async def recall(self, subscriber: str, message_ids: Sequence[str]) -> Mapping[str, Handled | None]:
        """What became of some messages."""

        def work(connection: Connection) -> dict[str, Handled | None]:
            rows = connection.execute(_FIND_ALL, {"of_subscriber": subscriber, "of_messages": list(message_ids)})
            return {row.message_id: None if row.outputs is None else unpack(row.kind, row.detail or "", row.outputs) for row in rows}

        return await self._database.run(work)

    async def renew(
        self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta, generation: int, mark: float | None = None
    ) -> bool:
        """Write the intent anew."""
        seen = {**_of_record(fence, message_id, coordinates), "mark": mark}
        again = {"generation": generation, "within_s": within.total_seconds(), **_place(fence, coordinates)}
        return await self._change(fence, _RENEW, {**seen, **again})

    async def settle(
        self,
        fence: Fence,
        message_id: str,
        coordinates: Coordinates,
        handled: Handled,
        *,
        state: EffectState,
        links: Sequence[Link] = (),
        redelivery: int | None = None,
    ) -> bool:
        """Write what became of it."""
        settled = _Settled(fence, message_id, coordinates, handled, state, links, redelivery)
        return await self._database.run_alike(_settle_all, settled)

    async def withdraw(self, fence: Fence, message_id: str, coordinates: Coordinates) -> None:
        """Take an intent back."""
        mine = _of_record(fence, message_id, coordinates)

        def work(connection: Connection) -> None:
            hold_fence(connection, fence)
            connection.execute(_TAKE_BACK, mine)
            connection.execute(_LET_GO, mine)

        await self._database.run(work)

    async def give_up(self, fence: Fence, message_id: str, coordinates: Coordinates, *, mark: float | None = None) -> bool:
        """Mark it as unknown."""
        return await self._change(fence, _GIVE_UP, {**_of_record(fence, message_id, coordinates), "mark": mark})

    async def _change(self, fence: Fence, statement: Update, values: dict[str, Any]) -> bool:
        def work(connection: Connection) -> bool:
            hold_fence(connection, fence)
            return connection.execute(statement, values).rowcount == 1

        return await self._database.run(work)

    async def prune(self, fence: Fence, *, below: int, older_than: timedelta, limit: int = PRUNED_AT_ONCE) -> int:
        """Forget what is old, the lowest first."""

        def work(connection: Connection) -> int:
            hold_fence(connection, fence)
            return prune(connection, fence, below=below, older_than=older_than, limit=limit)

        return await self._database.run(work)
