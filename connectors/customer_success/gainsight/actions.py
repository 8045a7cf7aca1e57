"""Customer-success commands → Gainsight calls."""

from __future__ import annotations

from connectors.customer_success.gainsight.client import Gainsight
from connectors.customer_success.gainsight.records import Cta
from connectors.customer_success.gainsight.refusals import AlreadyThere, GainsightRefused
from connectors.customer_success.gainsight.translate import new_cta, problem_of, started
from integration_fabric.connector_kit.actions import action
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.errors import VendorDrift
from integration_fabric.messages.onboardings import OnboardingRejected, OnboardingStarted, StartOnboarding
from integration_fabric.runtime.context import Context


@action(Strategy.LOOKUP_FIRST)
async def start_onboarding(command: StartOnboarding, call: Context[Gainsight]) -> OnboardingStarted | OnboardingRejected:
    """Company and CTA. Where a CTA with the contract's id is there already, that is the onboarding."""
    try:
        await _ensure_company(command, call.needs)
        return started(command, await _begin(command, call.needs))
    except GainsightRefused as refused:
        problem = problem_of(refused, command)
        return OnboardingRejected(contract_id=command.contract_id, problems=(problem,), aggregate_version=version_at(call.now))


@start_onboarding.read_back
async def find_onboarding(command: StartOnboarding, call: Context[Gainsight]) -> OnboardingStarted | None:
    """By external id."""
    found = await call.needs.find_ctas(command.contract_id)
    return started(command, found[0]) if found else None


async def _ensure_company(command: StartOnboarding, gainsight: Gainsight) -> None:
    # Looked up first: an upsert would put the id in the place of a name that people gave.
    if await gainsight.find_company(command.customer_id) is None:
        await gainsight.upsert_company(command.customer_id, name=command.customer_id)


async def _begin(command: StartOnboarding, gainsight: Gainsight) -> Cta:
    try:
        return await gainsight.create_cta(new_cta(command))
    except AlreadyThere as refused:
        found = await gainsight.find_ctas(command.contract_id)
        if not found:
            raise VendorDrift(f"{refused}, but a look-up does not find it") from refused
        return found[0]
