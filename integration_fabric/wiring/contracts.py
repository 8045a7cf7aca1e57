"""Joins topics and schemas with the broker and the registry: `fabric topics apply`, `fabric schemas push`, and what `fabric up` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from integration_fabric.backends.kafka.admin import AppliedTopic, KafkaAdmin
from integration_fabric.governance.schema_files import read_all
from integration_fabric.wiring import landscape
from integration_fabric.wiring.kafka import client_config, open_registry
from integration_fabric.wiring.settings import Settings


@dataclass(frozen=True, slots=True)
class Pushed:
    """One schema at the registry."""

    subject: str
    id: int
    is_new: bool


def apply_topics(settings: Settings) -> Sequence[AppliedTopic]:
    """Make the topics that are missing. Raises UsageProblem."""
    admin = KafkaAdmin(client_config(settings), replication_factor=settings.kafka.replication_factor)
    return admin.apply(landscape.topics(settings))


def push_schemas(settings: Settings) -> Sequence[Pushed]:
    """Register every schema. Raises UsageProblem, ContractBroken."""
    config = client_config(settings)
    if not settings.registry.url:
        KafkaAdmin(config).reach()
    registry = open_registry(settings, config)
    pushed = []
    for file in read_all():
        subject = f"{file.topic}-value"
        known = registry.id_of(subject, file.text)
        pushed.append(Pushed(subject, known if known is not None else registry.register(subject, file.text), known is None))
    return pushed
