"""Cursors on SQL."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.dialects import NowS
from integration_fabric.backends.sql.tables import CURSORS
from integration_fabric.connector_kit.ports import Cursors


class SqlCursors(Cursors):
    """Implements `connector_kit.ports.Cursors`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, poller: str) -> str | None:
        """How far it got."""
        return await self._database.run(lambda c: c.execute(select(CURSORS.c.cursor).filter_by(poller=poller)).scalar())

    async def save(self, poller: str, cursor: str) -> None:
        """Move it."""

        def work(connection: Connection) -> None:
            values = {"cursor": cursor, "saved_s": NowS()}
            if connection.execute(update(CURSORS).filter_by(poller=poller).values(**values)).rowcount == 0:
                connection.execute(insert(CURSORS).values(poller=poller, **values))

        await self._database.run(work)
