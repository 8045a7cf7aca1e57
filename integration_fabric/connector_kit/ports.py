"""What connectors need kept."""

from __future__ import annotations

from typing import Protocol


class Cursors(Protocol):
    """How far a poller has published; moved only after the events are acknowledged. Raises Unavailable where the store does not answer."""

    async def load(self, poller: str) -> str | None:
        """None at first."""
        ...

    async def save(self, poller: str, cursor: str) -> None:
        """Durable when it returns."""
        ...
