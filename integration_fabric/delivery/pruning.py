"""Pruning: what no producer publishes again is forgotten (protocol.md, I). A worker has a `Pruner` for each of its subscribers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

from integration_fabric.delivery.ports import PRUNED_AT_ONCE
from integration_fabric.messages.errors import Fenced
from integration_fabric.runtime.ending import ended
from integration_fabric.runtime.failures import code_of
from integration_fabric.runtime.ports import Fence
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG

PAUSE_S = 0.2
"""Between two full batches of a partition, as after an upgrade: 5,000 rows a second, in a twentieth of the store's time."""


class Prune(Protocol):
    """`EffectLog.prune`, or what a subscriber has in its place."""

    async def __call__(self, fence: Fence, *, below: int, older_than: timedelta, limit: int) -> int:
        """As there."""
        ...


class Pruner:
    """Prunes what one subscriber remembers of the partitions that this worker has; others prune theirs."""

    def __init__(self, *, subscriber: str, prune: Prune, older_than: timedelta, bases: Callable[[], Mapping[Fence, int]]) -> None:
        """Join what it needs.

        Args:
            subscriber: Its name.
            prune: Forgets, and says how many.
            older_than: How long everything is remembered.
            bases: The committed base of each partition that is to be pruned now.
        """
        self._subscriber, self._prune, self._older_than, self._bases = subscriber, prune, older_than, bases

    async def run(self, *, every: timedelta, ending: asyncio.Event) -> None:
        """Prune until `ending`."""
        while not await ended(ending, every.total_seconds()):
            for fence, base in self._bases().items():
                await self._partition(fence, base, ending)

    async def _partition(self, fence: Fence, base: int, ending: asyncio.Event) -> None:
        """Prune one, batch by batch. It can wait: whatever fails is for the next time, or for the partition's next owner."""
        try:
            while await self._batch(fence, base) == PRUNED_AT_ONCE and not await ended(ending, PAUSE_S):
                continue
        except Fenced:
            return
        except Exception as error:  # noqa: BLE001  a defect here must not end the worker, and with it every subscriber
            LOG.problem("pruning_failed", subscriber=self._subscriber, code=code_of(error), error=str(error))

    async def _batch(self, fence: Fence, base: int) -> int:
        count = await self._prune(fence, below=base, older_than=self._older_than, limit=PRUNED_AT_ONCE)
        metrics.PRUNED.labels(self._subscriber).inc(count)
        return count
