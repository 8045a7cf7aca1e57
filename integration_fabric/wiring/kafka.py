"""Joins the Kafka backends: what all clients share, the registry, the reader for tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.reader import KafkaReader
from integration_fabric.backends.registry.confluent import ConfluentRegistry
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.governance.ports import SchemaRegistry
from integration_fabric.operations.ports import TopicReader
from integration_fabric.wiring.settings import Settings, require_bootstrap


def client_config(settings: Settings) -> Mapping[str, Any]:
    """What all clients share. Raises UsageProblem where no broker is set."""
    return client_configuration(require_bootstrap(settings), security=settings.kafka.security)


def open_registry(settings: Settings, config: Mapping[str, Any]) -> SchemaRegistry:
    """The registry that the settings name."""
    if settings.registry.url:
        return ConfluentRegistry(settings.registry.url)
    return EmbeddedRegistry(config)


def open_reader(settings: Settings) -> TopicReader:
    """Reads topics for tools. Raises UsageProblem where no broker is set."""
    return KafkaReader(config=client_config(settings))
