"""Records to envelopes and emitted messages to records. The executor calls it for each message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, datetime

from integration_fabric.messages.base import Message
from integration_fabric.messages.envelope import Envelope, read_business_keys, text_headers, to_headers
from integration_fabric.messages.errors import ContractBroken, Undecodable
from integration_fabric.messages.ids import MessageId, System, deterministic_id
from integration_fabric.runtime.outcomes import Emit
from integration_fabric.runtime.ports import Clock, Codec
from integration_fabric.runtime.records import Outgoing, Record

MAX_OUTPUT_BYTES = 900_000
"""Brokers take 1 MiB a record by default; the rest is for headers. A larger one would poison the whole transaction."""


_LAST_MS = 253_370_764_800_000
"""The beginning of the year 9999."""


def message_id_of(record: Record, headers: Mapping[str, str]) -> MessageId:
    """The id of a message; one that came without gets one from its coordinates."""
    found = headers.get("ce_id")
    return MessageId(found) if found else deterministic_id("record", record.topic, str(record.partition), str(record.offset))


def learn_and_decode(value: bytes, kind: type[Message], codec: Codec) -> Message:
    """Decode a body whose schema may never have been met here: for tools, as it blocks on the registry then. Raises Undecodable."""
    unknown = codec.unknown_schema(value)
    if unknown is not None:
        codec.learn(unknown)
    return codec.decode(value, kind)


def read_envelope(record: Record, codec: Codec, kinds: Mapping[str, type[Message]]) -> Envelope:
    """Decode one record. Raises Undecodable."""
    kind = kinds.get(record.topic)
    if kind is None or record.value is None:
        raise Undecodable(f"{record.coordinates}: no value, or a topic that is not read here")
    body = codec.decode(record.value, kind)
    try:
        return _envelope(record, body, dict(record.headers or ()))
    except UnicodeDecodeError:
        return _envelope(record, body, {name: text.encode() for name, text in text_headers(record.headers).items()})


def _envelope(record: Record, body: Message, headers: Mapping[str, bytes | None]) -> Envelope:
    """Only what is read is made text. By position, which is the faster by far."""
    get = headers.get
    identity = MessageId(found.decode()) if (found := get("ce_id")) else message_id_of(record, {})
    return Envelope(
        body,
        identity,
        found.decode() if (found := get("ce_source")) else "",
        _time_of(record, get("ce_time")),
        found.decode() if (found := get("ce_correlationid")) else identity,
        MessageId(found.decode()) if (found := get("ce_causationid")) else None,
        System(found.decode()) if (found := get("ce_system")) else None,
        found.decode() if (found := get("ce_legalentity")) is not None else None,
        read_business_keys(found.decode()) if (found := get("ce_businesskeys")) else {},
        found.decode() if (found := get("traceparent")) is not None else None,
        found.decode() if (found := get("tracestate")) is not None else None,
        record.coordinates,
    )


def _time_of(record: Record, value: bytes | None) -> datetime:
    if value:
        try:
            found = datetime.fromisoformat(value.decode())
        except ValueError:
            found = None
        # in the first and the last year another zone's time may have none in UTC, and could not be written to the activity log
        if found is not None and found.tzinfo is not None and MINYEAR < found.year < MAXYEAR:
            return found
    return record_time(record)


def record_time(record: Record) -> datetime:
    """Kafka's timestamp of a record, which any producer may set to anything: what no calendar has is brought to its nearest end."""
    return datetime.fromtimestamp(min(max(record.timestamp_ms, 0), _LAST_MS) / 1000, UTC)


class Outputs:
    """Encodes what one subscriber emits."""

    def __init__(self, *, subscriber: str, codec: Codec, clock: Clock) -> None:
        self._subscriber, self._codec, self._clock = subscriber, codec, clock
        self._source = f"/subscribers/{subscriber}"

    def __call__(self, cause: Envelope, emitted: Sequence[Message | Emit]) -> tuple[tuple[Outgoing, ...], tuple[str, ...]]:
        """Encode the outputs of one message.

        Returns:
            The records, in order, and the types of their messages.

        Raises:
            ContractBroken: a body that breaks its schema, or one that is too large.
        """
        emits = [item if isinstance(item, Emit) else Emit(item) for item in emitted]
        records = [self._record(cause, emit, place) for place, emit in enumerate(emits)]
        return tuple(records), tuple([emit.body.schema_name for emit in emits])

    def _record(self, cause: Envelope, emit: Emit, place: int) -> Outgoing:
        body = emit.body
        envelope = Envelope(
            body,
            emit.id or deterministic_id(cause.id, self._subscriber, str(place)),
            self._source,
            self._clock.now(),
            emit.correlation_id or cause.correlation_id,
            emit.causation_id or cause.id,
            emit.system,
            emit.legal_entity or cause.legal_entity,
            {**cause.business_keys, **(dict(emit.business_keys) if emit.business_keys else {}), **body.search_keys()},
            cause.traceparent,
            cause.tracestate,
        )
        return encode_envelope(envelope, self._codec)


def encode_envelope(envelope: Envelope, codec: Codec) -> Outgoing:
    """Encode one message. Raises ContractBroken."""
    return to_outgoing(envelope, codec.encode(envelope.body), codec)


def to_outgoing(envelope: Envelope, value: bytes, codec: Codec) -> Outgoing:
    """Make the record of a message whose body is encoded. Raises ContractBroken where it is too large."""
    body = envelope.body
    if len(value) > MAX_OUTPUT_BYTES:
        raise ContractBroken(f"{body.schema_name} {body.key}: {len(value)} bytes are more than the {MAX_OUTPUT_BYTES} that a topic takes")
    headers = to_headers(envelope, dataschema=codec.dataschema(type(body)))
    return Outgoing(body.topic, body.key.encode(), value, tuple(headers))
