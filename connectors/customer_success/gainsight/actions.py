"""Customer-success commands → Gainsight calls."""

from __future__ import annotations

from connectors.customer_success.gainsight.client import Gainsight
from connectors.customer_success.gainsight.records import ONBOARDING, RISK, Cta, NewCta
from connectors.customer_success.gainsight.refusals import AlreadyThere, GainsightRefused
from connectors.customer_success.gainsight.translate import (
    closed,
    closing_comments,
    new_cta,
    new_risk,
    opened,
    problem_of,
    started,
    unknown,
)
from integration_fabric.connector_kit.actions import action
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.errors import VendorDrift
from integration_fabric.messages.ids import CustomerId, InterventionId
from integration_fabric.messages.interventions import (
    CloseIntervention,
    InterventionClosed,
    InterventionOpened,
    InterventionRejected,
    OpenIntervention,
)
from integration_fabric.messages.onboardings import OnboardingRejected, OnboardingStarted, StartOnboarding
from integration_fabric.messages.problems import Problem
from integration_fabric.runtime.context import Context

# Onboardings


@action(Strategy.LOOKUP_FIRST)
async def start_onboarding(command: StartOnboarding, call: Context[Gainsight]) -> OnboardingStarted | OnboardingRejected:
    """Company and CTA. Where a CTA with the contract's id is there already, that is the onboarding."""
    try:
        await _ensure_company(command.customer_id, call.needs)
        return started(command, await _begin(new_cta(command), call.needs))
    except GainsightRefused as refused:
        problem = problem_of(refused, command)
        return OnboardingRejected(contract_id=command.contract_id, problems=(problem,), aggregate_version=version_at(call.now))


@start_onboarding.read_back
async def find_onboarding(command: StartOnboarding, call: Context[Gainsight]) -> OnboardingStarted | None:
    """By external id."""
    found = await _find(command.contract_id, ONBOARDING, call.needs)
    return started(command, found) if found else None


# Interventions


@action(Strategy.LOOKUP_FIRST)
async def open_intervention(command: OpenIntervention, call: Context[Gainsight]) -> InterventionOpened | InterventionRejected:
    """Company and risk. Where a risk of this id is there already, open or closed, that is the intervention."""
    try:
        await _ensure_company(command.customer_id, call.needs)
        return opened(command, await _begin(new_risk(command), call.needs))
    except GainsightRefused as refused:
        return _rejected(command.intervention_id, call, problem_of(refused, command))


@open_intervention.read_back
async def find_intervention(command: OpenIntervention, call: Context[Gainsight]) -> InterventionOpened | None:
    """By external id."""
    found = await _find(command.intervention_id, RISK, call.needs)
    return opened(command, found) if found else None


@action(Strategy.UPSERT)
async def close_intervention(command: CloseIntervention, call: Context[Gainsight]) -> InterventionClosed | InterventionRejected:
    """The risk ends well. One that is closed already stays as it is, however it ended."""
    found = await _find(command.intervention_id, RISK, call.needs)
    if found is None:
        return _rejected(command.intervention_id, call, unknown(command))
    try:
        return closed(command, await _close(found, command, call.needs))
    except GainsightRefused as refused:
        return _rejected(command.intervention_id, call, problem_of(refused, command))


async def _close(risk: Cta, command: CloseIntervention, gainsight: Gainsight) -> Cta:
    if risk.is_closed:
        return risk
    try:
        return await gainsight.close_cta(risk.gsid, comments=closing_comments(risk, command))
    except GainsightRefused:
        now = await _find(command.intervention_id, RISK, gainsight)
        # A person closed it in the meantime.
        if now is not None and now.is_closed:
            return now
        raise


def _rejected(intervention_id: InterventionId, call: Context[Gainsight], problem: Problem) -> InterventionRejected:
    return InterventionRejected(intervention_id=intervention_id, problems=(problem,), aggregate_version=version_at(call.now))


# Both


async def _ensure_company(customer_id: CustomerId, gainsight: Gainsight) -> None:
    # Looked up first: an upsert would put the id in the place of a name that people gave.
    if await gainsight.find_company(customer_id) is None:
        await gainsight.upsert_company(customer_id, name=customer_id)


async def _begin(new: NewCta, gainsight: Gainsight) -> Cta:
    try:
        return await gainsight.create_cta(new)
    except AlreadyThere as refused:
        found = await gainsight.find_ctas(new.external_id)
        if not found:
            raise VendorDrift(f"{refused}, but a look-up does not find it") from refused
        if found[0].type != new.type:
            raise
        return found[0]


async def _find(external_id: str, kind: str, gainsight: Gainsight) -> Cta | None:
    return next((cta for cta in await gainsight.find_ctas(external_id) if cta.type == kind), None)
