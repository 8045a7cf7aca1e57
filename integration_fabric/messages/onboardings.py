"""What travels about onboardings. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from integration_fabric.messages.base import Command, Event, NativeId, Replies
from integration_fabric.messages.ids import ContractId, CustomerId, OrderId
from integration_fabric.messages.problems import Problem


class OnboardingRejected(Event):
    """Customer success refused to begin."""

    topic: ClassVar[str] = "customer-success.onboarding-rejected.v1"
    schema_name: ClassVar[str] = "customer_success.v1.OnboardingRejected"
    key_field: ClassVar[str] = "contract_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("contract", "contract_id"),)

    contract_id: ContractId
    """Canonical id of the contract."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class OnboardingStarted(Event):
    """Onboarding has begun."""

    topic: ClassVar[str] = "customer-success.onboarding-started.v1"
    schema_name: ClassVar[str] = "customer_success.v1.OnboardingStarted"
    key_field: ClassVar[str] = "contract_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("contract", "contract_id"), ("customer", "customer_id"))
    native_ids: ClassVar[tuple[NativeId, ...]] = (NativeId("onboarding", "contract_id", "native_id"),)

    contract_id: ContractId
    """Canonical id of the contract."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    native_id: str
    """Customer success's own id of the onboarding."""


class StartOnboarding(Command):
    """Begin to onboard the customer of a contract."""

    topic: ClassVar[str] = "customer-success.start-onboarding.v1"
    schema_name: ClassVar[str] = "customer_success.v1.StartOnboarding"
    key_field: ClassVar[str] = "contract_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("contract", "contract_id"),
        ("order", "order_id"),
        ("customer", "customer_id"),
    )
    replies: ClassVar[Replies] = Replies(done=OnboardingStarted, refused=OnboardingRejected)

    contract_id: ContractId
    """Canonical id of the contract."""
    order_id: OrderId
    """Canonical id of the order, minted by the process."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    plan: str
    """The onboarding plan."""
    starts_on: date
    """First day of service."""
    product_ids: tuple[str, ...] = ()
    """What was bought."""
