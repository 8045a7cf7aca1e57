"""What travels about interventions. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from integration_fabric.messages.base import Command, Event, NativeId, Replies
from integration_fabric.messages.ids import CustomerId, InterventionId, InvoiceId
from integration_fabric.messages.problems import Problem


class Severity(StrEnum):
    """How urgent an intervention is."""

    UNKNOWN = "unknown"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class InterventionClosed(Event):
    """The intervention is over."""

    topic: ClassVar[str] = "customer-success.intervention-closed.v1"
    schema_name: ClassVar[str] = "customer_success.v1.InterventionClosed"
    key_field: ClassVar[str] = "intervention_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("intervention", "intervention_id"), ("customer", "customer_id"))

    intervention_id: InterventionId
    """Canonical id of the intervention."""
    customer_id: CustomerId
    """Canonical id of the customer."""


class InterventionOpened(Event):
    """A person was asked."""

    topic: ClassVar[str] = "customer-success.intervention-opened.v1"
    schema_name: ClassVar[str] = "customer_success.v1.InterventionOpened"
    key_field: ClassVar[str] = "intervention_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("intervention", "intervention_id"), ("customer", "customer_id"))
    native_ids: ClassVar[tuple[NativeId, ...]] = (NativeId("intervention", "intervention_id", "native_id"),)

    intervention_id: InterventionId
    """Canonical id of the intervention."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    native_id: str
    """Customer success's own id of the intervention."""


class InterventionRejected(Event):
    """Customer success refused to open or close it."""

    topic: ClassVar[str] = "customer-success.intervention-rejected.v1"
    schema_name: ClassVar[str] = "customer_success.v1.InterventionRejected"
    key_field: ClassVar[str] = "intervention_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("intervention", "intervention_id"),)

    intervention_id: InterventionId
    """Canonical id of the intervention."""
    problems: tuple[Problem, ...] = ()
    """Why; never empty."""


class CloseIntervention(Command):
    """The reason is gone."""

    topic: ClassVar[str] = "customer-success.close-intervention.v1"
    schema_name: ClassVar[str] = "customer_success.v1.CloseIntervention"
    key_field: ClassVar[str] = "intervention_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (("intervention", "intervention_id"), ("customer", "customer_id"))
    replies: ClassVar[Replies] = Replies(done=InterventionClosed, refused=InterventionRejected)

    intervention_id: InterventionId
    """Canonical id of the intervention."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    resolution: str
    """What settled it, for people."""


class OpenIntervention(Command):
    """Ask a person to look after a customer."""

    topic: ClassVar[str] = "customer-success.open-intervention.v1"
    schema_name: ClassVar[str] = "customer_success.v1.OpenIntervention"
    key_field: ClassVar[str] = "intervention_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("intervention", "intervention_id"),
        ("customer", "customer_id"),
        ("invoice", "invoice_id"),
    )
    replies: ClassVar[Replies] = Replies(done=InterventionOpened, refused=InterventionRejected)

    intervention_id: InterventionId
    """Canonical id of the intervention."""
    customer_id: CustomerId
    """Canonical id of the customer."""
    invoice_id: InvoiceId | None = None
    """The invoice that it is about."""
    reason: str
    """Why, for people."""
    severity: Severity = Severity.UNKNOWN
    """How urgent."""
