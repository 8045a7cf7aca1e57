"""Canonical commands ↔ Gainsight's records. Pure; the actions call it."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.customer_success.gainsight.records import ONBOARDING, RISK, Cta, NewCta
from connectors.customer_success.gainsight.refusals import GainsightRefused
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.messages.interventions import CloseIntervention, InterventionClosed, InterventionOpened, OpenIntervention, Severity
from integration_fabric.messages.onboardings import OnboardingStarted, StartOnboarding
from integration_fabric.messages.problems import Problem

MAX_TEXT = 255
"""Characters that a text field holds; what a contract holds more of is cut, since people read it."""

_UNKNOWN_COMPANY = "COCKPIT_1042"

_PRIORITIES: Mapping[Severity, str] = {
    Severity.UNKNOWN: "Medium",
    Severity.LOW: "Low",
    Severity.MEDIUM: "Medium",
    Severity.HIGH: "High",
}


def new_cta(command: StartOnboarding) -> NewCta:
    """The onboarding as a CTA; the contract's id is its external id, so that there is one for each contract."""
    return NewCta(
        external_id=command.contract_id,
        type=ONBOARDING,
        name=f"Onboarding {command.contract_id}",
        company=command.customer_id,
        playbook=command.plan,
        due_on=command.starts_on,
        contract_id=command.contract_id,
        order_id=command.order_id,
        products=cut(", ".join(dict.fromkeys(command.product_ids))),
        comments=f"Order {command.order_id}; service starts on {command.starts_on.isoformat()}",
    )


def new_risk(command: OpenIntervention) -> NewCta:
    """The intervention as a CTA of its own id. The reason stands whole in the comments, where people read it."""
    return NewCta(
        external_id=command.intervention_id,
        type=RISK,
        name=cut(f"Risk: {command.reason}"),
        company=command.customer_id,
        reason=cut(command.reason),
        priority=_PRIORITIES[command.severity],
        invoice_id=command.invoice_id,
        comments=command.reason,
    )


def cut(text: str) -> str:
    """As much of a text as a field holds."""
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def closing_comments(cta: Cta, command: CloseIntervention) -> str:
    """What stands there, and below it what settled the matter."""
    return "\n".join(text for text in (cta.comments, command.resolution) if text)


def started(command: StartOnboarding, cta: Cta) -> OnboardingStarted:
    """The reply."""
    return OnboardingStarted(
        contract_id=command.contract_id,
        customer_id=command.customer_id,
        native_id=cta.gsid,
        aggregate_version=version_at(cta.modified_at),
    )


def opened(command: OpenIntervention, cta: Cta) -> InterventionOpened:
    """The reply."""
    return InterventionOpened(
        intervention_id=command.intervention_id,
        customer_id=command.customer_id,
        native_id=cta.gsid,
        aggregate_version=version_at(cta.modified_at),
    )


def closed(command: CloseIntervention, cta: Cta) -> InterventionClosed:
    """The reply."""
    return InterventionClosed(
        intervention_id=command.intervention_id, customer_id=command.customer_id, aggregate_version=version_at(cta.modified_at)
    )


def problem_of(refused: GainsightRefused, command: StartOnboarding | OpenIntervention | CloseIntervention) -> Problem:
    """Why Gainsight said no, in the command's terms."""
    if refused.code == _UNKNOWN_COMPANY:
        return Problem(entity="customer", id=command.customer_id, field="customer_id", code="unknown-customer", hint=str(refused))
    entity, field = ("contract", "contract_id") if isinstance(command, StartOnboarding) else ("intervention", "intervention_id")
    return Problem(entity=entity, id=command.key, field=field, code="refused-by-customer-success", hint=str(refused))


def unknown(command: CloseIntervention) -> Problem:
    """That there is nothing to be closed."""
    return Problem(
        entity="intervention",
        id=command.intervention_id,
        field="intervention_id",
        code="unknown-intervention",
        hint="Gainsight has no risk with this external id; it was never opened, or somebody has removed it",
    )
