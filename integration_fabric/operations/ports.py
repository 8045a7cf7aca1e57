"""What operations read. Everything here only looks: nothing that it calls changes a topic, an offset or a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from integration_fabric.runtime.ports import CommittedOffset
from integration_fabric.runtime.records import Record, TopicPartition


class TopicReader(Protocol):
    """Reads topics outside any group. Blocks; not for the event loop. Raises Unreachable where the broker does not answer."""

    def topics(self) -> Sequence[str]:
        """All that there are."""
        ...

    def read(self, topics: Sequence[str], *, whole: bool = False) -> Iterator[Record]:
        """Every committed record that stands there now, in partition order, up to the end as it was when the reading began.

        Args:
            topics: Those that are not there are empty.
            whole: Whether to wait until the transactions that are open now have ended: what stands behind one that a killed worker has
                left is hidden until the broker ends it.
        """
        ...

    def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, CommittedOffset | None]:
        """What a group has committed on every partition of the topics; None where it never did."""
        ...

    def ends(self, topics: Sequence[str], *, committed: bool = True) -> Mapping[TopicPartition, int]:
        """The offset after the last record of each partition; what an open transaction holds up counts only where not `committed`."""
        ...
