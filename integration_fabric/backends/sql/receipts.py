"""Receipts of webhooks on SQL."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.dialects import lock_name, storable
from integration_fabric.backends.sql.tables import PUBLISHED, RECEIPTS
from integration_fabric.connector_kit.ports import RECEIPTS_KEPT, Receipt, Receipts, ReceiptState
from integration_fabric.messages.ids import System


class SqlReceipts(Receipts):
    """Implements `connector_kit.ports.Receipts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, receipt_id: str) -> Receipt | None:
        """What became of it."""
        query = select(RECEIPTS).filter_by(id=receipt_id)
        row = await self._database.run(lambda connection: connection.execute(query).first())
        return None if row is None else _receipt(row)

    async def published(self, message_ids: Collection[str]) -> Collection[str]:
        """Those that a receipt names."""
        query = select(PUBLISHED.c.message_id).where(PUBLISHED.c.message_id.in_(message_ids))
        return await self._database.run(lambda connection: frozenset(connection.execute(query).scalars()))

    async def keep(self, receipt: Receipt) -> None:
        """Write it down, and let go of what was kept for too long."""

        def work(connection: Connection) -> None:
            received_s = receipt.received_at.timestamp()
            for table in (RECEIPTS, PUBLISHED):
                connection.execute(delete(table).where(table.c.received_s < received_s - RECEIPTS_KEPT.total_seconds()))
            values = {
                "state": receipt.state.value,
                "messages": json.dumps(receipt.messages),
                "code": storable(receipt.code)[:200],
                "problem": storable(receipt.problem),
            }
            lock_name(connection, "receipt", receipt.id)
            if connection.execute(update(RECEIPTS).filter_by(id=receipt.id).values(**values)).rowcount == 0:
                first = {"id": receipt.id, "system": receipt.system, "received_s": received_s}
                connection.execute(insert(RECEIPTS).values(**first, **values))
            if receipt.state is ReceiptState.PUBLISHED:
                _note(connection, receipt.messages, received_s)

        await self._database.run(work)


def _note(connection: Connection, message_ids: Collection[str], received_s: float) -> None:
    """One that another process notes at the same moment makes the whole begin anew, and is then found."""
    known = set(connection.execute(select(PUBLISHED.c.message_id).where(PUBLISHED.c.message_id.in_(message_ids))).scalars())
    fresh = [{"message_id": message_id, "received_s": received_s} for message_id in dict.fromkeys(message_ids) if message_id not in known]
    if fresh:
        connection.execute(insert(PUBLISHED), fresh)


def _receipt(row: Any) -> Receipt:
    return Receipt(
        row.id,
        System(row.system),
        datetime.fromtimestamp(row.received_s, UTC),
        ReceiptState(row.state),
        tuple(json.loads(row.messages)),
        row.code,
        row.problem,
    )
