"""What stands in Tryton, for counting and reconciliation: `roles.erp.ErpReader`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.erp.tryton.erp import TrytonErp
from connectors.erp.tryton.failures import judged
from integration_fabric.messages.ids import OrderId
from integration_fabric.roles.erp import ErpReader


@dataclass(frozen=True, slots=True)
class TrytonReader(ErpReader):
    """Reads one database, two hundred orders a request."""

    erp: TrytonErp

    async def orders(self, order_ids: Sequence[OrderId]) -> Mapping[OrderId, Sequence[str]]:
        """The state of each sale under each id."""
        states: dict[OrderId, list[str]] = {identity: [] for identity in order_ids}
        for sale in await judged(self.erp.find_sales(states)):
            states[OrderId(sale.reference)].append(sale.state.value)
        return states
