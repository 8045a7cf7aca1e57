"""What subscribers are to be given once more, on SQL."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from integration_fabric.backends.sql.database import DRAWN, Database
from integration_fabric.backends.sql.dialects import NowS, lock_name, storable
from integration_fabric.backends.sql.leases import hold_fence, hold_fences
from integration_fabric.backends.sql.packing import pack, unpack
from integration_fabric.backends.sql.tables import REDELIVERED, REDELIVERIES, STRETCHES
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Fence, Redeliveries
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.redelivery import (
    FAILED,
    FailedAgain,
    Redelivered,
    Redelivery,
    RedeliveryProgress,
    RedeliveryState,
    Stretch,
)
from integration_fabric.runtime.subscriber import Handled

FAILURES_SHOWN = 20
_ENDED = STRETCHES.c.position >= STRETCHES.c.end


class SqlRedeliveries(Redeliveries):
    """Implements `runtime.ports.Redeliveries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def file(self, redelivery: Redelivery, stretches: Sequence[Stretch]) -> int:
        """Write it down, with the next number."""

        def work(connection: Connection) -> int:
            lock_name(connection, "redeliveries", "number")
            number: int = (connection.execute(select(func.max(REDELIVERIES.c.number))).scalar() or 0) + 1
            values = {
                "number": number,
                "subscriber": redelivery.subscriber,
                "force": int(redelivery.force),
                "key": redelivery.key or b"",
                "has_key": int(redelivery.key is not None),
                "state": RedeliveryState.RUNNING.value,
                "actor": storable(redelivery.by)[:200],
                "why": storable(redelivery.why),
            }
            connection.execute(insert(REDELIVERIES).values(**values, filed_s=NowS()))
            rows = [_stretch_row(number, redelivery.subscriber, stretch) for stretch in stretches]
            if rows:
                connection.execute(insert(STRETCHES), rows)
            _end(connection, number)
            return number

        return await self._database.run(work)

    async def order(self, number: int, state: RedeliveryState) -> bool:
        """Change its state."""

        def work(connection: Connection) -> bool:
            open_ = select(STRETCHES.c.number).where(STRETCHES.c.number == number, ~_ENDED).exists()
            changed = (
                update(REDELIVERIES)
                .where(REDELIVERIES.c.number == number, REDELIVERIES.c.state != RedeliveryState.CANCELLED.value, open_)
                .values(state=state.value)
            )
            return connection.execute(changed).rowcount == 1

        return await self._database.run(work)

    async def look(self, number: int | None = None) -> Sequence[RedeliveryProgress]:
        """Read all of them, or one."""

        def work(connection: Connection) -> list[RedeliveryProgress]:
            query = select(REDELIVERIES).order_by(REDELIVERIES.c.number.desc())
            rows = connection.execute(query if number is None else query.where(REDELIVERIES.c.number == number)).all()
            return [_progress(connection, row) for row in rows]

        return await self._database.run(work)

    async def open(self) -> Sequence[Redelivery]:
        """Those that go on."""
        unfinished = select(STRETCHES.c.number).where(STRETCHES.c.number == REDELIVERIES.c.number, ~_ENDED).exists()
        query = (
            select(REDELIVERIES).where(REDELIVERIES.c.state == RedeliveryState.RUNNING.value, unfinished).order_by(REDELIVERIES.c.number)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [_redelivery(row) for row in rows]

    async def stretch(self, fence: Fence, number: int) -> tuple[Stretch, frozenset[int]] | None:
        """What it covers of a partition."""

        def work(connection: Connection) -> tuple[Stretch, frozenset[int]] | None:
            row = connection.execute(select(STRETCHES).filter_by(**_of(fence, number))).first()
            if row is None:
                return None
            through = select(REDELIVERED.c.offset).filter_by(**_of(fence, number)).where(REDELIVERED.c.offset >= row.position)
            return _stretch(row), frozenset(connection.execute(through).scalars())

        return await self._database.run(work)

    async def unconfirmed(self, above: Mapping[Fence, int]) -> Sequence[tuple[Fence, int, Redelivered]]:
        """Read what their stretches are not past; it is no more than is under way at once."""
        fences = {(fence.topic_id, fence.partition): fence for fence in above}
        is_its = [STRETCHES.c[name] == REDELIVERED.c[name] for name in ("number", "topic_id", "partition")]
        query = (
            select(REDELIVERED, STRETCHES.c.topic)
            .join(STRETCHES, and_(*is_its))
            .where(STRETCHES.c.subscriber == next(iter(above)).subscriber, REDELIVERED.c.offset >= STRETCHES.c.position)
            .order_by(REDELIVERED.c.serial, REDELIVERED.c.offset)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        found = [(fences[row.topic_id, row.partition], row) for row in rows if (row.topic_id, row.partition) in fences]
        return [
            (fence, row.serial, _redelivered(row, TopicPartition(row.topic, fence.partition)))
            for fence, row in found
            if row.serial > above[fence]
        ]

    async def write(self, fence: Fence, result: Redelivered) -> int:
        """Write it, together with what else waits to be written."""
        return await self._database.run_alike(_write_all, (fence, result))

    async def advance(self, fence: Fence, number: int, position: int) -> None:
        """Count what is below, and forget it."""

        def work(connection: Connection) -> None:
            hold_fence(connection, fence)
            of = _of(fence, number)
            row = connection.execute(select(STRETCHES).filter_by(**of)).first()
            if row is None or position <= row.position:
                return
            passed = (REDELIVERED.c.offset < position, REDELIVERED.c.outcome != FAILED)
            found = (
                select(REDELIVERED.c.outcome, func.count().label("count")).filter_by(**of).where(*passed).group_by(REDELIVERED.c.outcome)
            )
            counts = Counter(json.loads(row.counts))
            counts.update({row.outcome: row.count for row in connection.execute(found)})
            connection.execute(update(STRETCHES).filter_by(**of).values(position=position, counts=json.dumps(counts)))
            connection.execute(delete(REDELIVERED).filter_by(**of).where(*passed))
            if position >= row.end:
                _end(connection, number)

        await self._database.run(work)


def _end(connection: Connection, number: int) -> None:
    """Where nothing is left of it, it is done. Two owners who end its last two stretches at once leave that to whoever looks."""
    left = select(STRETCHES.c.number).where(STRETCHES.c.number == number, ~_ENDED).exists()
    connection.execute(update(REDELIVERIES).where(REDELIVERIES.c.number == number, ~left).values(state=RedeliveryState.DONE.value))


def _write_all(connection: Connection, wanted: Sequence[tuple[Fence, Redelivered]]) -> list[int]:
    """Write all of them. One that is there was written by a try of this process whose answer was lost, or by a predecessor."""
    hold_fences(connection, [fence for fence, _ in wanted])
    return [_write(connection, fence, result) for fence, result in wanted]


def _write(connection: Connection, fence: Fence, result: Redelivered) -> int:
    of = _of(fence, result.number)
    known: int | None = connection.execute(select(REDELIVERED.c.serial).filter_by(**of, offset=result.offset)).scalar()
    if known is not None:
        return known
    serial: int = connection.info[DRAWN][fence.subscriber, fence.topic_id, fence.partition]
    values = {
        "offset": result.offset,
        "serial": serial,
        "outcome": result.outcome,
        "detail": storable(result.detail),
        "outputs": pack(Handled(OutcomeKind.APPLIED, result.outputs)),
        "transition": result.transition,
    }
    connection.execute(insert(REDELIVERED).values(**of, **values))
    return serial


def _of(fence: Fence, number: int) -> dict[str, Any]:
    return {"number": number, "topic_id": fence.topic_id, "partition": fence.partition}


def _stretch_row(number: int, subscriber: str, stretch: Stretch) -> dict[str, Any]:
    return {
        "number": number,
        "subscriber": subscriber,
        "topic_id": stretch.topic_id,
        "partition": stretch.partition.partition,
        "topic": stretch.partition.topic,
        "first": stretch.first,
        "end": stretch.end,
        "position": stretch.position,
        "counts": "{}",
    }


def _progress(connection: Connection, row: Row[Any]) -> RedeliveryProgress:
    stretches = connection.execute(
        select(STRETCHES).where(STRETCHES.c.number == row.number).order_by(STRETCHES.c.topic, STRETCHES.c.partition)
    ).all()
    counts: Counter[str] = Counter()
    for stretch in stretches:
        counts.update(_counts(stretch))
    kept = (
        select(REDELIVERED.c.outcome, func.count().label("count")).where(REDELIVERED.c.number == row.number).group_by(REDELIVERED.c.outcome)
    )
    counts.update({found.outcome: found.count for found in connection.execute(kept)})
    failed = (
        select(REDELIVERED)
        .where(REDELIVERED.c.number == row.number, REDELIVERED.c.outcome == FAILED)
        .order_by(REDELIVERED.c.topic_id, REDELIVERED.c.partition, REDELIVERED.c.offset)
        .limit(FAILURES_SHOWN)
    )
    topics = {(stretch.topic_id, stretch.partition): stretch.topic for stretch in stretches}
    failures = [
        FailedAgain(TopicPartition(topics[found.topic_id, found.partition], found.partition), found.offset, found.detail)
        for found in connection.execute(failed)
    ]
    return RedeliveryProgress(_redelivery(row), [_stretch(stretch) for stretch in stretches], dict(counts), failures)


def _counts(row: Row[Any]) -> Mapping[str, int]:
    found: Mapping[str, int] = json.loads(row.counts)
    return found


def _redelivery(row: Row[Any]) -> Redelivery:
    return Redelivery(
        row.number,
        row.subscriber,
        bool(row.force),
        bytes(row.key) if row.has_key else None,
        row.actor,
        row.why,
        RedeliveryState(row.state),
        datetime.fromtimestamp(row.filed_s, UTC),
    )


def _stretch(row: Row[Any]) -> Stretch:
    return Stretch(TopicPartition(row.topic, row.partition), row.topic_id, row.first, row.end, row.position)


def _redelivered(row: Row[Any], partition: TopicPartition) -> Redelivered:
    outputs = unpack(OutcomeKind.APPLIED.value, "", bytes(row.outputs)).outputs
    return Redelivered(row.number, partition, row.offset, row.outcome, row.detail, tuple(outputs), bytes(row.transition))
