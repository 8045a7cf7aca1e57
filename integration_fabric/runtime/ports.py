"""What the runtime needs from outside.

Kafka and memory backends implement the ways in and out, `delivery` and SQL the memory of effects.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypedDict

from integration_fabric.messages.base import Message
from integration_fabric.messages.envelope import Envelope
from integration_fabric.runtime.offset_map import OffsetMap
from integration_fabric.runtime.offsets import CommitMetadata, Done
from integration_fabric.runtime.records import Outgoing, Record, TopicPartition
from integration_fabric.runtime.redelivery import Redelivered, Redelivery, RedeliveryProgress, RedeliveryState, Stretch
from integration_fabric.runtime.steering import Order


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """Wall-clock time, aware UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Codec(Protocol):
    """Bodies to bytes and back, in the Confluent wire format. Callable from any thread; no I/O once a schema id is known."""

    def prepare(self, kinds: Sequence[type[Message]]) -> None:
        """Look up the schema ids of what will be written. Blocks on the registry; raises Unavailable, ContractBroken."""
        ...

    def encode(self, body: Message) -> bytes:
        """Raises ContractBroken with the field path."""
        ...

    def decode(self, value: bytes, kind: type[Message]) -> Message:
        """Read a value as `kind`. Raises Undecodable; UnknownSchema, an Undecodable too, where `learn` has not met the id yet."""
        ...

    def unknown_schema(self, value: bytes | None) -> int | None:
        """The schema id of the value where `learn` must be called before it can be decoded, else None. Never raises."""
        ...

    def learn(self, schema_id: int) -> None:
        """Fetch a schema.

        Blocks, so call it in a thread. Raises Undecodable where the registry does not know it, Unavailable where it is down.
        """
        ...

    def dataschema(self, kind: type[Message]) -> str:
        """URI reference of the schema that `encode` writes this type with, for `ce_dataschema`."""
        ...

    def encode_transition(self, transition: TransitionFields) -> bytes:
        """Write one entry of the activity log, to be put into `encode_activity`. Raises ContractBroken."""
        ...

    def encode_activity(self, activity: ActivityFields) -> bytes:
        """Write an `Activity` as `encode` would, of entries that are written already. Raises ContractBroken."""
        ...


class TransitionFields(TypedDict):
    """The fields of `messages.fabric.Transition`. One is written for every message, and making the object would cost more than that."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    message_id: str
    message_type: str
    correlation_id: str
    causation_id: str | None
    business_keys: Mapping[str, str]
    system: str | None
    from_state: str
    outcome: str
    detail: str
    code: str | None
    attempts: int
    published_at: datetime
    started_at: datetime
    duration_ms: float
    outputs: tuple[str, ...]
    redelivery: int | None


class ActivityFields(TypedDict):
    """The fields of `messages.fabric.Activity`, its entries written."""

    subscriber: str
    worker: str
    committed_at: datetime
    transitions: Sequence[bytes]
    aggregate_version: int


class Publisher(Protocol):
    """Publishes from outside a subscriber (webhooks, pollers, tools). Idempotent producer; returned means acknowledged by all replicas."""

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish all of them.

        Raises:
            ContractBroken: before anything is sent.
            Unavailable: not all were acknowledged; publishing again is safe, the ids are the same.
        """
        ...

    async def put(self, records: Sequence[Outgoing]) -> None:
        """Publish records as they are. Raises Unavailable as `publish`."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the consumer's owner thread knew in one turn.

    A commit goes out under the snapshot that its ownership check used, never a fresher one (protocol.md, E).
    """

    group_metadata: object
    """Opaque to the runtime: the Kafka backend's own."""
    epochs: Mapping[TopicPartition, int]
    """Local epoch of each owned partition; a new one with each assignment."""


class Listener(Protocol):
    """Whom a consumer tells what happens. Called on the event loop, in the order of the consumer's turns."""

    def assigned(self, partitions: Sequence[TopicPartition], snapshot: Snapshot) -> None:
        """They are ours, paused until `Consumer.go`."""
        ...

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """They are to be handed over: finish what runs, commit, then return. The consumer waits, bounded."""
        ...

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """They belong to somebody else already: forget them, commit nothing."""
        ...

    def taken(self, records: Sequence[Record], snapshot: Snapshot) -> None:
        """Records, in partition order, and the snapshot of the turn that took them."""
        ...

    def failed(self, error: Exception) -> None:
        """The consumer cannot go on (fatal error): it must be made anew."""
        ...


