"""The transactional producer of one subscriber on the memory broker, with the ways in which a transaction can end badly."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from enum import StrEnum

from integration_fabric.backends.memory.broker import Membership, MemoryBroker
from integration_fabric.runtime.offsets import MAX_METADATA_CHARS
from integration_fabric.runtime.ports import Aborted, Clock, Commit, Refused, ResultUnknown, Snapshot, Transactions
from integration_fabric.runtime.records import TopicPartition


class Fault(StrEnum):
    """How a transaction ends that does not simply commit."""

    ABORTED = "aborted"
    UNKNOWN_COMMITTED = "unknown, and it was committed"
    UNKNOWN_NOT_COMMITTED = "unknown, and it was not committed"


class MemoryTransactions(Transactions):
    """Implements `runtime.ports.Transactions`. `fail_next` says how the next ones end; `commits` is what was committed.

    It also guards the port: offsets of a partition that is not in the commit's snapshot raise AssertionError, since a broker would
    take them from a live member, whoever owns the partition (protocol.md, E).
    """

    def __init__(self, *, broker: MemoryBroker, transactional_id: str, clock: Clock | None = None, latency_s: float = 0.0) -> None:
        """Make it.

        Args:
            broker: Where it commits.
            transactional_id: Of this incarnation of the subscriber.
            clock: For `latency_s`.
            latency_s: How long each commit takes.
        """
        self._broker, self._id, self._clock = broker, transactional_id, clock
        self.latency_s = latency_s
        self._epoch = 0
        self._faults: deque[Fault] = deque()
        self._thread = asyncio.Lock()
        self.commits: list[Commit] = []

    @property
    def transactional_id(self) -> str:
        """Names this producer to its successors."""
        return self._id

    def fail_next(self, *faults: Fault) -> None:
        """The next commits end so, one after the other."""
        self._faults.extend(faults)

    async def start(self) -> None:
        """Make the producer known to the broker."""
        self._epoch = self._broker.begin_producer(self._id)

    async def commit(self, commit: Commit) -> None:
        """All of it or nothing. Giving up waiting does not call it off, as on Kafka, where a thread of its own makes it."""
        running = asyncio.create_task(self._alone(commit))
        await asyncio.shield(running)

    async def _alone(self, commit: Commit) -> None:
        async with self._thread:
            await self._wait()
            self._commit(commit)

    async def sweep(self, transactional_id: str, partitions: Collection[TopicPartition], snapshot: Snapshot) -> None:
        """Nothing hangs here."""

    async def fence(self, transactional_id: str) -> None:
        """End whatever a predecessor has open."""
        self._broker.begin_producer(transactional_id)

    async def close(self) -> None:
        """Nothing is to be let go of."""

    async def _wait(self) -> None:
        if self._clock is not None and self.latency_s > 0:
            await self._clock.sleep(self.latency_s)
        else:
            await asyncio.sleep(0)

    def _commit(self, commit: Commit) -> None:
        _check(commit)
        membership = commit.snapshot.group_metadata
        if self._epoch != self._broker.producer_epoch(self._id):
            self._epoch = self._broker.begin_producer(self._id)
            raise Aborted(f"{self._id} was fenced; a new producer has begun")
        if not commit.offsets:
            membership = Membership("", "", 0)  # nothing is claimed, so nobody is asked
        elif not isinstance(membership, Membership) or not self._broker.accepts(membership, commit.offsets):
            raise Refused(f"{membership} does not own {sorted(commit.offsets)}")
        fault = self._faults.popleft() if self._faults else None
        if fault is Fault.ABORTED:
            self._leave_gaps(commit)
            raise Aborted("told to fail")
        if fault is not Fault.UNKNOWN_NOT_COMMITTED:
            self._broker.commit(commit.outputs, membership.group, commit.offsets)
            self.commits.append(commit)
        if fault is not None:
            self._epoch = self._broker.begin_producer(self._id)
            raise ResultUnknown(f"told to: {fault}")

    def _leave_gaps(self, commit: Commit) -> None:
        """Records of an aborted transaction take offsets up, and so does its end."""
        for topic in sorted({output.topic for output in commit.outputs}):
            for partition in self._broker.partitions(topic):
                self._broker.append_gap(partition)


def _check(commit: Commit) -> None:
    assert not commit.strangers, f"offsets of {sorted(commit.strangers)} under a snapshot that does not own them"
    for partition, (_, metadata) in commit.offsets.items():
        assert len(metadata) <= MAX_METADATA_CHARS and metadata.isascii(), f"metadata of {partition}: {len(metadata)} characters"  # noqa: PT018
