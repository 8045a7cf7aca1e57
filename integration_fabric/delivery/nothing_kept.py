# ruff: noqa: ARG002  the port says what is given
"""An effect log that is off: for shadows, and for measuring what the log costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from integration_fabric.delivery.ports import PRUNED_AT_ONCE, Claim, EffectLog, EffectState, Fresh, Link
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.subscriber import Handled


class NothingKept(EffectLog):
    """Implements `delivery.ports.EffectLog`: every message is new, and nothing is written."""

    async def claim(self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta) -> Claim:
        """Always new."""
        return Fresh(0)

    async def look(self, fence: Fence, message_id: str, coordinates: Coordinates) -> None:
        """Nothing is known."""

    async def recall(self, subscriber: str, message_ids: Sequence[str]) -> Mapping[str, Handled | None]:
        """Nothing is known."""
        return {}

    async def renew(
        self,
        fence: Fence,
        message_id: str,
        coordinates: Coordinates,
        *,
        within: timedelta,
        generation: int,
        mark: float | None = None,
    ) -> bool:
        """There is no other."""
        return True

    async def settle(
        self,
        fence: Fence,
        message_id: str,
        coordinates: Coordinates,
        handled: Handled,
        *,
        state: EffectState,
        links: Sequence[Link] = (),
        redelivery: int | None = None,
    ) -> bool:
        """There is no other."""
        return True

    async def withdraw(self, fence: Fence, message_id: str, coordinates: Coordinates) -> None:
        """There is nothing to take back."""

    async def give_up(self, fence: Fence, message_id: str, coordinates: Coordinates, *, mark: float | None = None) -> bool:
        """There is no other."""
        return True

    async def prune(self, fence: Fence, *, below: int, older_than: timedelta, limit: int = PRUNED_AT_ONCE) -> int:
        """There is nothing to forget."""
        return 0
