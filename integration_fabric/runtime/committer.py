"""Commits what is done: outputs, dead letters, activity and offsets in one Kafka transaction (protocol.md, E)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from integration_fabric.runtime.activity import Entry, Settled, activity_records
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.offsets import CommitMetadata, Released
from integration_fabric.runtime.ownership import Owned
from integration_fabric.runtime.ports import Aborted, Commit, Refused, ResultUnknown
from integration_fabric.runtime.records import Outgoing, TopicPartition
from integration_fabric.runtime.redelivery import Redelivered
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG

COMMIT_INTERVAL_S = 0.1
"""Between commits under load: at 30,000 messages a second a transaction then holds 3,000, and its 8 ms are a twelfth of the time."""
RETRY_DELAY_S = 0.05
"""After a transaction that is known to have had no effect; the consumer's next turn brings a fresher snapshot within it."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one commit says of one partition."""

    owned: Owned
    released: Released[Settled]
    redelivered: Sequence[Redelivered]
    serial: int
    """What Kafka is told of how far SQL has come: not above what is missing here."""


@dataclass(slots=True)
class Batch:
    """Results that are committed together, by partition, each in offset order."""

    parts: dict[TopicPartition, Part] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.parts)


class Committer:
    """Commits for one subscriber in one worker. One batch is under way at a time."""

    def __init__(self, *, subscriber: str, worker: str, backing: Backing, transaction: asyncio.Lock) -> None:
        """Join what it needs; `transaction` is held while the producer has a transaction open."""
        self._subscriber, self._worker, self._transaction = subscriber, worker, transaction
        self._consumer, self._transactions = backing.consumer, backing.transactions
        self._codec, self._clock, self._leases = backing.codec, backing.clock, backing.leases

    async def commit(self, take: Callable[[], Batch], still_ours: Callable[[Owned], bool]) -> Batch:
        """Commit what `take` hands out, again and again until it is committed or no longer ours.

        Args:
            take: Called once the producer is free, so that a batch is as large as it can be.
            still_ours: Whether a partition is still owned in the epoch in which its results were made.

        Returns:
            What was committed.

        Raises:
            ResultUnknown: whether it was committed is not known: take the partitions over again. `error.batch` names them.
        """
        async with self._transaction:
            batch = take()
            while batch:
                snapshot = self._consumer.snapshot()
                for partition, part in list(batch.parts.items()):
                    if not still_ours(part.owned) or snapshot.epochs.get(partition) != part.owned.local_epoch:
                        del batch.parts[partition]
                if not batch:
                    break
                results = [result for part in batch.parts.values() for result in part.released.results]
                redelivered = [result for part in batch.parts.values() for result in part.redelivered]
                commit = Commit(self._outputs(results, redelivered), self._offsets(batch.parts), snapshot)
                try:
                    with metrics.COMMITS.labels(self._subscriber).time():
                        await self._transactions.commit(commit)
                except (Refused, Aborted) as error:
                    LOG.commit_failed(self._subscriber, kind=type(error).__name__.lower(), why=str(error))
                    await self._clock.sleep(RETRY_DELAY_S)
                except ResultUnknown as error:
                    LOG.commit_failed(self._subscriber, kind="unknown", why=str(error))
                    raise UnknownBatch(batch) from error
                else:
                    self._count(results)
                    break
            return batch

    def _outputs(self, results: Sequence[Settled], redelivered: Sequence[Redelivered]) -> list[Outgoing]:
        outputs = [output for result in results for output in result.outputs]
        outputs += [output for result in redelivered for output in result.outputs]
        outputs += [result.extra for result in results if result.extra is not None]
        entries: Sequence[Entry] = [*results, *redelivered] if redelivered else results
        outputs += activity_records(entries, subscriber=self._subscriber, worker=self._worker, now=self._clock.now(), codec=self._codec)
        return outputs

    def _offsets(self, parts: Mapping[TopicPartition, Part]) -> dict[TopicPartition, tuple[int, str]]:
        offsets = {}
        for partition, part in parts.items():
            fence, base = part.owned.fence, part.released.base
            assert fence is not None
            metadata = CommitMetadata(base, fence.epoch, part.serial, self._leases.store_id, part.released.completed)
            offsets[partition] = (base, metadata.encode())
        return offsets

    def _count(self, results: Sequence[Settled]) -> None:
        for kind, count in Counter(result.kind for result in results).items():
            metrics.HANDLED.labels(self._subscriber, kind.value).inc(count)
        metrics.HANDLING.labels(self._subscriber).observe_all([result.duration_ms / 1000 for result in results])
        for dead in (result.dead_letter for result in results if result.dead_letter is not None):
            position = str(dead.record.coordinates)
            LOG.dead_lettered(self._subscriber, dead.envelope, position=position, code=dead.code, why=dead.message)


class UnknownBatch(Exception):
    """The result of committing a batch is not known."""

    def __init__(self, batch: Batch) -> None:
        super().__init__("result of the transaction is not known")
        self.batch = batch
