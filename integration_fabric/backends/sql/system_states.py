"""How systems stand, on SQL. All moments are of the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.dialects import NowS, lock_name, storable
from integration_fabric.backends.sql.tables import SYSTEM_STATES
from integration_fabric.delivery.ports import Flow, SystemState, SystemStates

FOR_EVER = timedelta(days=365_000)


class SqlSystemStates(SystemStates):
    """Implements `delivery.ports.SystemStates`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Mapping[str, SystemState]:
        """Those that anything is known of."""

        def work(connection: Connection) -> dict[str, SystemState]:
            rows = connection.execute(select(SYSTEM_STATES, NowS().label("now_s"))).all()
            return {row.system: _state(row) for row in rows}

        return await self._database.run(work)

    async def turn_away(self, system: str, flow: Flow, within: timedelta, *, why: str, failures: int = 0) -> None:
        """Keep everybody from calling it for so long."""

        def work(connection: Connection) -> None:
            row = _locked(connection, system)
            until_s = row.now_s + within.total_seconds()
            known = _state(row).flow
            if known is Flow.PAUSED or (known is flow and row.until_s > until_s):
                return
            since_s = row.since_s if known is flow else row.now_s
            _write(connection, system, flow=flow.value, until_s=until_s, since_s=since_s, why=storable(why), failures=failures, actor="")

        await self._database.run(work)

    async def flows(self, system: str) -> None:
        """It answers again."""

        def work(connection: Connection) -> None:
            row = _locked(connection, system)
            if _state(row).flow is not Flow.PAUSED:
                _write(connection, system, flow=Flow.FLOWING.value, until_s=0.0, since_s=row.now_s, why="", failures=0, probe_until_s=0.0)

        await self._database.run(work)

    async def claim_probe(self, system: str, within: timedelta) -> bool:
        """Whether the caller may ask whether it is back."""

        def work(connection: Connection) -> bool:
            row = _locked(connection, system)
            if row.probe_until_s > row.now_s:
                return False
            _write(connection, system, probe_until_s=row.now_s + within.total_seconds())
            return True

        return await self._database.run(work)

    async def return_probe(self, system: str) -> None:
        """Another may ask."""

        def work(connection: Connection) -> None:
            _locked(connection, system)
            _write(connection, system, probe_until_s=0.0)

        await self._database.run(work)

    async def pause(self, system: str, *, by: str, why: str, within: timedelta | None) -> None:
        """A person stops all calls."""

        def work(connection: Connection) -> None:
            row = _locked(connection, system)
            until_s = row.now_s + (FOR_EVER if within is None else within).total_seconds()
            values = {"why": storable(why), "actor": storable(by)[:200], "failures": 0}
            _write(connection, system, flow=Flow.PAUSED.value, until_s=until_s, since_s=row.now_s, **values)

        await self._database.run(work)

    async def resume(self, system: str) -> bool:
        """All calls go on."""

        def work(connection: Connection) -> bool:
            row = _locked(connection, system)
            values = {"why": "", "actor": "", "failures": 0, "probe_until_s": 0.0}
            _write(connection, system, flow=Flow.FLOWING.value, until_s=0.0, since_s=row.now_s, **values)
            return _state(row).flow is not Flow.FLOWING

        return await self._database.run(work)

    async def reserve(self, system: str, calls: int, *, per_s: float, spare: bool = False) -> timedelta:
        """Take this many calls of the shared rate: the generic cell rate algorithm (ITU-T I.371, annex A), without a burst."""

        def work(connection: Connection) -> timedelta:
            row = _locked(connection, system)
            begins_s = max(row.free_s, row.now_s)
            if not spare or begins_s <= row.now_s:
                _write(connection, system, free_s=begins_s + calls / per_s)
            return timedelta(seconds=begins_s - row.now_s)

        return await self._database.run(work)


def _locked(connection: Connection, system: str) -> Row[Any]:
    """The row, made where it is missing; no other transaction has it until this one ends."""
    lock_name(connection, "system", system)
    query = select(SYSTEM_STATES, NowS().label("now_s")).filter_by(system=system)
    row = connection.execute(query).first()
    if row is None:
        nothing = {"until_s": 0.0, "since_s": NowS(), "why": "", "failures": 0, "actor": "", "probe_until_s": 0.0, "free_s": 0.0}
        connection.execute(insert(SYSTEM_STATES).values(system=system, flow=Flow.FLOWING.value, **nothing))
        row = connection.execute(query).one()
    return row


def _write(connection: Connection, system: str, **values: object) -> None:
    connection.execute(update(SYSTEM_STATES).filter_by(system=system).values(**values))


def _state(row: Row[Any]) -> SystemState:
    flow, remaining = Flow(row.flow), timedelta(seconds=row.until_s - row.now_s)
    if flow in {Flow.PAUSED, Flow.THROTTLED} and remaining <= timedelta():
        flow, remaining = Flow.FLOWING, timedelta()
    since = datetime.fromtimestamp(row.since_s, UTC)
    return SystemState(flow, remaining, row.why, since, row.failures, row.actor)
