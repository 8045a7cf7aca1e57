"""What stands in django-helpdesk, for counting and reconciliation: `roles.support.SupportReader`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.support.helpdesk.client import Helpdesk
from integration_fabric.messages.ids import ContractId
from integration_fabric.roles.support import SupportReader


@dataclass(frozen=True, slots=True)
class HelpdeskReader(SupportReader):
    """Reads one server."""

    helpdesk: Helpdesk

    async def entitlements(self, contract_ids: Sequence[ContractId]) -> Mapping[ContractId, Sequence[str]]:
        """The canonical ids of the entitlements under each contract; the ticket's number where a person made one."""
        ids: dict[ContractId, list[str]] = {identity: [] for identity in contract_ids}
        for ticket in await self.helpdesk.find_by_contract(contract_ids):
            identity = ContractId(ticket.contract or "")
            if identity in ids:
                ids[identity].append(ticket.external_id or str(ticket.id))
        return ids
