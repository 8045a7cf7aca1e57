"""Cross-references, as the fabric's other parts ask for them."""

from __future__ import annotations

from typing import Protocol


class CrossReferences(Protocol):
    """Canonical id ↔ a system's own id. Durable when a call returns; all raise Unavailable where the store does not answer."""

    async def native(self, entity: str, canonical_id: str, system: str) -> str | None:
        """The system's own id; None where nobody has linked it yet."""
        ...

    async def canonical(self, entity: str, native_id: str, system: str) -> str | None:
        """The canonical id; None where nobody has linked it yet."""
        ...

    async def link(self, entity: str, canonical_id: str, system: str, native_id: str) -> None:
        """Remember that they are one. Idempotent; raises Conflict where the system's own id belongs to another."""
        ...
