"""What people order of a running subscriber: stand still, drain, leave a partition or a key alone, pass messages over. Pure.

Orders stand in SQL, so that they survive restarts and hold for whoever owns a partition; workers look at them twice a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from integration_fabric.runtime.records import TopicPartition


class OrderKind(StrEnum):
    """What is ordered."""

    PAUSE = "pause"
    """Start nothing of it; what runs is finished."""
    DRAIN = "drain"
    """Take nothing more; what was taken is finished. Only of a whole subscriber."""
    SKIP = "skip"
    """Discard what stands below an offset of a partition and has not begun."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order of one subscriber; of all of it where it names no partition and no key."""

    subscriber: str
    kind: OrderKind
    by: str
    why: str
    partition: TopicPartition | None = None
    key: bytes | None = None
    until: int | None = None
    """Of a skip: the first offset that is not discarded."""
    given_at: datetime | None = None

    @property
    def what(self) -> str:
        """What it is about, for people."""
        if self.key is not None:
            return f"key {self.key.decode('utf-8', 'replace')}"
        if self.partition is None:
            return "everything"
        place = f"{self.partition.topic}/{self.partition.partition}"
        return place if self.until is None else f"{place} below {self.until}"


@dataclass(frozen=True, slots=True)
class Steering:
    """All orders of one subscriber, as its loop looks at them."""

    is_paused: bool = False
    is_draining: bool = False
    partitions: frozenset[TopicPartition] = frozenset()
    """Of which nothing is taken and started."""
    keys: frozenset[bytes] = frozenset()
    """Of which nothing is started."""
    skips: Mapping[TopicPartition, Order] = field(default_factory=dict)
    """The furthest skip of each partition."""

    @property
    def stands(self) -> bool:
        """Whether the subscriber as a whole takes nothing."""
        return self.is_paused or self.is_draining

    @classmethod
    def of(cls, subscriber: str, orders: Sequence[Order]) -> Steering:
        """Those of one subscriber."""
        mine = [order for order in orders if order.subscriber == subscriber]
        whole = {order.kind for order in mine if order.partition is None and order.key is None}
        pauses = [order for order in mine if order.kind is OrderKind.PAUSE]
        skips: dict[TopicPartition, Order] = {}
        for order in mine:
            if order.kind is OrderKind.SKIP and order.partition is not None and order.until is not None:
                known = skips.get(order.partition)
                if known is None or (known.until or 0) < order.until:
                    skips[order.partition] = order
        return cls(
            OrderKind.PAUSE in whole,
            OrderKind.DRAIN in whole,
            frozenset(order.partition for order in pauses if order.partition is not None),
            frozenset(order.key for order in pauses if order.key is not None),
            skips,
        )

    def skip(self, partition: TopicPartition, offset: int) -> Order | None:
        """The order by which a message is passed over."""
        order = self.skips.get(partition)
        return order if order is not None and order.until is not None and offset < order.until else None
