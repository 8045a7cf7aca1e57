"""Reads topics of the memory broker outside any group, for tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.operations.ports import TopicReader
from integration_fabric.runtime.ports import CommittedOffset
from integration_fabric.runtime.records import Record, TopicPartition


class MemoryReader(TopicReader):
    """Implements `operations.ports.TopicReader`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def topics(self) -> Sequence[str]:
        """All that there are."""
        return self._broker.topics()

    def read(self, topics: Sequence[str], *, whole: bool = False) -> Iterator[Record]:  # noqa: ARG002  transactions hide nothing here
        """Every committed record. Topics that are not there are empty."""
        return iter(self._broker.read(*topics))

    def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, CommittedOffset | None]:
        """What a group has committed."""
        there = self._broker.committed_by(group)
        return {p: self._broker.position(group, p) if p in there else None for p in self._partitions(topics)}

    def ends(self, topics: Sequence[str], *, committed: bool = True) -> Mapping[TopicPartition, int]:  # noqa: ARG002  no transaction is seen open
        """The offset after the last record of each partition."""
        return {partition: self._broker.end(partition) for partition in self._partitions(topics)}

    def _partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [partition for topic in topics for partition in self._broker.partitions(topic)]
