"""Customer success: onboarding, and later interventions, health and renewals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from integration_fabric.messages.ids import ContractId
from integration_fabric.messages.onboardings import StartOnboarding
from integration_fabric.roles.role import Role

CUSTOMER_SUCCESS = Role("customer-success", frozenset({StartOnboarding}))


class CustomerSuccessReader(Protocol):
    """Reads, for counting and reconciliation. Raises Unavailable where the system does not answer."""

    async def onboardings(self, contract_ids: Sequence[ContractId]) -> Mapping[ContractId, Sequence[str]]:
        """The state of each onboarding under this contract: one entry for each record, so that a double shows."""
        ...
