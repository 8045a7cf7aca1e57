"""The transactional producer of one subscriber: outputs, activity and offsets together. All its calls are made on one thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition as KafkaPartition

from integration_fabric.backends.kafka.commands import CallThread, Command
from integration_fabric.backends.kafka.inquiry import KafkaInquiry
from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.ports import Aborted, Commit, Refused, ResultUnknown, Snapshot, Transactions
from integration_fabric.runtime.records import TopicPartition

T = TypeVar("T")

INIT_TIMEOUT_S = 15.0
CALL_TIMEOUT_S = 10.0
"""For each step of a transaction; well below the broker's transaction timeout."""
TRANSACTION_TIMEOUT = timedelta(seconds=30)
"""After it the broker ends a transaction whose producer is gone."""
GRACE_S = 3.0
"""On top of `CALL_TIMEOUT_S`, for a call that keeps to no bound of its own."""
CLOSE_BOUND = timedelta(seconds=5)
MAX_RECORD_BYTES = 2 * 1024 * 1024
"""The topic's own bound decides: the client's default is less than what brokers take, and a dead letter is as large as its record."""

_NOT_OURS = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        getattr(KafkaError, "STALE_MEMBER_EPOCH", 113),
        getattr(KafkaError, "FENCED_MEMBER_EPOCH", 110),
    }
)


class _Hung(Exception):
    """A call does not come back."""


