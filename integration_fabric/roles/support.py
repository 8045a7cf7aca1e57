"""Support: entitlements, and later cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from integration_fabric.messages.entitlements import GrantEntitlements
from integration_fabric.messages.ids import ContractId
from integration_fabric.roles.role import Role

SUPPORT = Role("support", frozenset({GrantEntitlements}))


class SupportReader(Protocol):
    """Reads, for counting and reconciliation. Raises Unavailable where the system does not answer."""

    async def entitlements(self, contract_ids: Sequence[ContractId]) -> Mapping[ContractId, Sequence[str]]:
        """The ids of the entitlements under each contract: one entry for each record, so that a double shows."""
        ...