class Consumer(Protocol):
    """One member of one group. Its calls go to the thread that owns it; none blocks the event loop."""

    async def start(self, topics: Sequence[str], listener: Listener) -> None:
        """Subscribe. Raises Unavailable where the broker does not answer, UsageProblem where a topic is not there."""
        ...

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        """What is committed.

        For a partition that never was: the reset position. Raises Pending where a transaction of a predecessor is open.
        """
        ...

    async def go(self, positions: Mapping[TopicPartition, int | None], *, epochs: Mapping[TopicPartition, int] | None = None) -> None:
        """Begin to hand out records.

        Args:
            positions: From this offset on, or from the committed one where it is None.
            epochs: Local epochs in which the partitions were taken over. One that is not ours any more, or ours in another epoch, is
                passed over: nobody would take its records yet, and they would not come again.
        """
        ...

    async def retake(self, partitions: Sequence[TopicPartition]) -> Snapshot:
        """Stop handing out records of these and give them a new local epoch, so that whatever is under way of them is stale."""
        ...

    def hold(self) -> None:
        """Hand out nothing for now while staying a member; any thread, at once."""
        ...

    def release(self) -> None:
        """The end of `hold`."""
        ...

    def hold_back(self, partitions: Collection[TopicPartition]) -> None:
        """Hand out nothing of these for now, and of all others as ever; any thread. What is held back is replaced, not added to."""
        ...

    async def positions(self) -> Mapping[TopicPartition, int]:
        """The offset that each of its partitions hands out next: for tools and tests. Raises Unavailable."""
        ...

    async def heard(self) -> Mapping[TopicPartition, int]:
        """The offset after the last record of each of its partitions, as it was told with what it fetched; negative where it never fetched.

        The broker is not asked. Raises Unavailable.
        """
        ...

    async def refetch(self, partitions: Collection[TopicPartition]) -> None:
        """Fetch these anew from where they stand; nothing is handed out twice. Raises Unavailable."""
        ...

    def snapshot(self) -> Snapshot:
        """The latest; any thread."""
        ...

    def topic_id(self, topic: str) -> str:
        """Kafka's id of the topic, known after `start`: a topic that was deleted and made again has another."""
        ...

    async def close(self) -> None:
        """Leave the group. Bounded in time whatever the broker does. Calls `revoked` for what is owned."""
        ...


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """The committed position of one partition."""

    offset: int
    metadata: CommitMetadata | None
    """None where there is none, or something else wrote it."""
    foreign: bool = False
    """Whether something else wrote metadata."""

    @property
    def done(self) -> Done:
        """What is done: below the offset all, beyond it what the metadata says."""
        return Done(self.offset, (self.metadata.map() if self.metadata else None) or OffsetMap(self.offset))


@dataclass(frozen=True, slots=True)
class Commit:
    """What one Kafka transaction holds."""

    outputs: Sequence[Outgoing]
    offsets: Mapping[TopicPartition, tuple[int, str]]
    """Committed offset and commit metadata (ASCII, at most 4,095 characters) of each partition."""
    snapshot: Snapshot

    @property
    def strangers(self) -> Collection[TopicPartition]:
        """Partitions that the snapshot does not own: no offsets of theirs may be sent under it."""
        return self.offsets.keys() - self.snapshot.epochs.keys()


class Transactions(Protocol):
    """One transactional producer. One call at a time."""

    @property
    def transactional_id(self) -> str:
        """Names this producer to its successors."""
        ...

    async def start(self) -> None:
        """Make the producer known to the broker. Raises Unavailable."""
        ...

    async def commit(self, commit: Commit) -> None:
        """All of it or nothing.

        Raises:
            Refused: the broker, or the snapshot, says that the partitions are not ours; aborted.
            Aborted: known to have had no effect; the same may be committed again.
            ResultUnknown: nobody knows; a new producer was made, and every partition in it must be taken over again.
        """
        ...

    async def fence(self, transactional_id: str) -> None:
        """End whatever transaction a predecessor with this id has open."""
        ...

    async def sweep(self, transactional_id: str, partitions: Collection[TopicPartition], snapshot: Snapshot) -> None:
        """End what a predecessor with this id has left hanging: a transaction that its coordinator takes for ended, and partitions do not.

        Args:
            transactional_id: The predecessor's.
            partitions: Ours, whose committed offsets stay pending.
            snapshot: Under which they are ours.

        Raises:
            Unavailable: it could not be done now.
        """
        ...

    async def close(self) -> None:
        """Bounded in time whatever the broker does."""
        ...


class Refused(Exception):
    """The broker refused offsets: the partitions are not ours."""


class Aborted(Exception):
    """The transaction is known to have had no effect."""


class ResultUnknown(Exception):
    """Whether the transaction was committed is not known."""


class Pending(Exception):
    """A predecessor's transaction is open on the partition."""


