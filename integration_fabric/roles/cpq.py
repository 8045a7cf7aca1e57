"""CPQ: quotes. It takes no commands yet; its events come in by webhook."""

from __future__ import annotations

from integration_fabric.roles.role import Role

CPQ = Role("cpq", frozenset())