class KafkaTransactions(Transactions):
    """Implements `runtime.ports.Transactions` on confluent-kafka."""

    def __init__(self, *, transactional_id: str, config: Mapping[str, Any]) -> None:
        """Make it; nothing is connected before `start`.

        Args:
            transactional_id: Of this incarnation of the subscriber; successors find it in the lease and end what it left open.
            config: What all clients share (bootstrap, security, logger).
        """
        self._id, self._config = transactional_id, dict(config)
        self._producer: Producer | None = None
        self._thread = CallThread(f"transactions {transactional_id}")

    @property
    def transactional_id(self) -> str:
        """Names this producer to its successors."""
        return self._id

    async def start(self) -> None:
        """Make the producer known to the broker."""
        await self._run(self._start)

    async def commit(self, commit: Commit) -> None:
        """All of it or nothing."""
        await self._run(lambda: self._commit(commit))

    async def fence(self, transactional_id: str) -> None:
        """End whatever a predecessor has open: a producer that begins with its id makes the broker abort it."""
        await asyncio.to_thread(self._fence, transactional_id)

    async def sweep(self, transactional_id: str, partitions: Collection[TopicPartition], snapshot: Snapshot) -> None:
        """Begin a transaction of that id wherever one of it may hang, and abort it: its markers end what hangs, too."""
        await asyncio.to_thread(self._sweep, transactional_id, partitions, snapshot)

    async def close(self) -> None:
        """Let go of the producer; on a broker that is gone this hangs, so it is left to a daemon thread."""
        producer, self._producer = self._producer, None
        self._thread.end()
        if producer is None:
            return
        done = threading.Event()

        def close() -> None:
            _close(producer)
            done.set()

        threading.Thread(target=close, name=f"close {self._id}", daemon=True).start()
        await asyncio.to_thread(done.wait, CLOSE_BOUND.total_seconds())

    async def _run(self, call: Callable[[], T]) -> T:
        result: T = await asyncio.wrap_future(self._thread.run(call))
        return result

    def _make(self, transactional_id: str) -> Producer:
        producer = Producer(
            {
                **self._config,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(TRANSACTION_TIMEOUT.total_seconds() * 1000),
                "linger.ms": 5,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 500_000,
                "message.max.bytes": MAX_RECORD_BYTES,
            }
        )
        try:
            producer.init_transactions(INIT_TIMEOUT_S)
        except KafkaException as error:
            raise Unavailable(f"transactions of {transactional_id} cannot begin: {error}") from error
        return producer

    def _start(self) -> None:
        self._producer = self._make(self._id)

    def _fence(self, transactional_id: str) -> None:
        self._make(transactional_id).close()

    def _sweep(self, transactional_id: str, partitions: Collection[TopicPartition], snapshot: Snapshot) -> None:
        held_up = KafkaInquiry(self._config).held_up()
        producer = self._make(transactional_id)
        try:
            producer.begin_transaction()
            for topic, partition in held_up:
                producer.produce(topic, b"", b"", partition=partition)  # of a transaction that is aborted: nobody reads it
            offsets = [KafkaPartition(topic, partition, 0) for topic, partition in partitions]
            self._send_offsets(producer, offsets, snapshot)
            producer.flush(CALL_TIMEOUT_S)
            producer.abort_transaction(CALL_TIMEOUT_S)
        except _Hung as error:
            raise Unavailable(f"what {transactional_id} has left open cannot be ended: {error}") from error
        except KafkaException as error:
            self._discard(producer)
            raise Unavailable(f"what {transactional_id} has left open cannot be ended: {error}") from error
        self._discard(producer)

    def _commit(self, commit: Commit) -> None:
        if commit.strangers:  # a broker would take them from a member that is alive, and from one that never joined
            raise Refused(f"offsets of {sorted(commit.strangers)} under a snapshot that does not own them")
        if self._producer is None:
            try:
                self._start()
            except Unavailable as error:  # nothing was begun
                raise Aborted(str(error)) from error
        producer = self._producer
        assert producer is not None
        try:
            producer.begin_transaction()
            self._produce(producer, commit)
            offsets = [KafkaPartition(p.topic, p.partition, offset, metadata) for p, (offset, metadata) in commit.offsets.items()]
            if offsets:
                self._send_offsets(producer, offsets, commit.snapshot)
        except _Hung as error:
            self._producer = None  # a new one with the same id ends what this one left; to close this one would hang, too
            raise Aborted(str(error)) from error
        except KafkaException as error:
            self._abort(producer, error)
        self._end(producer)

    def _send_offsets(self, producer: Producer, offsets: list[KafkaPartition], snapshot: Snapshot) -> None:
        """On a thread of its own: where the group's coordinator is away the client may never come back from it, whatever its timeout.

        librdkafka#5456 and #5511: three subscribers of a worker stood still for ever after a broker's restart.

        Raises:
            KafkaException: as the client says.
            _Hung: it does not come back. Nobody may use the producer any more.
        """
        sending = Command(lambda: producer.send_offsets_to_transaction(offsets, snapshot.group_metadata, CALL_TIMEOUT_S))
        threading.Thread(target=sending.carry_out, name=f"offsets {self._id}", daemon=True).start()
        try:
            sending.answer.result(CALL_TIMEOUT_S + GRACE_S)
        except FutureTimeoutError:
            raise _Hung(f"offsets were not taken within {CALL_TIMEOUT_S + GRACE_S:g} s, and the client does not say why") from None

    @staticmethod
    def _produce(producer: Producer, commit: Commit) -> None:
        for output in commit.outputs:
            while True:
                try:
                    producer.produce(output.topic, output.value, output.key, headers=list(output.headers))
                    break
                except BufferError:
                    producer.poll(0.05)

    def _abort(self, producer: Producer, error: KafkaException) -> None:
        """Before the end was asked for, nothing can have been committed. Raises Refused or Aborted."""
        reason: KafkaError = error.args[0]
        if reason.fatal() or not self._aborted(producer):
            self._producer = None  # a new one with the same id ends what this one left
            self._discard(producer)
        if reason.code() in _NOT_OURS:
            raise Refused(str(reason)) from error
        raise Aborted(str(reason)) from error

    @staticmethod
    def _aborted(producer: Producer) -> bool:
        try:
            producer.abort_transaction(CALL_TIMEOUT_S)
        except KafkaException:
            return False
        return True

    def _end(self, producer: Producer) -> None:
        """Ask for the end, again while the answer is late; an end that was asked for may have come."""
        tries = 3
        for attempt in range(1, tries + 1):
            try:
                producer.commit_transaction(CALL_TIMEOUT_S)
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.txn_requires_abort():
                    self._abort(producer, error)
                if not reason.retriable() or attempt == tries:
                    self._replace(producer)
                    raise ResultUnknown(str(reason)) from error
            else:
                return

    def _replace(self, producer: Producer) -> None:
        """Begin anew at once: what the old one left open blocks the committed offset, and with it the takeover that follows."""
        self._producer = None
        self._discard(producer)
        with suppress(Unavailable):
            self._start()

    @staticmethod
    def _discard(producer: Producer) -> None:
        threading.Thread(target=_close, args=(producer,), name="discarded producer", daemon=True).start()


def _close(producer: Producer) -> None:
    with suppress(KafkaException):  # one that was fenced says so once more
        producer.close()