class Leases(Protocol):
    """Who may write to SQL for a partition: the epoch that Kafka issued (protocol.md, A)."""

    async def read(self, subscriber: str, topic_id: str, partition: int) -> Lease | None:
        """None where nobody had it yet. Raises Unavailable."""
        ...

    async def take(self, subscriber: str, taken: Sequence[TakenLease], owner: str) -> Sequence[bool]:
        """Raise each lease to its epoch, all in one SQL transaction; False where it has this epoch or a higher one already.

        Raises Unavailable.
        """
        ...

    async def stops(self, subscriber: str, taken: Sequence[TakenLease], done: Mapping[TopicPartition, Done]) -> Sequence[Stop]:
        """Void the stops that Kafka does not confirm (not in `done`) and return the rest. Raises Unavailable, Fenced."""
        ...

    async def stop(self, fence: Fence, stop: Stop) -> None:
        """Remember that the subscriber stops here. Raises Unavailable, Fenced."""
        ...

    def serial(self, subscriber: str, topic_id: str, partition: int) -> int:
        """The highest serial of a partition's transactions that this process knows to be durable; 0 where it knows of none.

        Does not block. What Kafka is told with it, an older copy of the store cannot show.
        """
        ...

    @property
    def store_id(self) -> str:
        """Names this store: commit metadata with another is not ours to go on from."""
        ...


class Orders(Protocol):
    """What people order of subscribers (`runtime.steering`). All raise Unavailable where the store does not answer."""

    async def read(self) -> Sequence[Order]:
        """All that stand."""
        ...

    async def give(self, order: Order) -> None:
        """Write it down; one of the same kind about the same thing is replaced."""
        ...

    async def lift(self, subscriber: str, *, partition: TopicPartition | None = None, key: bytes | None = None) -> int:
        """Take back the pauses and drains of a subscriber, of a partition or of a key of it. Returns how many there were."""
        ...


class Retained(Protocol):
    """Reads again what stands in a topic, beside every group. All raise Unavailable where the broker does not answer."""

    async def read(self, partition: TopicPartition, position: int, end: int, limit: int) -> tuple[Sequence[Record], int]:
        """The committed records of a partition from an offset on.

        Args:
            partition: Which.
            position: The first offset.
            end: The first offset that is no longer wanted.
            limit: Records at the most.

        Returns:
            Records in order, fewer than `limit` also where there are more, and the offset to go on from; `end` where nothing more is there.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds. Bounded in time."""
        ...


class Redeliveries(Protocol):
    """What subscribers are to be given once more, and what becomes of it. All raise Unavailable where the store does not answer."""

    # what people ask for

    async def file(self, redelivery: Redelivery, stretches: Sequence[Stretch]) -> int:
        """Write it down; the number of `redelivery` is not looked at. Returns the number that it has from now on."""
        ...

    async def order(self, number: int, state: RedeliveryState) -> bool:
        """Have it go on, wait or end. Returns False where there is none such, or it is cancelled or over already."""
        ...

    async def look(self, number: int | None = None) -> Sequence[RedeliveryProgress]:
        """How far they are, or this one is, the newest first."""
        ...

    # what owners of partitions do

    async def open(self) -> Sequence[Redelivery]:
        """Those that are to go on now, the oldest first."""
        ...

    async def stretch(self, fence: Fence, number: int) -> tuple[Stretch, frozenset[int]] | None:
        """What one covers of a partition, and the offsets beyond its position that are through; None where it covers nothing of it."""
        ...

    async def unconfirmed(self, above: Mapping[Fence, int]) -> Sequence[tuple[Fence, int, Redelivered]]:
        """What became of messages of a subscriber's partitions that Kafka may not have.

        Args:
            above: By partition, the serial that Kafka was told.

        Returns:
            Results in transactions with a higher serial, with those serials, in their order.
        """
        ...

    async def write(self, fence: Fence, result: Redelivered) -> int:
        """Write what became of a message; what was written of it before stays.

        Returns:
            The serial of the transaction that it is in.

        Raises:
            Fenced: another worker owns the partition.
        """
        ...

    async def advance(self, fence: Fence, number: int, position: int) -> None:
        """Kafka has everything of it below this offset. Raises Fenced."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """A row of the lease table."""

    epoch: int
    serial: int
    """Counts the transactions for the partition, whoever made them."""
    owner: str
    """Transactional id of the owner's producer."""


@dataclass(frozen=True, slots=True)
class TakenLease:
    """A partition that is being taken over."""

    partition: TopicPartition
    topic_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Fence:
    """What every SQL transaction for a partition shows first; refused where its epoch is not the lease's."""

    subscriber: str
    topic_id: str
    partition: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Stop:
    """A dead letter at which a subscriber stands still rather than break the order of its key."""

    partition: TopicPartition
    offset: int
    key: bytes
    code: str
    message: str
