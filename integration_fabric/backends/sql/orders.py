"""What people order of subscribers, on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.dialects import NowS, storable
from integration_fabric.backends.sql.tables import ORDERS
from integration_fabric.runtime.ports import Orders
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.steering import Order, OrderKind


class SqlOrders(Orders):
    """Implements `runtime.ports.Orders`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Sequence[Order]:
        """All that stand."""
        query = select(ORDERS).order_by(ORDERS.c.given_s)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [_order(row) for row in rows]

    async def give(self, order: Order) -> None:
        """Write it down."""

        def work(connection: Connection) -> None:
            about = {"kind": order.kind.value, **_about(order.subscriber, order.partition, order.key)}
            connection.execute(delete(ORDERS).filter_by(**about))
            values = {"until": order.until or 0, "actor": storable(order.by)[:200], "why": storable(order.why), "given_s": NowS()}
            connection.execute(insert(ORDERS).values(**about, **values))

        await self._database.run(work)

    async def lift(self, subscriber: str, *, partition: TopicPartition | None = None, key: bytes | None = None) -> int:
        """Take back pauses and drains."""
        gone = delete(ORDERS).filter_by(**_about(subscriber, partition, key)).where(ORDERS.c.kind != OrderKind.SKIP.value)
        return await self._database.run(lambda connection: connection.execute(gone).rowcount)


def _about(subscriber: str, partition: TopicPartition | None, key: bytes | None) -> dict[str, Any]:
    return {
        "subscriber": subscriber,
        "topic": partition.topic if partition else "",
        "partition": partition.partition if partition else -1,
        "key": key or b"",
        "has_key": int(key is not None),
    }


def _order(row: Row[Any]) -> Order:
    kind = OrderKind(row.kind)
    return Order(
        row.subscriber,
        kind,
        row.actor,
        row.why,
        TopicPartition(row.topic, row.partition) if row.topic else None,
        bytes(row.key) if row.has_key else None,
        row.until if kind is OrderKind.SKIP else None,
        datetime.fromtimestamp(row.given_s, UTC),
    )
