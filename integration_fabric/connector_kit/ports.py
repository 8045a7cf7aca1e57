"""What connectors need kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from integration_fabric.messages.ids import System

RECEIPTS_KEPT = timedelta(days=35)
"""Vendors send a webhook again for three days at the most; people ask about last month."""


class Cursors(Protocol):
    """How far a poller has published; moved only after the events are acknowledged. Raises Unavailable where the store does not answer."""

    async def load(self, poller: str) -> str | None:
        """None at first."""
        ...

    async def save(self, poller: str, cursor: str) -> None:
        """Durable when it returns."""
        ...


class ReceiptState(StrEnum):
    """What became of a payload."""

    PUBLISHED = "published"
    """Its events are on their topics; there may be none that anybody needs."""
    QUARANTINED = "quarantined"
    """It makes no sense to its intake: it is a dead letter, byte for byte."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one payload that a system sent."""

    id: str
    """The same however often the same bytes come."""
    system: System
    received_at: datetime
    """When it came first."""
    state: ReceiptState
    messages: tuple[str, ...] = ()
    """Ids of the messages that it became; of the dead letter, where it was quarantined."""
    code: str = ""
    problem: str = ""
    """Why it was quarantined, with the path of the field."""


class Receipts(Protocol):
    """What became of webhooks, for their senders. All raise Unavailable where the store does not answer."""

    async def find(self, receipt_id: str) -> Receipt | None:
        """None where no such payload was taken, or it is longer ago than receipts are kept."""
        ...

    async def published(self, message_ids: Collection[str]) -> Collection[str]:
        """Those of them that a receipt names as published: several payloads may tell of one event."""
        ...

    async def keep(self, receipt: Receipt) -> None:
        """Durable when it returns. One that is there already is replaced, but keeps when it came first."""
        ...
