"""The consumer of one subscriber, owned by one thread that makes every call on it.

A second thread that calls a consumer of confluent-kafka 2.16 can starve for ever, so others send commands. The thread tells the event
loop what happens in the order of its turns; a turn is: commands, then what the broker has.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, TimeoutError as FutureTimeoutError
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    Consumer as KafkaConsumer,
    KafkaError,
    KafkaException,
    Message as KafkaMessage,
    TopicPartition as KafkaPartition,
)

from integration_fabric.backends.kafka.commands import Command
from integration_fabric.backends.kafka.groups import GroupProtocol
from integration_fabric.backends.kafka.inquiry import KafkaInquiry
from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.offsets import CommitMetadata
from integration_fabric.runtime.ports import CommittedOffset, Consumer, Listener, Pending, Snapshot
from integration_fabric.runtime.records import Record, TopicPartition

T = TypeVar("T")

BATCH = 1000
"""Records taken in one turn: enough to make the hand-over to the event loop cheap."""
FETCH_BYTES = 65_536
"""Taken of one partition at a time. Records come in runs of this size, and what is queued for lanes must be of many partitions and so of
many keys: with the client's default of 1 MiB, 1,000 handlers that wait 50 ms each did 2,500 a second, with this 11,000."""
TURN_S = 0.05
"""How long a turn waits for a record, and so how long a command waits when nothing comes."""
EAGER_TURN_S = 0.002
"""As `TURN_S`, while partitions are being taken over and commands follow each other."""
EAGER_FOR_S = 2.0
"""How long after an assignment turns are eager."""
COMMITTED_TIMEOUT_S = 0.5
"""A predecessor's open transaction blocks the answer; then the takeover ends it rather than wait for its timeout."""
BUFFERED_HOLD_S = 1.0
"""How long a hold leaves partitions as they are before it pauses them."""
FETCHED_KBYTES = 4_096
"""Fetched ahead at the most, by the client; where a hold takes long, kept here (`OwnerThread._stow`). The client counts keys and values
alone: with headers and what it keeps of each record, small ones take six times as much memory, so that 16 MiB were 100 MB. At 30,000
records a second of 170 bytes this is most of a second ahead."""
REVOKE_BOUND = timedelta(seconds=4)
"""How long a rebalance waits for the event loop, which itself takes 3 s at the most."""
CLOSE_BOUND = timedelta(seconds=8)
"""Closing can hang on a sick cluster; the thread is a daemon and is left behind then."""


