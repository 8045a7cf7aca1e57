"""Canonical commands ↔ Gainsight's records. Pure; the actions call it."""

from __future__ import annotations

from connectors.customer_success.gainsight.records import Cta, NewCta
from connectors.customer_success.gainsight.refusals import GainsightRefused
from integration_fabric.connector_kit.shapes import version_at
from integration_fabric.messages.onboardings import OnboardingStarted, StartOnboarding
from integration_fabric.messages.problems import Problem

MAX_TEXT = 255
"""Characters that a text field holds; what a contract holds more of is cut, since people read it."""

_UNKNOWN_COMPANY = "COCKPIT_1042"


def new_cta(command: StartOnboarding) -> NewCta:
    """The onboarding as a CTA; the contract's id is its external id, so that there is one for each contract."""
    products = ", ".join(dict.fromkeys(command.product_ids))
    return NewCta(
        external_id=command.contract_id,
        name=f"Onboarding {command.contract_id}",
        company=command.customer_id,
        playbook=command.plan,
        due_on=command.starts_on,
        contract_id=command.contract_id,
        order_id=command.order_id,
        products=products if len(products) <= MAX_TEXT else f"{products[: MAX_TEXT - 1]}…",
        comments=f"Order {command.order_id}; service starts on {command.starts_on.isoformat()}",
    )


def started(command: StartOnboarding, cta: Cta) -> OnboardingStarted:
    """The reply."""
    return OnboardingStarted(
        contract_id=command.contract_id,
        customer_id=command.customer_id,
        native_id=cta.gsid,
        aggregate_version=version_at(cta.modified_at),
    )


def problem_of(refused: GainsightRefused, command: StartOnboarding) -> Problem:
    """Why Gainsight said no, in the command's terms."""
    if refused.code == _UNKNOWN_COMPANY:
        return Problem(entity="customer", id=command.customer_id, field="customer_id", code="unknown-customer", hint=str(refused))
    return Problem(entity="contract", id=command.contract_id, field="contract_id", code="refused-by-customer-success", hint=str(refused))
