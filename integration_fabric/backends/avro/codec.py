"""Bodies to bytes and back in the Confluent wire format, checked against their schemas: `runtime.ports.Codec` on Avro.

Everything that is slow (a look-up at the registry, generating a function) happens once for each message type and schema id.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import fastavro

from integration_fabric.backends.avro.decoder import HEADER_BYTES, NotAlikeError, compile_decoder
from integration_fabric.backends.avro.encoder import compile_encoder, compile_fields_encoder, find_fault
from integration_fabric.backends.avro.parsed import ParsedSchema, parse_schema
from integration_fabric.governance.ports import SchemaRegistry, subject_of
from integration_fabric.governance.schema_files import read
from integration_fabric.messages.base import Message
from integration_fabric.messages.errors import ContractBroken, Undecodable
from integration_fabric.messages.fabric import Activity
from integration_fabric.runtime.ports import ActivityFields, TransitionFields

MAX_VALUE_BYTES = 1024 * 1024
"""What is read: Kafka's own limit for a record, where nobody has changed it."""
MAX_WRITTEN_BYTES = 960 * 1024
"""What is written: with its key and headers it stays below that limit, and librdkafka's of 1,000,000."""

_MAGIC = 0


class UnknownSchema(Undecodable):
    """The value has a schema id that was not learnt yet. Learn it, then decode again."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema id {schema_id} is not known here yet")
        self.schema_id = schema_id


class AvroCodec:
    """The codec.

    Args:
        registry: Where schema ids come from.
        max_value_bytes: A value that is larger is neither written nor read. What is written stays below `MAX_WRITTEN_BYTES` too.
        schema_text: Where our own schema of a message type comes from; the committed files if None.
    """

    def __init__(
        self,
        registry: SchemaRegistry,
        *,
        max_value_bytes: int = MAX_VALUE_BYTES,
        schema_text: Callable[[type[Message]], str] | None = None,
    ) -> None:
        self._registry = registry
        self._schema_text = schema_text or _committed_text
        self._max_value_bytes = max_value_bytes
        self._max_written_bytes = min(max_value_bytes, MAX_WRITTEN_BYTES)
        self._schemas: dict[int, ParsedSchema] = {}
        self._ids: dict[type[Message], int] = {}
        self._encoders: dict[type[Message], Callable[[Message], bytes]] = {}
        self._decoders: dict[tuple[type[Message], bytes], Callable[[bytes], Message]] = {}
        self._activity: _ActivityEncoder | None = None

    def prepare(self, kinds: Sequence[type[Message]]) -> None:
        """Look up the schema ids of what will be written. Blocks on the registry; raises Unavailable, ContractBroken."""
        for kind in kinds:
            if kind not in self._encoders:
                text = self._schema_text(kind)
                schema_id = self._registry.id_of(subject_of(kind), text)
                if schema_id is None:
                    raise ContractBroken(f"{subject_of(kind)}: the registry does not have this version; run `fabric schemas push`")
                self._schemas[schema_id] = parse_schema(text)
                self._ids[kind] = schema_id
                self._encoders[kind] = compile_encoder(self._schemas[schema_id], kind, _header(schema_id))
                if kind is Activity:
                    self._activity = _ActivityEncoder(self._schemas[schema_id], _header(schema_id))

    def dataschema(self, kind: type[Message]) -> str:
        """URI reference of the schema that `encode` writes this type with."""
        if kind not in self._ids:
            raise _unprepared(kind)
        return f"/schemas/ids/{self._ids[kind]}"

    def encode(self, body: Message) -> bytes:
        """Write a body. Raises ContractBroken with the field path."""
        kind = type(body)
        encoder = self._encoders.get(kind)
        if encoder is None:
            raise _unprepared(kind)
        try:
            value = encoder(body)
        except Exception as error:
            fault = find_fault(body, self._schemas[self._ids[kind]])
            raise ContractBroken(f"{kind.schema_name}: {fault or repr(error)}") from error
        if len(value) > self._max_written_bytes:
            raise ContractBroken(
                f"{kind.schema_name}: {len(value)} bytes are more than the {self._max_written_bytes} that a value may have"
            )
        return value

    def encode_transition(self, transition: TransitionFields) -> bytes:
        """Write one entry of the activity log. Raises ContractBroken."""
        if self._activity is None:
            raise _unprepared(Activity)
        try:
            return self._activity.transition(transition)
        except Exception as error:
            raise ContractBroken(f"an entry of {Activity.schema_name}: {error!r}") from error

    def encode_activity(self, activity: ActivityFields) -> bytes:
        """Write an `Activity` of entries that are written. Raises ContractBroken."""
        if self._activity is None:
            raise _unprepared(Activity)
        try:
            return self._activity.record(activity)
        except Exception as error:
            raise ContractBroken(f"{Activity.schema_name}: {error!r}") from error

    def decode(self, value: bytes, kind: type[Message]) -> Message:
        """Read a value as `kind`. Raises Undecodable; UnknownSchema, an Undecodable too, where `learn` has not met the id yet."""
        decoder = self._decoders.get((kind, value[:HEADER_BYTES]))
        if decoder is None:
            decoder = self._decoder(value, kind)
        if len(value) > self._max_value_bytes:
            raise Undecodable(f"{len(value)} bytes are more than the {self._max_value_bytes} that a value may have")
        try:
            return decoder(value)
        except Exception as error:
            schema_id = int.from_bytes(value[1:HEADER_BYTES])
            raise Undecodable(f"the value is no {kind.schema_name} of schema id {schema_id}: {error}") from error

    def unknown_schema(self, value: bytes | None) -> int | None:
        """The schema id of the value where `learn` must be called before it can be decoded, else None. Never raises."""
        if value is None or len(value) < HEADER_BYTES or value[0] != _MAGIC:
            return None
        schema_id = int.from_bytes(value[1:HEADER_BYTES])
        return None if schema_id in self._schemas else schema_id

    def learn(self, schema_id: int) -> None:
        """Fetch a schema. Blocks. Raises Undecodable where the registry does not know it or it is no Avro, Unavailable where it is down."""
        if schema_id not in self._schemas:
            self._schemas[schema_id] = parse_schema(self._registry.schema(schema_id))

    def _decoder(self, value: bytes, kind: type[Message]) -> Callable[[bytes], Message]:
        if len(value) < HEADER_BYTES or value[0] != _MAGIC:
            raise Undecodable("not the Confluent wire format: magic byte 0 and a schema id of 4 bytes come first")
        schema_id = int.from_bytes(value[1:HEADER_BYTES])
        writer = self._schemas.get(schema_id)
        if writer is None:
            raise UnknownSchema(schema_id)
        decoder = _make_decoder(writer, parse_schema(self._schema_text(kind)), kind)
        self._decoders[kind, value[:HEADER_BYTES]] = decoder
        return decoder


class _ActivityEncoder:
    """Writes the activity log, which has an entry for every message of every subscriber."""

    def __init__(self, schema: ParsedSchema, header: bytes) -> None:
        self.transition: Callable[[TransitionFields], bytes] = compile_fields_encoder(
            schema,
            "fabric.v1.Transition",
            recurring=(
                ("topic", "partition"),
                ("message_type",),
                ("system", "from_state", "outcome", "detail", "code", "attempts"),
                ("outputs",),
            ),
        )
        self.record: Callable[[ActivityFields], bytes] = compile_fields_encoder(schema, schema.root, header=header, written="transitions")


def _committed_text(kind: type[Message]) -> str:
    return read(kind).text


def _make_decoder(writer: ParsedSchema, reader: ParsedSchema, kind: type[Message]) -> Callable[[bytes], Message]:
    try:
        return compile_decoder(writer, reader, kind)
    except NotAlikeError:
        decode = compile_decoder(reader, reader, kind)
        return lambda value: decode(_translate(value, writer, reader))


def _translate(value: bytes, writer: ParsedSchema, reader: ParsedSchema) -> bytes:
    """Write a value anew as our own schema has it: fastavro resolves whatever the Avro specification allows. For changes that are rare."""
    padded = io.BytesIO(
        value + b"\0"
    )  # fastavro reads short rather than fail at the end; with a byte more there, that shows in where it ends
    padded.seek(HEADER_BYTES)
    record = fastavro.schemaless_reader(padded, writer.fastavro, reader.fastavro)
    if padded.tell() != len(value):
        raise ValueError("bytes are left over or missing")
    out = io.BytesIO()
    out.write(value[:HEADER_BYTES])
    fastavro.schemaless_writer(out, reader.fastavro, record)
    return out.getvalue()


def _header(schema_id: int) -> bytes:
    return bytes((_MAGIC,)) + schema_id.to_bytes(HEADER_BYTES - 1)


def _unprepared(kind: type[Message]) -> ContractBroken:
    return ContractBroken(f"{kind.__name__}: its schema id was not looked up; name it among what this subscriber or publisher puts out")
