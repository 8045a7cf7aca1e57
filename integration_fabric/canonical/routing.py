"""Which system plays a role for a legal entity (data; pure). The process engine asks it for each command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from integration_fabric.messages.errors import DataProblem
from integration_fabric.messages.ids import System


@dataclass(frozen=True, slots=True)
class Routes:
    """(role, legal entity) → system; the legal entity `*` stands for all others."""

    table: Mapping[tuple[str, str], System]

    def system(self, role: str, legal_entity: str | None) -> System:
        """The system that a command is for. Raises DataProblem where nobody plays the role there."""
        found = self.table.get((role, legal_entity or "*")) or self.table.get((role, "*"))
        if found is None:
            hint = f"name a system for {role} in FABRIC_SYSTEMS"
            raise DataProblem(entity="legal-entity", field="legal_entity", value=legal_entity or "", hint=hint, code="no-route")
        return found
