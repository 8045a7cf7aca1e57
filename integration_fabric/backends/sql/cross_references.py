"""Cross-references on SQL."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.tables import CROSS_REFERENCES
from integration_fabric.canonical.ports import CrossReferences
from integration_fabric.delivery.ports import Link
from integration_fabric.messages.errors import Conflict
from integration_fabric.telemetry.logs import LOG

_XREF = CROSS_REFERENCES


def link(connection: Connection, found: Link, *, strict: bool = False) -> None:
    """Write one cross-reference in the caller's transaction.

    Args:
        connection: With a transaction.
        found: What belongs together.
        strict: Whether a native id that belongs to another is an error; else it is logged, since what brought it about has happened.
    """
    owner = connection.execute(
        select(_XREF.c.canonical_id).filter_by(entity=found.entity, system=found.system, native_id=found.native_id)
    ).scalar()
    if owner == found.canonical_id:
        return
    if owner is not None:
        text = f"{found.entity} {found.native_id} of {found.system} belongs to {owner}, not to {found.canonical_id}"
        if strict:
            raise Conflict(text)
        LOG.problem("cross_reference_conflict", why=text)
        return
    key = {"entity": found.entity, "canonical_id": found.canonical_id, "system": found.system}
    changed = connection.execute(update(_XREF).filter_by(**key).values(native_id=found.native_id))
    if changed.rowcount == 0:
        connection.execute(insert(_XREF).values(**key, native_id=found.native_id))


class SqlCrossReferences(CrossReferences):
    """Implements `canonical.ports.CrossReferences`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def native(self, entity: str, canonical_id: str, system: str) -> str | None:
        """The system's own id."""
        query = select(_XREF.c.native_id).filter_by(entity=entity, canonical_id=canonical_id, system=system)
        return await self._database.run(lambda connection: connection.execute(query).scalar())

    async def canonical(self, entity: str, native_id: str, system: str) -> str | None:
        """The canonical id."""
        query = select(_XREF.c.canonical_id).filter_by(entity=entity, system=system, native_id=native_id)
        return await self._database.run(lambda connection: connection.execute(query).scalar())

    async def link(self, entity: str, canonical_id: str, system: str, native_id: str) -> None:
        """Remember that they are one."""
        found = Link(entity, canonical_id, system, native_id)
        await self._database.run(lambda connection: link(connection, found, strict=True))
