"""Customer success: onboarding and interventions, and later health and renewals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from integration_fabric.messages.ids import ContractId, InterventionId
from integration_fabric.messages.interventions import CloseIntervention, OpenIntervention
from integration_fabric.messages.onboardings import StartOnboarding
from integration_fabric.roles.role import Role

CUSTOMER_SUCCESS = Role("customer-success", frozenset({StartOnboarding, OpenIntervention, CloseIntervention}))


class CustomerSuccessReader(Protocol):
    """Reads, for counting and reconciliation. Raises Unavailable where the system does not answer."""

    async def onboardings(self, contract_ids: Sequence[ContractId]) -> Mapping[ContractId, Sequence[str]]:
        """The state of each onboarding under this contract: one entry for each record, so that a double shows."""
        ...

    async def interventions(self, intervention_ids: Sequence[InterventionId]) -> Mapping[InterventionId, Sequence[str]]:
        """`open` or `closed` for each intervention under this id: one entry for each record, so that a double shows."""
        ...
