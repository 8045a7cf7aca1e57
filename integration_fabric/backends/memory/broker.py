"""Kafka in memory: topics, groups and transactions of one event loop, as far as the runtime can tell them from the real thing.

`MemoryConsumer`, `MemoryTransactions` and `MemoryPublisher` work on it. Everything happens in the order of the event loop's turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, Protocol
from zlib import crc32

from integration_fabric.messages.errors import UsageProblem
from integration_fabric.runtime.offsets import MAX_METADATA_CHARS, CommitMetadata
from integration_fabric.runtime.ports import Clock, CommittedOffset, Pending
from integration_fabric.runtime.records import Outgoing, Record, TopicPartition


class Membership(NamedTuple):
    """What a snapshot of the memory backend carries: who says that the partitions are his."""

    group: str
    member: str
    epoch: int


@dataclass(slots=True)
class _Log:
    """One partition. What is no record is a transaction marker, or a record of an aborted transaction: both take an offset up."""

    entries: list[Record | None] = field(default_factory=list)
    low: int = 0
    opened_at: dict[str, int] = field(default_factory=dict)
    """First offset of each open transaction: nothing from there on is handed out."""

    @property
    def stable(self) -> int:
        return min(self.opened_at.values(), default=len(self.entries))


@dataclass(slots=True)
class _Topic:
    id: str
    logs: list[_Log]


@dataclass(slots=True)
class _Member:
    epoch: int
    topics: tuple[str, ...]
    owned: set[TopicPartition] = field(default_factory=set)


@dataclass(slots=True)
class _Group:
    epoch: int = 0
    members: dict[str, _Member] = field(default_factory=dict)
    committed: dict[TopicPartition, tuple[int, str]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))


@dataclass(slots=True)
class _Open:
    """A transaction that has begun and not ended."""

    group: str
    offsets: dict[TopicPartition, tuple[int, str]]
    logs: list[_Log]


class Watcher(Protocol):
    """Whoever wants to know that something has changed."""

    def wake(self) -> None:
        """Something has: a record, an assignment."""
        ...


class MemoryBroker:
    """All topics, groups and transactions of one world."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[str, _Group] = {}
        self._open: dict[str, _Open] = {}
        self._producers: dict[str, int] = {}
        self._watchers: list[Watcher] = []
        self._topic_numbers, self._turns = count(1), count()

    # -- topics

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic; made again after `delete_topic` it has another id."""
        if name in self._topics:
            raise UsageProblem(f"topic {name} is there already")
        self._topics[name] = _Topic(f"topic-{next(self._topic_numbers)}", [_Log() for _ in range(partitions)])

    def ensure_topics(self, names: Iterable[str], partitions: int = 1) -> None:
        """Make those that are not there."""
        for name in names:
            if name not in self._topics:
                self.create_topic(name, partitions)

    def delete_topic(self, name: str) -> None:
        """Forget a topic, and what groups have committed on it."""
        del self._topics[name]
        for group in self._groups.values():
            group.committed = {partition: found for partition, found in group.committed.items() if partition.topic != name}

    def topics(self) -> Sequence[str]:
        """All that there are, sorted."""
        return sorted(self._topics)

    def topic_ids(self, names: Sequence[str]) -> Mapping[str, str]:
        """Their ids. Raises UsageProblem where some are not there, naming them."""
        missing = sorted(name for name in names if name not in self._topics)
        if missing:
            raise UsageProblem(f"topics are not there: {', '.join(missing)}; run `fabric topics apply`")
        return {name: self._topics[name].id for name in names}

    def partitions(self, topic: str) -> Sequence[TopicPartition]:
        """Those of a topic; none where it is not there."""
        found = self._topics.get(topic)
        return [TopicPartition(topic, number) for number in range(len(found.logs))] if found else []

    def append(self, outgoing: Outgoing, *, partition: int | None = None) -> Record:
        """Append one record outside any transaction. Raises UsageProblem where the topic is not there."""
        self.topic_ids([outgoing.topic])
        record = self._append(outgoing, partition)
        self._wake()
        return record

    def append_gap(self, partition: TopicPartition) -> None:
        """Take an offset up that holds no record, as a transaction marker or compaction does."""
        self._log(partition).entries.append(None)

    def delete_records(self, partition: TopicPartition, *, before: int) -> None:
        """As retention does: what lies below `before` is gone."""
        self._log(partition).low = before

    def read(self, *topics: str) -> list[Record]:
        """Every committed record of these topics, by partition and offset."""
        return [record for topic in topics for partition in self.partitions(topic) for record in self.take(partition, 0)[0]]

    def low(self, partition: TopicPartition) -> int:
        """The first offset that is there."""
        return self._log(partition).low

    def end(self, partition: TopicPartition) -> int:
        """The offset after the last."""
        return len(self._log(partition).entries)

    def take(self, partition: TopicPartition, position: int, limit: int | None = None) -> tuple[list[Record], int]:
        """At most `limit` committed records from a position on, and the position after them. One past the end is reset to the start."""
        log = self._log(partition)
        found: list[Record] = []
        position = log.low if position > len(log.entries) else max(position, log.low)
        while position < log.stable and (limit is None or len(found) < limit):
            if (record := log.entries[position]) is not None:
                found.append(record)
            position += 1
        return found, position

    # -- groups

    def join(self, group: str, topics: Sequence[str]) -> str:
        """Add a member; every member's share changes. Returns its name."""
        found = self._group(group)
        member = f"{group}-{next(found.numbers)}"
        found.epoch += 1
        found.members[member] = _Member(found.epoch, tuple(topics))
        self._wake()
        return member

    def expire(self, group: str, member: str) -> None:
        """Throw a member out, as the end of its session does: its partitions are free at once, whatever it believes."""
        found = self._group(group)
        if found.members.pop(member, None) is not None:
            found.epoch += 1
            self._wake()

    def is_member(self, group: str, member: str) -> bool:
        """Whether the group knows it."""
        return member in self._group(group).members

    def share(self, group: str, member: str) -> tuple[int, frozenset[TopicPartition]]:
        """The group's epoch, and what the member is to own in it."""
        found = self._group(group)
        names = list(found.members)
        wanted = found.members[member].topics
        every = sorted(partition for topic in wanted for partition in self.partitions(topic))
        place = names.index(member)
        return found.epoch, frozenset(partition for number, partition in enumerate(every) if number % len(names) == place)

    def give_up(self, group: str, member: str, partitions: Iterable[TopicPartition]) -> None:
        """The member has let go of these: others may have them."""
        if (found := self._group(group).members.get(member)) is not None:
            found.owned -= set(partitions)
            self._wake()

    def move_up(self, group: str, member: str, epoch: int) -> list[TopicPartition]:
        """Bring a member to an epoch. Returns what it owns from now on: its share, less what others still hold."""
        found = self._group(group)
        mine = found.members[member]
        mine.epoch = epoch
        held = {partition for name, other in found.members.items() if name != member for partition in other.owned}
        fresh = sorted(self.share(group, member)[1] - held - mine.owned)
        mine.owned.update(fresh)
        return fresh

    def owners(self, group: str) -> Mapping[TopicPartition, str]:
        """Who owns what, as the broker knows it."""
        return {partition: name for name, member in self._group(group).members.items() for partition in member.owned}

    # -- offsets

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        """What is committed, or the start of the partition. Raises Pending where an open transaction holds an offset of them."""
        for name, transaction in self._open.items():
            if transaction.group == group and transaction.offsets.keys() & set(partitions):
                raise Pending(f"transaction of {name} is open")
        return {partition: self.position(group, partition) for partition in partitions}

    def position(self, group: str, partition: TopicPartition) -> CommittedOffset:
        """As `committed`, for one partition and whatever is open."""
        found = self._group(group).committed.get(partition)
        if found is None:
            return CommittedOffset(self._log(partition).low, None)
        offset, text = found
        metadata = CommitMetadata.decode(text)
        if metadata is not None and metadata.base != offset:
            metadata = None
        return CommittedOffset(offset, metadata, foreign=bool(text) and metadata is None)

    def committed_by(self, group: str) -> Mapping[TopicPartition, tuple[int, str]]:
        """Offsets and raw metadata of a group."""
        return dict(self._group(group).committed)

    def commit_foreign(self, group: str, partition: TopicPartition, offset: int, metadata: str) -> None:
        """Commit outside the protocol, as a tool or another client library does."""
        self._group(group).committed[partition] = (offset, metadata)

    # -- transactions

    def begin_producer(self, transactional_id: str) -> int:
        """As `init_transactions`: fence whoever had the id, end what it left open. Returns the producer's epoch."""
        self.end_open(transactional_id)
        self._producers[transactional_id] = epoch = self._producers.get(transactional_id, 0) + 1
        return epoch

    def producer_epoch(self, transactional_id: str) -> int:
        """The epoch of whoever has the id now."""
        return self._producers.get(transactional_id, 0)

    def accepts(self, membership: Membership, offsets: Iterable[TopicPartition]) -> bool:
        """Whether these offsets may be committed so: by the member's present epoch, or by an older one for what it still owns.

        The broker does not ask who owns a partition where the epoch is the present one; nor does this.
        """
        member = self._group(membership.group).members.get(membership.member)
        if member is None or membership.epoch > member.epoch:
            return False
        return membership.epoch == member.epoch or set(offsets) <= member.owned

    def commit(self, outputs: Sequence[Outgoing], group: str, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """Append all and store the offsets, at once."""
        self.topic_ids([output.topic for output in outputs])
        touched = {self._partition_of(self._append(output, None)) for output in outputs}
        for partition in sorted(touched):
            self.append_gap(partition)
        self._group(group).committed.update({partition: (offset, metadata) for partition, (offset, metadata) in offsets.items()})
        self._wake()

    def leave_open(
        self,
        transactional_id: str,
        outputs: Sequence[Outgoing],
        group: str,
        offsets: Mapping[TopicPartition, tuple[int, str]],
    ) -> None:
        """As a producer that dies inside its transaction: nothing of it is seen until somebody ends it."""
        logs = []
        for output in outputs:
            number = self._number(output, None)
            log = self._log(TopicPartition(output.topic, number))
            log.opened_at.setdefault(transactional_id, len(log.entries))
            log.entries.append(None)
            logs.append(log)
        self._open[transactional_id] = _Open(group, dict(offsets), logs)

    def end_open(self, transactional_id: str) -> None:
        """Abort what was left open under this id, if anything was."""
        transaction = self._open.pop(transactional_id, None)
        if transaction is None:
            return
        for log in transaction.logs:
            if log.opened_at.pop(transactional_id, None) is not None:
                log.entries.append(None)
        self._wake()

    # -- those who wait

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Wake it at every change. Returns what ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.wake()

    # -- inside

    def _append(self, outgoing: Outgoing, partition: int | None) -> Record:
        number = self._number(outgoing, partition)
        log = self._topics[outgoing.topic].logs[number]
        record = Record(
            outgoing.topic,
            number,
            len(log.entries),
            outgoing.key,
            outgoing.value,
            list(outgoing.headers) or None,
            int(self._clock.now().timestamp() * 1000),
        )
        log.entries.append(record)
        return record

    def _number(self, outgoing: Outgoing, partition: int | None) -> int:
        if partition is not None:
            return partition
        many = len(self._topics[outgoing.topic].logs)
        return (next(self._turns) if outgoing.key is None else crc32(outgoing.key)) % many

    @staticmethod
    def _partition_of(record: Record) -> TopicPartition:
        return TopicPartition(record.topic, record.partition)

    def _log(self, partition: TopicPartition) -> _Log:
        return self._topics[partition.topic].logs[partition.partition]

    def _group(self, name: str) -> _Group:
        return self._groups.setdefault(name, _Group())


def metadata_fits(text: str) -> bool:
    """Whether a broker takes it: by default 4,096 characters, of which confluent-kafka adds one."""
    return len(text) <= MAX_METADATA_CHARS and text.isascii() and "\x00" not in text
