"""When a partition that was let go has records, and its consumer hands out none of them. Pure.

A client may forget a partition: of confluent-kafka 2.16 it is known that a resume is passed over which comes close to an assignment
(librdkafka#5591), or the start of fetching where the group's coordinator moves meanwhile (librdkafka#5586). Nothing is logged then. A
worker looks every ten seconds, as for stalls: such a partition is fetched anew, and where the consumer has not even heard of the records
after that, its subscriber goes on with a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.records import TopicPartition

UNFED_LOOKS = 3
"""In a row, without a record: by then a fetch has been answered many times."""


class Unfed(Unavailable):
    """A consumer has forgotten a partition."""

    code = "partition-unfed"


@dataclass(frozen=True, slots=True)
class Fetching:
    """How far a consumer is with one partition that nothing keeps from being fetched."""

    epoch: int
    """The local one."""
    position: int
    """What it hands out next."""
    heard: int
    """The offset after the partition's last record, as it was told with what it fetched; negative where it never fetched."""
    end: int
    """The same of what may be read, as the broker says now."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A row of looks at one partition, which all found it at one position."""

    first: Fetching
    looks: int = 0
    is_anew: bool = False
    """Whether it was fetched anew before."""


class FeedWatch:
    """Over the partitions of one consumer."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._seen: dict[TopicPartition, _Seen] = {}

    def look(self, found: Mapping[TopicPartition, Fetching]) -> tuple[Sequence[TopicPartition], Sequence[TopicPartition]]:
        """See how far it is.

        Returns:
            Those to fetch anew, and those of which it does not hear even so. One whose end is made of nothing but markers of transactions
            is among neither, once it was fetched anew.
        """
        before, self._seen = self._seen, {}
        anew: list[TopicPartition] = []
        forgotten: list[TopicPartition] = []
        for partition, now in found.items():
            if now.position >= now.end:
                continue
            seen = _next(before.get(partition), now)
            if seen.looks >= UNFED_LOOKS:
                if not seen.is_anew:
                    anew.append(partition)
                    seen = _Seen(now, is_anew=True)
                elif now.heard < seen.first.end:
                    forgotten.append(partition)
                elif now.end > seen.first.end:
                    seen = _Seen(now)
            self._seen[partition] = seen
        return anew, forgotten


def _next(seen: _Seen | None, now: Fetching) -> _Seen:
    if seen is None or (seen.first.epoch, seen.first.position) != (now.epoch, now.position):
        return _Seen(now)
    return _Seen(seen.first, seen.looks + 1, seen.is_anew)
