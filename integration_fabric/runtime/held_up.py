"""When what a partition holds cannot be read, as an open transaction stands before it that nobody ends. Pure.

Readers of committed records wait behind the start of each open transaction, and see no lag there. A producer ends its transactions within
seconds, and the broker ends those of a producer that is gone within its `transaction.timeout.ms`; one that is open for longer hangs in the
broker. A worker looks every ten seconds, as for stalls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from integration_fabric.runtime.records import TopicPartition

HANGS_AFTER_S = 120.0
"""Well above the timeout that our own transactions have (30 s), and what others take by default (60 s)."""


class HeldUpWatch:
    """Over the partitions of all topics that are read."""

    __slots__ = ("_since", "hanging")

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._since: dict[TopicPartition, tuple[int, float]] = {}
        """Held up where, and since when."""
        self.hanging: frozenset[TopicPartition] = frozenset()

    def look(
        self, now_s: float, *, readable: Mapping[TopicPartition, int], written: Mapping[TopicPartition, int]
    ) -> Sequence[TopicPartition]:
        """See how they stand.

        Args:
            now_s: On the monotonic clock.
            readable: The offset after the last record that may be read, of each partition.
            written: The offset after the last record.

        Returns:
            Those that hang since this look.
        """
        held = {partition: end for partition, end in readable.items() if end < written.get(partition, end)}
        before, self._since = self._since, {}
        for partition, end in held.items():
            at, since_s = before.get(partition, (end, now_s))
            self._since[partition] = (end, since_s if at == end else now_s)
        hanging = frozenset(partition for partition, (_, since_s) in self._since.items() if now_s - since_s >= HANGS_AFTER_S)
        news, self.hanging = sorted(hanging - self.hanging), hanging
        return news
