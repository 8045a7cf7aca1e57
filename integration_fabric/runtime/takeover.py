"""Taking partitions over (protocol.md, A): nothing of them is handled before Kafka and SQL agree that they are ours."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from integration_fabric.messages.errors import FabricError
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.offsets import CommitMetadata, Progress
from integration_fabric.runtime.ownership import Owned
from integration_fabric.runtime.ports import Commit, CommittedOffset, Fence, Lease, Pending, Refused, TakenLease
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.telemetry.logs import LOG


class ForeignStore(FabricError):
    """SQL is not the store that holds the effects of this partition, or an older copy of it: going on would guess."""

    code = "foreign-store"


@dataclass(frozen=True, slots=True)
class Standing:
    """What Kafka and SQL say of a partition before it is taken over."""

    topic_id: str
    committed: CommittedOffset
    lease: Lease | None

    def next_epoch(self) -> int:
        """Higher than any that either of them has seen."""
        metadata = self.committed.metadata
        return max(metadata.epoch if metadata else 0, self.lease.epoch if self.lease else 0) + 1

    def check(self, partition: TopicPartition, store_id: str, serial: int) -> None:
        """Raises ForeignStore where it is not the store `store_id`, or has not come as far as this process has seen it, or as Kafka has."""
        metadata = self.committed.metadata
        if metadata is not None and metadata.store_id != store_id:
            raise ForeignStore(
                f"{partition.topic}/{partition.partition}: its offsets were committed with store {metadata.store_id}, this is {store_id}: "
                "point FABRIC_STORE__URL at that store, or reset the group's offsets"
            )
        if self.is_behind(serial):
            raise ForeignStore(
                f"{partition.topic}/{partition.partition}: the store is an older copy than the one that its offsets were committed with: "
                "restore a later one; what was called since then would be called again"
            )

    def is_behind(self, serial: int) -> bool:
        """Whether the lease has not come as far as this process has seen it, or as Kafka has."""
        metadata = self.committed.metadata
        return max(serial, metadata.serial if metadata else 0) > (self.lease.serial if self.lease else 0)


class Takeover:
    """Takes partitions over for one subscriber in one worker."""

    def __init__(self, *, subscriber: str, backing: Backing, transaction: asyncio.Lock, map_chars: int) -> None:
        """Join what it needs; `transaction` is held while the producer has a transaction open, `map_chars` is the room for offset maps."""
        self._subscriber, self._transaction, self._map_chars = subscriber, transaction, map_chars
        self._consumer, self._transactions, self._leases = backing.consumer, backing.transactions, backing.leases
        self._redeliveries = backing.redeliveries

    async def run(self, owned: Sequence[Owned]) -> bool:
        """Take them over, all in one transaction.

        Returns:
            Whether they are ours; each then has its fence, progress and stop.

        Raises:
            ForeignStore: SQL is not the one that Kafka's offsets belong to.
            Unavailable: the broker or the store does not answer; trying again is safe.
        """
        standings = await self._standings(owned)
        for item in owned:
            await self._check(item.partition, standings[item.partition])
        epoch = max(standing.next_epoch() for standing in standings.values())
        if not await self._announce(owned, standings, epoch):
            return False
        taken = [TakenLease(item.partition, standings[item.partition].topic_id, epoch) for item in owned]
        if not all(await self._leases.take(self._subscriber, taken, self._transactions.transactional_id)):
            return False
        await self._settle(owned, taken, standings)
        return True

    async def _check(self, partition: TopicPartition, standing: Standing) -> None:
        """Raises ForeignStore. A lease that was read before its owner's last commit may show less, so it is read once more."""
        serial = self._leases.serial(self._subscriber, standing.topic_id, partition.partition)
        if standing.is_behind(serial):
            lease = await self._leases.read(self._subscriber, standing.topic_id, partition.partition)
            standing = replace(standing, lease=lease)
        standing.check(partition, self._leases.store_id, serial)

    async def _standings(self, owned: Sequence[Owned]) -> dict[TopicPartition, Standing]:
        partitions = [item.partition for item in owned]
        leases = {p: await self._leases.read(self._subscriber, self._consumer.topic_id(p.topic), p.partition) for p in partitions}
        committed = await self._committed(partitions, leases)
        for partition, position in committed.items():
            if position.foreign:
                LOG.foreign_metadata(self._subscriber, partition=f"{partition.topic}/{partition.partition}")
        return {p: Standing(self._consumer.topic_id(p.topic), committed[p], leases[p]) for p in partitions}

    async def _committed(
        self, partitions: Sequence[TopicPartition], leases: Mapping[TopicPartition, Lease | None]
    ) -> Mapping[TopicPartition, CommittedOffset]:
        """What is committed; a predecessor's open transaction, which would block the answer, is ended."""
        try:
            return await self._consumer.committed(partitions)
        except Pending:
            owners = {lease.owner for lease in leases.values() if lease and lease.owner != self._transactions.transactional_id}
            for owner in sorted(owners):
                await self._transactions.fence(owner)
        try:
            return await self._consumer.committed(partitions)
        except Pending:
            for owner in sorted(owners):
                LOG.swept(self._subscriber, transactional_id=owner)
                await self._transactions.sweep(owner, partitions, self._consumer.snapshot())
            return await self._consumer.committed(partitions)

    async def _announce(self, owned: Sequence[Owned], standings: Mapping[TopicPartition, Standing], epoch: int) -> bool:
        """Commit base and serial unchanged with the new epoch; refused means not ours."""
        offsets = {}
        for item in owned:
            committed = standings[item.partition].committed
            found = committed.metadata or CommitMetadata(committed.offset, 0, 0, "")
            metadata = replace(found, epoch=epoch, store_id=self._leases.store_id)
            offsets[item.partition] = (committed.offset, metadata.encode())
        async with self._transaction:
            snapshot = self._consumer.snapshot()
            if any(snapshot.epochs.get(item.partition) != item.local_epoch for item in owned):
                return False
            try:
                await self._transactions.commit(Commit((), offsets, snapshot))
            except Refused as error:
                LOG.commit_failed(self._subscriber, kind="refused", why=f"takeover: {error}")
                return False
        return True

    async def _settle(self, owned: Sequence[Owned], taken: Sequence[TakenLease], standings: Mapping[TopicPartition, Standing]) -> None:
        done = {item.partition: standings[item.partition].committed.done for item in owned}
        stops = {stop.partition: stop for stop in await self._leases.stops(self._subscriber, taken, done)}
        found = list(zip(owned, taken, strict=True))
        for item, _ in found:
            metadata = standings[item.partition].committed.metadata
            item.progress = Progress(done[item.partition].base, done[item.partition].map, room=self._map_chars)
            item.committed = done[item.partition].base
            item.serial = metadata.serial if metadata else 0
            item.stop = stops.get(item.partition)
        fences = {Fence(self._subscriber, lease.topic_id, lease.partition.partition, lease.epoch): item for item, lease in found}
        await self._find_unconfirmed(fences)
        for fence, item in fences.items():
            item.fence = fence

    async def _find_unconfirmed(self, fences: Mapping[Fence, Owned]) -> None:
        """What a predecessor has brought about by redeliveries and Kafka does not have: by their serials it can be told."""
        if self._redeliveries is None:
            return
        above = {fence: item.serial for fence, item in fences.items()}
        for fence, serial, result in await self._redeliveries.unconfirmed(above):
            item = fences[fence]
            item.unconfirmed.found(serial, result)
            item.redelivering.setdefault(result.number, set()).add(result.offset)
