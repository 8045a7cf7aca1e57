"""The activity log's records: one per commit, with what each message became. Pure; the committer puts them into its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from integration_fabric.messages.envelope import Envelope, text_headers
from integration_fabric.messages.fabric import Activity, Transition
from integration_fabric.messages.ids import deterministic_id
from integration_fabric.runtime.envelopes import encode_envelope, message_id_of
from integration_fabric.runtime.executor import Result
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import Outgoing

MAX_TRANSITIONS = 1000
"""In one record; at about 400 bytes each it stays well below the 1 MiB that a broker takes."""


def activity_records(results: Sequence[Result], *, subscriber: str, worker: str, now: datetime, codec: Codec) -> list[Outgoing]:
    """Encode the activity of one commit, in order."""
    return [
        _record(results[start : start + MAX_TRANSITIONS], subscriber=subscriber, worker=worker, now=now, codec=codec)
        for start in range(0, len(results), MAX_TRANSITIONS)
    ]


def _record(results: Sequence[Result], *, subscriber: str, worker: str, now: datetime, codec: Codec) -> Outgoing:
    body = Activity.model_construct(
        subscriber=subscriber,
        worker=worker,
        committed_at=now,
        transitions=tuple(_transition(result) for result in results),
        aggregate_version=int(now.timestamp() * 1_000_000),
    )
    first = results[0].record
    envelope = Envelope(
        body=body,
        id=deterministic_id("activity", subscriber, first.topic, str(first.partition), str(first.offset), str(len(results))),
        source=f"/subscribers/{subscriber}",
        time=now,
        correlation_id=subscriber,
    )
    return encode_envelope(envelope, codec)


def _transition(result: Result) -> Transition:
    record, envelope, dead = result.record, result.envelope, result.dead_letter
    handled = result.handled
    headers = text_headers(record.headers) if envelope is None else {}
    return Transition.model_construct(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        message_id=envelope.id if envelope else message_id_of(record, headers),
        message_type=envelope.body.schema_name if envelope else "",
        correlation_id=envelope.correlation_id if envelope else headers.get("ce_correlationid", ""),
        causation_id=envelope.causation_id if envelope else None,
        business_keys=dict(envelope.business_keys) if envelope else {},
        system=envelope.system if envelope else None,
        from_state="",
        outcome=handled.kind.value,
        detail=handled.detail[:1000],
        code=dead.code if dead else None,
        attempts=result.attempts,
        published_at=envelope.time if envelope else datetime.fromtimestamp(max(record.timestamp_ms, 0) / 1000, UTC),
        started_at=result.began_at,
        duration_ms=result.duration_ms,
        outputs=handled.output_types,
    )
