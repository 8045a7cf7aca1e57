"""What a role is: the commands that it must carry out. Reading is a Protocol beside it."""

from __future__ import annotations

from dataclasses import dataclass

from integration_fabric.messages.base import Command


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the landscape; several systems can play it."""

    name: str
    """Also the domain of its commands' topics."""
    commands: frozenset[type[Command]]
