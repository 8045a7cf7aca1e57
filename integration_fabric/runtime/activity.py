"""The activity log: what each message became, in one record for each commit. Pure; the subscriber loop and the committer call it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from integration_fabric.messages.envelope import Envelope, text_headers
from integration_fabric.messages.fabric import Activity
from integration_fabric.messages.ids import deterministic_id
from integration_fabric.runtime.envelopes import message_id_of, record_time, to_outgoing
from integration_fabric.runtime.executor import DeadLetter, Result
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import Outgoing, TopicPartition
from integration_fabric.runtime.redelivery import Redelivered

MAX_TRANSITIONS = 1000
"""In one record; at about 200 bytes each they are far below what a broker takes."""
MAX_TRANSITIONS_BYTES = 500_000
"""In one record, the last one aside, for those that are larger."""
MAX_DETAIL_CHARS = 1000


@dataclass(slots=True, eq=False)
class Settled:
    """What a message became, until that is committed.

    Its entry in the activity log is written here already: so thousands of messages that wait for a commit keep no record, no
    headers and no typed event alive, which the garbage collector would look through again and again.
    """

    partition: TopicPartition
    offset: int
    kind: OutcomeKind
    duration_ms: float
    outputs: tuple[Outgoing, ...]
    transition: bytes
    """Its entry in the activity log."""
    dead_letter: DeadLetter | None
    extra: Outgoing | None
    """The record for the dead-letter topic."""


def settle(result: Result, partition: TopicPartition, codec: Codec) -> Settled:
    """Keep of a result what its commit needs."""
    handled = result.handled
    return Settled(
        partition,
        result.record.offset,
        handled.kind,
        result.duration_ms,
        handled.outputs,
        transition_of(result, codec),
        result.dead_letter,
        result.extra,
    )


def transition_of(result: Result, codec: Codec, *, redelivery: int | None = None, outcome: str | None = None) -> bytes:
    """Write the entry of a result in the activity log.

    Args:
        result: What became of the message.
        codec: Writes it.
        redelivery: The number of that which brought it about, if one did.
        outcome: What to call it, where it is not what the handler said.
    """
    record, envelope, handled = result.record, result.envelope, result.handled
    if envelope is None:
        return _unread_transition(result, codec, redelivery, outcome or handled.kind)
    return codec.encode_transition(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "key": record.key,
            "message_id": envelope.id,
            "message_type": envelope.body.schema_name,
            "correlation_id": envelope.correlation_id,
            "causation_id": envelope.causation_id,
            "business_keys": envelope.business_keys,
            "system": envelope.system,
            "from_state": "",
            "outcome": outcome or handled.kind,
            "detail": _detail(handled.detail),
            "code": result.dead_letter.code if result.dead_letter else None,
            "attempts": result.attempts,
            "published_at": envelope.time,
            "started_at": result.began_at,
            "duration_ms": result.duration_ms,
            "outputs": handled.output_types,
            "redelivery": redelivery,
        }
    )


def _unread_transition(result: Result, codec: Codec, redelivery: int | None, outcome: str) -> bytes:
    """Of a record that could not be read: what its headers and Kafka say of it."""
    record, handled = result.record, result.handled
    headers = text_headers(record.headers)
    return codec.encode_transition(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "key": record.key,
            "message_id": message_id_of(record, headers),
            "message_type": "",
            "correlation_id": headers.get("ce_correlationid", ""),
            "causation_id": None,
            "business_keys": {},
            "system": None,
            "from_state": "",
            "outcome": outcome,
            "detail": _detail(handled.detail),
            "code": result.dead_letter.code if result.dead_letter else None,
            "attempts": result.attempts,
            "published_at": record_time(record),
            "started_at": result.began_at,
            "duration_ms": result.duration_ms,
            "outputs": handled.output_types,
            "redelivery": redelivery,
        }
    )


def _detail(text: str) -> str:
    """Cut, and without halves of surrogate pairs, which no record can carry: it may be any exception's text."""
    return text[:MAX_DETAIL_CHARS].encode("utf-8", "replace").decode() if text else text


Entry = Settled | Redelivered


def activity_records(settled: Sequence[Entry], *, subscriber: str, worker: str, now: datetime, codec: Codec) -> list[Outgoing]:
    """Encode the activity of one commit, in order."""
    return [_record(part, subscriber=subscriber, worker=worker, now=now, codec=codec) for part in _parts(settled)]


def _parts(settled: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """What goes into one record each."""
    start, size = 0, 0
    for end, item in enumerate(settled, 1):
        size += len(item.transition)
        if size >= MAX_TRANSITIONS_BYTES or end - start == MAX_TRANSITIONS:
            yield settled[start:end]
            start, size = end, 0
    if start < len(settled):
        yield settled[start:]


def _record(settled: Sequence[Entry], *, subscriber: str, worker: str, now: datetime, codec: Codec) -> Outgoing:
    version = int(now.timestamp() * 1_000_000)
    first = settled[0]
    envelope = Envelope(
        body=Activity(subscriber=subscriber, worker=worker, committed_at=now, aggregate_version=version),
        id=deterministic_id("activity", subscriber, *_place(first), str(len(settled))),
        source=f"/subscribers/{subscriber}",
        time=now,
        correlation_id=subscriber,
    )
    value = codec.encode_activity(
        {
            "subscriber": subscriber,
            "worker": worker,
            "committed_at": now,
            "transitions": [item.transition for item in settled],
            "aggregate_version": version,
        }
    )
    return to_outgoing(envelope, value, codec)


def _place(entry: Entry) -> tuple[str, ...]:
    place = (entry.partition.topic, str(entry.partition.partition), str(entry.offset))
    return (*place, f"redelivery {entry.number}") if isinstance(entry, Redelivered) else place
