"""ERP: the financial record, master data, legal entities, tax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from integration_fabric.messages.ids import OrderId
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder
from integration_fabric.messages.quotes import ValidateQuote
from integration_fabric.roles.role import Role

ERP = Role("erp", frozenset({ValidateQuote, CreateOrder, ActivateOrder, CancelOrder}))


class ErpReader(Protocol):
    """Reads, for counting and reconciliation. Raises Unavailable where the system does not answer."""

    async def orders(self, order_ids: Sequence[OrderId]) -> Mapping[OrderId, Sequence[str]]:
        """The state of each order that stands in the system under this id: one entry for each record, so that a double shows."""
        ...
