"""What stands in Zendesk, for counting and reconciliation: `roles.support.SupportReader`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.support.zendesk.client import Zendesk
from connectors.support.zendesk.records import CONTRACT
from integration_fabric.messages.ids import ContractId
from integration_fabric.roles.support import SupportReader


@dataclass(frozen=True, slots=True)
class ZendeskReader(SupportReader):
    """Reads one account. Zendesk lists custom records by their own ids alone, so all are read, a hundred a page."""

    zendesk: Zendesk

    async def entitlements(self, contract_ids: Sequence[ContractId]) -> Mapping[ContractId, Sequence[str]]:
        """The canonical ids of the entitlements under each contract; Zendesk's own where a person made one."""
        ids: dict[ContractId, list[str]] = {identity: [] for identity in contract_ids}
        for entitlement in await self.zendesk.list_entitlements():
            identity = ContractId(str(entitlement.custom_object_fields.get(CONTRACT)))
            if identity in ids:
                ids[identity].append(entitlement.external_id or entitlement.id)
        return ids
