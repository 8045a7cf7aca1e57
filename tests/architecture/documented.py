"""What must stand in the README: every command, setting, metric and error code, from the code itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args, get_origin

import typer
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from integration_fabric.apps.cli.main import app
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages import errors
from integration_fabric.telemetry import metrics
from integration_fabric.wiring.settings import Settings


def commands(found: typer.Typer = app, prefix: str = "fabric") -> Iterator[tuple[str, str]]:
    """(command, what it does)."""
    for command in found.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.rstrip("_")
        yield f"{prefix} {name}", (inspect.getdoc(command.callback) or "").splitlines()[0]
    for group in found.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, f"{prefix} {group.name}")


def settings(model: type[BaseModel] = Settings, prefix: str = "FABRIC_") -> Iterator[tuple[str, str]]:
    """(environment variable, default)."""
    for name, field in model.model_fields.items():
        kind, variable = _inner(field.annotation), f"{prefix}{name.upper()}"
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            many = get_origin(field.annotation) is not None
            yield from settings(kind, f"{variable}__NAME__" if many else f"{variable}__")
        else:
            yield variable, "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
    if model is Settings:
        yield from ((f"FABRIC_LOCAL_{name.upper()}", LOCAL[name]) for name in LocalSettings.model_fields)
        yield "FABRIC_CONFIG", ".fabric/fabric.toml"


LOCAL = {"state_dir": ".fabric", "kafka_port": "a free one", "cache_dir": "~/.cache/integration-fabric"}


def _inner(annotation: Any) -> Any:
    found = [kind for kind in get_args(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return found[0] if found and not isinstance(annotation, UnionType) else annotation


def _shown(value: Any) -> str:
    if value is None or value in ("", {}):
        return "none"
    if hasattr(value, "total_seconds"):
        return f"{value.total_seconds():g} s"
    return str(getattr(value, "value", "**" if "Secret" in type(value).__name__ else value)).replace("**", "none")


def all_metrics() -> Iterator[tuple[str, str]]:
    """(name, meaning)."""
    for value in vars(metrics).values():
        if isinstance(value, MetricWrapperBase):
            yield value._name, value._documentation


def error_codes(kind: type[errors.FabricError] = errors.FabricError) -> Iterator[tuple[str, str, str]]:
    """(code, class of failure, meaning)."""
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child.code, child.failure.value, (inspect.getdoc(child) or "").splitlines()[0]
            yield from error_codes(child)
