"""What stands in Gainsight, for counting and reconciliation: `roles.customer_success.CustomerSuccessReader`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from connectors.customer_success.gainsight.client import Gainsight
from connectors.customer_success.gainsight.records import ONBOARDING, RISK, Cta
from integration_fabric.connector_kit.several import side_by_side
from integration_fabric.messages.ids import ContractId, InterventionId
from integration_fabric.roles.customer_success import CustomerSuccessReader

SEARCHED_SINGLY = 10
"""Up to so many are searched one by one; for more the whole list is read, a thousand a page."""


@dataclass(frozen=True, slots=True)
class GainsightReader(CustomerSuccessReader):
    """Reads one tenant."""

    gainsight: Gainsight

    async def onboardings(self, contract_ids: Sequence[ContractId]) -> Mapping[ContractId, Sequence[str]]:
        """The status of each onboarding under each contract."""
        states: dict[ContractId, list[str]] = {identity: [] for identity in contract_ids}
        for cta in await self._candidates(states):
            identity = ContractId(cta.external_id or "")
            if identity in states and cta.type == ONBOARDING:
                states[identity].append(cta.status)
        return states

    async def interventions(self, intervention_ids: Sequence[InterventionId]) -> Mapping[InterventionId, Sequence[str]]:
        """`open` or `closed` for each risk under each id."""
        states: dict[InterventionId, list[str]] = {identity: [] for identity in intervention_ids}
        for cta in await self._candidates(states):
            identity = InterventionId(cta.external_id or "")
            if identity in states and cta.type == RISK:
                states[identity].append("closed" if cta.is_closed else "open")
        return states

    async def _candidates(self, wanted: Collection[str]) -> Iterable[Cta]:
        if len(wanted) > SEARCHED_SINGLY:
            return await self.gainsight.list_ctas()
        return [each for found in await side_by_side(self.gainsight.find_ctas, wanted) for each in found]