class OwnerThread(Consumer):
    """Implements `runtime.ports.Consumer` on confluent-kafka."""

    def __init__(
        self,
        *,
        group: str,
        config: Mapping[str, Any],
        protocol: GroupProtocol = GroupProtocol.CONSUMER,
        inquiry: KafkaInquiry | None = None,
        max_poll_interval: timedelta = timedelta(minutes=5),
    ) -> None:
        """Make it; nothing is connected before `start`.

        Args:
            group: The consumer group.
            config: What all clients share (bootstrap, security, logger).
            protocol: How the group shares its partitions out.
            inquiry: Knows the ids of topics; best shared by all subscribers of a worker.
            max_poll_interval: The broker's bound for a thread that hangs.
        """
        self._group, self._inquiry, self._protocol = group, inquiry or KafkaInquiry(config), protocol
        self._config = {
            **protocol.configure(config),
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "max.poll.interval.ms": int(max_poll_interval.total_seconds() * 1000),
            "queued.max.messages.kbytes": FETCHED_KBYTES,
            "max.partition.fetch.bytes": FETCH_BYTES,
            "fetch.wait.max.ms": 100,
        }
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._held = False
        self._held_since = 0.0
        self._paused = False
        self._buffer: list[Record] = []
        self._epochs: dict[TopicPartition, int] = {}
        self._waiting: set[TopicPartition] = set()
        self._held_back: frozenset[TopicPartition] = frozenset()
        self._next_epoch = 1
        self._begun: dict[TopicPartition, int] = {}
        self._eager_until = 0.0
        self._topic_ids: dict[str, str] = {}
        self._snapshot = Snapshot(None, {})
        self._thread: threading.Thread | None = None

    # -- called on the event loop

    async def start(self, topics: Sequence[str], listener: Listener) -> None:
        """Subscribe, in a thread of its own."""
        loop = asyncio.get_running_loop()
        self._topic_ids = await asyncio.to_thread(self._inquiry.topic_ids, topics)
        self._listener, self._loop = listener, loop
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, args=(list(topics), ready), name=f"consumer {self._group}", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(ready)

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        """What is committed, or the reset position."""
        return await self._ask(lambda: self._committed(partitions))

    async def go(self, positions: Mapping[TopicPartition, int | None], *, epochs: Mapping[TopicPartition, int] | None = None) -> None:
        """Hand out records of these partitions, where they are owned in these epochs."""
        await self._ask(lambda: self._go(positions, epochs if epochs is not None else self._epochs))

    async def retake(self, partitions: Sequence[TopicPartition]) -> Snapshot:
        """Give them a new local epoch."""
        return await self._ask(lambda: self._retake(partitions))

    def hold_back(self, partitions: Collection[TopicPartition]) -> None:
        """Hand out nothing of these for now."""
        wanted = frozenset(partitions)
        self._commands.put(Command(lambda: self._hold_back(wanted)))

    async def positions(self) -> Mapping[TopicPartition, int]:
        """The offset that each of its partitions hands out next."""
        return await self._ask(self._positions)

    async def heard(self) -> Mapping[TopicPartition, int]:
        """The ends of its partitions, as fetches have told."""
        return await self._ask(self._heard)

    async def refetch(self, partitions: Collection[TopicPartition]) -> None:
        """Pause and resume them, which begins with fetching anew."""
        await self._ask(lambda: self._refetch(partitions))

    def hold(self) -> None:
        """Hand out nothing for now."""
        if not self._held:
            self._held_since = time.monotonic()
            self._held = True

    def release(self) -> None:
        """The end of `hold`."""
        if self._held:
            self._held = False
            self._commands.put(Command(lambda: None))  # wakes the thread

    def snapshot(self) -> Snapshot:
        """The latest turn's."""
        return self._snapshot

    def topic_id(self, topic: str) -> str:
        """Kafka's id of a topic that is read."""
        return self._topic_ids[topic]

    async def close(self) -> None:
        """Leave the group, bounded in time."""
        self._closing.set()
        if self._thread is not None:
            await asyncio.to_thread(self._ended.wait, CLOSE_BOUND.total_seconds())

    async def _ask(self, call: Callable[[], T]) -> T:
        if self._ended.is_set():
            raise Unavailable(f"consumer of {self._group} has ended")
        command = Command(call)
        self._commands.put(command)
        if self._ended.is_set() and command.answer.cancel():  # it ended in between, and nobody would answer
            raise Unavailable(f"consumer of {self._group} has ended")
        result: T = await asyncio.wrap_future(command.answer)
        return result

    # -- called on the thread

    def _main(self, topics: list[str], ready: Future[None]) -> None:
        try:
            self._consumer = KafkaConsumer(self._config)
            self._consumer.subscribe(topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        except Exception as error:  # noqa: BLE001  it belongs to whoever started us
            ready.set_exception(error)
            self._ended.set()
            return
        ready.set_result(None)
        try:
            while not self._closing.is_set():
                self._turn()
        except Exception as error:  # noqa: BLE001  nothing else may end this thread
            self._tell(self._listener.failed, error)
        finally:
            self._end()

    def _end(self) -> None:
        try:
            self._consumer.close()
        except Exception as error:  # noqa: BLE001  it is over either way
            self._tell(self._listener.failed, error)
        self._ended.set()
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return
            command.refuse(Unavailable(f"consumer of {self._group} has ended"))

    def _turn(self) -> None:
        self._obey()
        now = time.monotonic()
        if self._held:
            self._turn_held(now)
            return
        records = self._stowed()
        if len(records) == BATCH:  # there may be more, and what comes now comes after it
            self._poll_into_buffer()
        else:
            self._resume()
            messages = self._consumer.consume(BATCH, 0)  # under load, one call that waits for the event loop's thread; each may take 5 ms
            if not messages and not records:
                first = self._consumer.poll(EAGER_TURN_S if now < self._eager_until else TURN_S)
                messages = [first, *self._consumer.consume(BATCH, 0)] if first is not None else []
            self._read(messages, records)
        self._look()
        if records:
            self._tell(self._listener.taken, records, self._snapshot)
        if self._buffer:  # it comes faster than from a broker: let the event loop say when it has enough
            heard = threading.Event()
            self._tell(heard.set)
            heard.wait(TURN_S)

    def _turn_held(self, now: float) -> None:
        """Stay a member: at first what still comes is kept here, a record a turn; then the partitions are paused."""
        if not self._paused and now - self._held_since > BUFFERED_HOLD_S:
            self._stow()
        with suppress(queue.Empty):
            self._obey(self._commands.get(timeout=TURN_S))
        self._poll_into_buffer()
        self._look()

    def _poll_into_buffer(self) -> None:
        message = self._consumer.poll(0)
        if message is not None:
            self._read((message,), self._buffer)

    def _stow(self) -> None:
        """Pause the partitions, and keep here what was fetched of them.

        Pausing throws away what the client holds: a subscriber that is held again and again, as its system is slow, would fetch
        `FETCHED_KBYTES` anew each time. Partitions stay paused until what is kept here is handed out.
        """
        size_bytes = 0
        while size_bytes < FETCHED_KBYTES * 1024 and (messages := self._consumer.consume(BATCH, 0)):
            self._read(messages, self._buffer)
            size_bytes += sum(map(len, messages))
        self._consumer.pause(self._kafka(self._active()))
        self._paused = True

    def _stowed(self) -> list[Record]:
        """What is handed out of it in this turn: no more than a batch, and nothing of what is held back."""
        if not self._held_back:
            batch, self._buffer = self._buffer[:BATCH], self._buffer[BATCH:]
            return batch
        handed: list[Record] = []
        kept: list[Record] = []
        for record in self._buffer:
            is_free = len(handed) < BATCH and TopicPartition(record.topic, record.partition) not in self._held_back
            (handed if is_free else kept).append(record)
        self._buffer = kept
        return handed

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume(self._kafka(self._active()))
            self._paused = False

    def _obey(self, command: Command | None = None) -> None:
        while True:
            if command is None:
                try:
                    command = self._commands.get_nowait()
                except queue.Empty:
                    return
            command.carry_out()
            command = None

    def _read(self, messages: Sequence[KafkaMessage], records: list[Record]) -> None:
        for message in messages:
            error = message.error()
            if error is not None:
                self._judge(error)
                continue
            # typed loosely by the library: a record that was taken has all of these
            record: Any = message
            timestamp_ms = record.timestamp()[1]
            records.append(
                Record(record.topic(), record.partition(), record.offset(), record.key(), record.value(), record.headers(), timestamp_ms)
            )

    def _judge(self, error: KafkaError) -> None:
        """Fatal errors end the consumer; the rest librdkafka mends by itself."""
        if error.fatal() or error.code() in {KafkaError._FATAL, KafkaError._AUTO_OFFSET_RESET}:  # noqa: SLF001  the library's public names
            raise KafkaException(error)

    def _look(self) -> None:
        """Take the snapshot of this turn. The generation can rise without a callback."""
        self._snapshot = Snapshot(self._consumer.consumer_group_metadata(), dict(self._epochs))

    def _active(self) -> list[TopicPartition]:
        return [partition for partition in self._epochs if partition not in self._waiting and partition not in self._held_back]

    @staticmethod
    def _kafka(partitions: Sequence[TopicPartition]) -> list[KafkaPartition]:
        return [KafkaPartition(topic, partition) for topic, partition in partitions]

    # -- commands

    def _committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, CommittedOffset]:
        try:
            found = self._consumer.committed(self._kafka(partitions), timeout=COMMITTED_TIMEOUT_S)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError._TIMED_OUT:  # noqa: SLF001  the library's public name
                raise Pending(str(error)) from error
            raise Unavailable(f"committed offsets of {self._group}: {error}") from error
        answers = {TopicPartition(item.topic, item.partition): self._position(item) for item in found}
        self._begun.update({partition: answer.offset for partition, answer in answers.items()})
        return answers

    def _position(self, item: KafkaPartition) -> CommittedOffset:
        if item.error is not None:
            raise Unavailable(f"committed offset of {item.topic}/{item.partition}: {item.error}")
        if item.offset in {OFFSET_INVALID, OFFSET_BEGINNING}:
            try:
                low, _ = self._consumer.get_watermark_offsets(item, timeout=2.0)
            except KafkaException as error:
                raise Unavailable(f"start of {item.topic}/{item.partition}: {error}") from error
            return CommittedOffset(low, None)
        metadata = CommitMetadata.decode(item.metadata)
        if metadata is not None and metadata.base != item.offset:
            metadata = None
        return CommittedOffset(item.offset, metadata, foreign=bool(item.metadata) and metadata is None)

    def _positions(self) -> dict[TopicPartition, int]:
        """Where the consumer stands; a partition that it has not begun to read stands where it was taken over."""
        found = self._consumer.position(self._kafka(list(self._epochs)))
        positions = {
            partition: at.offset if at.offset >= 0 else self._begun.get(partition, 0)
            for at in found
            if (partition := TopicPartition(at.topic, at.partition)) in self._epochs
        }
        for record in reversed(self._buffer):
            positions[TopicPartition(record.topic, record.partition)] = record.offset
        return positions

    def _heard(self) -> dict[TopicPartition, int]:
        return {TopicPartition(item.topic, item.partition): self._heard_of(item) for item in self._kafka(list(self._epochs))}

    def _heard_of(self, item: KafkaPartition) -> int:
        try:
            _, end = self._consumer.get_watermark_offsets(item, cached=True)
        except KafkaException:
            return OFFSET_INVALID
        return end

    def _refetch(self, partitions: Collection[TopicPartition]) -> None:
        if self._paused:
            return
        active = self._kafka([partition for partition in self._active() if partition in partitions])
        self._consumer.pause(active)
        self._consumer.resume(active)

    def _go(self, positions: Mapping[TopicPartition, int | None], epochs: Mapping[TopicPartition, int]) -> None:
        mine = {partition for partition, epoch in self._epochs.items() if epochs.get(partition) == epoch}
        ours = {partition: offset for partition, offset in positions.items() if partition in mine}
        for partition, offset in ours.items():
            if offset is not None:
                self._consumer.seek(KafkaPartition(partition.topic, partition.partition, offset))
        self._waiting.difference_update(ours)
        if not self._paused:
            self._consumer.resume(self._kafka([partition for partition in ours if partition not in self._held_back]))

    def _hold_back(self, wanted: frozenset[TopicPartition]) -> None:
        mine = self._epochs.keys() - self._waiting
        self._consumer.pause(self._kafka(sorted((wanted - self._held_back) & mine)))
        freed, self._held_back = (self._held_back - wanted) & mine, wanted
        if not self._paused:
            self._consumer.resume(self._kafka(sorted(freed)))

    def _retake(self, partitions: Sequence[TopicPartition]) -> Snapshot:
        ours = [partition for partition in partitions if partition in self._epochs]
        self._consumer.pause(self._kafka(ours))
        self._waiting.update(ours)
        self._begin(ours)
        self._look()
        return self._snapshot

    def _begin(self, partitions: Sequence[TopicPartition]) -> None:
        gone = set(partitions)
        self._buffer = [record for record in self._buffer if TopicPartition(record.topic, record.partition) not in gone]
        for partition in partitions:
            self._epochs[partition] = self._next_epoch
            self._next_epoch += 1
        self._eager_until = time.monotonic() + EAGER_FOR_S

    # -- rebalance callbacks, inside poll, consume and close; they must not raise

    def _on_assign(self, consumer: KafkaConsumer, found: list[KafkaPartition]) -> None:
        partitions = [TopicPartition(item.topic, item.partition) for item in found]
        if self._protocol.is_incremental:
            consumer.incremental_assign(found)
        else:
            consumer.assign(found)
        if not partitions:
            return
        consumer.pause(found)
        self._waiting.update(partitions)
        self._begin(partitions)
        self._look()
        self._tell(self._listener.assigned, partitions, self._snapshot)

    def _on_revoke(self, consumer: KafkaConsumer, found: list[KafkaPartition]) -> None:
        partitions = [TopicPartition(item.topic, item.partition) for item in found]
        if partitions:
            # the generation may have risen within this very turn; until this callback returns the partitions are nobody else's
            self._look()
            answer = asyncio.run_coroutine_threadsafe(self._revoked(partitions), self._loop)
            try:
                answer.result(REVOKE_BOUND.total_seconds())
            except (FutureTimeoutError, Exception):  # noqa: BLE001  a rebalance goes on whatever the loop does
                answer.cancel()
                self._tell(self._listener.lost, partitions)  # it may have been called off before it began
        self._drop(partitions)
        self._leave(consumer, found)

    async def _revoked(self, partitions: list[TopicPartition]) -> None:
        await self._listener.revoked(partitions)

    def _on_lost(self, consumer: KafkaConsumer, found: list[KafkaPartition]) -> None:
        partitions = [TopicPartition(item.topic, item.partition) for item in found]
        self._drop(partitions)
        self._tell(self._listener.lost, partitions)
        self._leave(consumer, found)

    def _drop(self, partitions: list[TopicPartition]) -> None:
        gone = set(partitions)
        for partition in gone:
            self._epochs.pop(partition, None)
        self._waiting -= gone
        self._buffer = [record for record in self._buffer if TopicPartition(record.topic, record.partition) not in gone]
        self._snapshot = Snapshot(self._snapshot.group_metadata, dict(self._epochs))

    def _leave(self, consumer: KafkaConsumer, found: list[KafkaPartition]) -> None:
        try:
            if self._protocol.is_incremental:
                consumer.incremental_unassign(found)
            else:
                consumer.unassign()
        except KafkaException as error:
            self._tell(self._listener.failed, error)

    def _tell(self, what: Callable[..., Any], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *arguments)
