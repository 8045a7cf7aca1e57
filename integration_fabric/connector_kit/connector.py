"""What a connector's folder exports: one vendor for one role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from integration_fabric.connector_kit.intake import Intake
from integration_fabric.delivery.governor import Gate
from integration_fabric.delivery.ports import EffectLog
from integration_fabric.messages.base import Command
from integration_fabric.messages.ids import System
from integration_fabric.roles.role import Role
from integration_fabric.runtime.ports import Clock
from integration_fabric.runtime.subscriber import Running

K = TypeVar("K")
K_contra = TypeVar("K_contra", contravariant=True)


class Bindable(Protocol[K_contra]):
    """An action, as the connector sees it: whatever its command and reply, it needs this client."""

    @property
    def command(self) -> type[Command]:
        """What it carries out."""
        ...

    def bind(self, system: System, client: K_contra, *, effects: EffectLog, clock: Clock, gate: Gate | None = None) -> Running:
        """As a subscriber."""
        ...


@dataclass(frozen=True, slots=True)
class Connector(Generic[K]):
    """One vendor for one role."""

    vendor: str
    role: Role
    actions: Sequence[Bindable[K]]
    intake: Intake | None = None

    def missing(self) -> frozenset[type[Command]]:
        """The commands of its role that it does not carry out."""
        return self.role.commands - {action.command for action in self.actions}

    def subscribers(self, system: System, client: K, *, effects: EffectLog, clock: Clock, gate: Gate | None = None) -> Sequence[Running]:
        """One subscriber for each action."""
        return [action.bind(system, client, effects=effects, clock=clock, gate=gate) for action in self.actions]
