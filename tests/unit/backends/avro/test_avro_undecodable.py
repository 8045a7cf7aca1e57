"""Bytes that are no message are undecodable, whatever they are, and cost nothing; an id that is not known can be learnt."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from avro_examples import PATIENT, activity, create_order, examples, order_booked, own_codec
from hypothesis import given, settings, strategies as st

from integration_fabric.backends.avro.codec import AvroCodec, UnknownSchema
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.governance.ports import subject_of
from integration_fabric.messages.base import Message
from integration_fabric.messages.errors import ContractBroken, Unavailable, Undecodable
from integration_fabric.messages.fabric import Activity, ProcessChanged
from integration_fabric.messages.orders import CreateOrder, OrderBooked
from integration_fabric.messages.quotes import QuoteApproved

# Bytes that are no message


def test_a_value_larger_than_the_limit_is_not_read(codec: AvroCodec, registry: MemoryRegistry) -> None:
    small = AvroCodec(registry, max_value_bytes=100)
    small.prepare([OrderBooked])
    with pytest.raises(Undecodable, match="bytes are more than the 100"):
        small.decode(codec.encode(order_booked(number="7" * 100)), OrderBooked)


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0\0\0", b"{}", b"\1\0\0\0\1\2", b'{"json": true}'])
def test_other_formats_are_undecodable(value: bytes, codec: AvroCodec) -> None:
    with pytest.raises(Undecodable, match="not the Confluent wire format"):
        codec.decode(value, OrderBooked)
    assert codec.unknown_schema(value) is None


def test_every_truncation_is_undecodable(codec: AvroCodec) -> None:
    for message in (order_booked(), create_order(), activity(key=b"k", code="x")):
        value = codec.encode(message)
        for length in range(5, len(value)):
            with pytest.raises(Undecodable):
                codec.decode(value[:length], type(message))


def test_bytes_left_over_are_undecodable(codec: AvroCodec) -> None:
    with pytest.raises(Undecodable, match="left over or missing"):
        codec.decode(codec.encode(order_booked()) + b"\0", OrderBooked)


@pytest.mark.parametrize("kind", [OrderBooked, CreateOrder, Activity, ProcessChanged, QuoteApproved], ids=lambda kind: kind.__name__)
def test_whatever_the_bytes_are_they_are_a_message_or_undecodable(kind: type[Message], codec: AvroCodec) -> None:
    header = codec.encode(next(message for message in (order_booked(), create_order(), activity(), *examples()) if type(message) is kind))[
        :5
    ]

    @settings(PATIENT, max_examples=400)
    @given(st.binary(max_size=300))
    def random_bytes(body: bytes) -> None:
        _decode_or_refuse(codec, header + body, kind)

    random_bytes()


def _decode_or_refuse(codec: AvroCodec, value: bytes, kind: type[Message]) -> None:
    try:
        message = codec.decode(value, kind)
    except Undecodable:
        return
    assert codec.decode(codec.encode(message), kind) == message


@settings(PATIENT, max_examples=400)
@given(st.data())
def test_damaged_values_are_a_message_or_undecodable(data: st.DataObject) -> None:
    codec = own_codec()
    message = data.draw(st.sampled_from([order_booked(), create_order(), activity(key=b"k", code="x")]))
    value = bytearray(codec.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(5, len(value) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_refuse(codec, bytes(value), type(message))


HUGE = [b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff" * 9 + b"\x01", b"\xff" * 20 + b"\x01", b"\x80" * 40, b"\xfe\xff\xff\xff\x0f"]


@pytest.mark.parametrize("number", HUGE, ids=[number.hex() for number in HUGE])
def test_huge_counts_and_lengths_cost_nothing(number: bytes, codec: AvroCodec) -> None:
    value = codec.encode(create_order(lines=()))
    tracemalloc.start()
    for damaged in (value[:-1] + number, value[:5] + number + value[5:], value[:-1] + number + bytes(1000)):
        with pytest.raises(Undecodable):
            codec.decode(damaged, CreateOrder)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


@pytest.mark.parametrize(
    ("replaced", "by"),
    [
        (b"\x06\x01\xe8\x48", b"\x00"),  # a decimal of no bytes
        (b"\x06\x01\xe8\x48", b"\x12\x7f" + b"\xff" * 8),  # one of more than 18 digits
        (b"\x06NOK", b"\x06\xff\xff\xff"),  # no UTF-8
        (b"\x06NOK", b"\x05NOK"),  # a negative length
    ],
)
def test_values_out_of_range_are_undecodable(replaced: bytes, by: bytes, codec: AvroCodec) -> None:
    value = codec.encode(order_booked())
    assert value.count(replaced) == 1
    with pytest.raises(Undecodable):
        codec.decode(value.replace(replaced, by), OrderBooked)


# Schema ids


class _Registry(MemoryRegistry):
    """Counts look-ups, and can be down."""

    looked_up = 0
    down = False

    def schema(self, schema_id: int) -> str:
        self.looked_up += 1
        if self.down:
            raise Unavailable("the registry does not answer")
        return super().schema(schema_id)


def test_r27_an_id_is_learnt_once_and_then_the_registry_is_not_needed(codec: AvroCodec, registry: MemoryRegistry) -> None:
    """R27: an outage of the registry does not matter once a codec is warm."""
    value = codec.encode(order_booked())
    schema_id = int.from_bytes(value[1:5], "big")
    other = _Registry()
    for _ in range(schema_id - 1):
        other.register("filler", json.dumps({"type": "record", "name": f"R{_}", "fields": []}))
    other.register("erp.order-booked.v1-value", registry.schema(schema_id))
    reader = AvroCodec(other)
    assert reader.unknown_schema(value) == schema_id
    with pytest.raises(UnknownSchema) as caught:
        reader.decode(value, OrderBooked)
    assert (caught.value.schema_id, other.looked_up) == (schema_id, 0)
    reader.learn(schema_id)
    assert reader.unknown_schema(value) is None
    other.down = True
    reader.learn(schema_id)
    assert reader.decode(value, OrderBooked) == order_booked()
    assert other.looked_up == 1


def test_r27_a_decoder_is_made_once_for_each_schema_that_a_type_was_written_with(registry: MemoryRegistry) -> None:
    """R27: what is slow happens once for each pair of schemas, and subjects follow from topics, whatever a client's default is."""
    codec = AvroCodec(registry)
    codec.prepare([OrderBooked, CreateOrder])
    values = [codec.encode(order_booked()), codec.encode(create_order())]
    for value, kind in zip(values * 3, (OrderBooked, CreateOrder) * 3, strict=True):
        codec.decode(value, kind)
    made = dict(codec._decoders)
    assert len(made) == 2
    for value, kind in zip(values * 3, (OrderBooked, CreateOrder) * 3, strict=True):
        codec.decode(value, kind)
    assert codec._decoders == made
    assert subject_of(OrderBooked) == "erp.order-booked.v1-value"


def test_r21_an_id_that_the_registry_does_not_know_is_undecodable_and_a_registry_that_is_down_is_not() -> None:
    """R21: the one is a dead letter, the other is waited for."""
    registry = _Registry()
    codec = AvroCodec(registry)
    with pytest.raises(Undecodable, match="schema id 12345 is not at the registry"):
        codec.learn(12345)
    registry.down = True
    with pytest.raises(Unavailable):
        codec.learn(12345)


@pytest.mark.parametrize("value", [None, b"", b"\0\0\0\0", b"\1\0\0\0\1"])
def test_only_the_wire_format_has_an_unknown_schema(value: bytes | None, codec: AvroCodec) -> None:
    assert codec.unknown_schema(value) is None


def test_a_type_that_was_not_pushed_or_prepared_is_not_written() -> None:
    codec = AvroCodec(MemoryRegistry())
    with pytest.raises(ContractBroken, match="run `fabric schemas push`"):
        codec.prepare([OrderBooked])
    with pytest.raises(ContractBroken, match="OrderBooked: its schema id was not looked up"):
        codec.encode(order_booked())
    with pytest.raises(ContractBroken, match="OrderBooked: its schema id was not looked up"):
        codec.dataschema(OrderBooked)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "record", "name": "R"},
        {"type": "record", "name": "R", "fields": [{"name": "x", "type": "nothing"}]},
        {"type": "record", "name": "R", "fields": [{"name": "x", "type": ["null", {"type": "array", "items": "null"}]}]},
        {"type": "record", "name": "R", "fields": [{"name": "x", "type": {"type": "array", "items": "null"}}]},
        {
            "type": "record",
            "name": "R",
            "fields": [{"name": "x", "type": {"type": "array", "items": {"type": "record", "name": "E", "fields": []}}}],
        },
        {"type": "record", "name": "R", "fields": [{"name": "x", "type": ["null", "R"]}]},
        {"type": "record", "name": "R", "fields": [{"name": "x", "type": "R"}]},
        {"type": "record", "name": "R", "fields": [{"name": "x", "type": {"type": "array", "items": "R"}}]},
    ],
)
def test_a_schema_that_is_no_avro_record_or_knows_no_bounds_is_undecodable(schema: dict[str, Any]) -> None:
    registry = MemoryRegistry()
    schema_id = registry.register("s", json.dumps(schema))
    with pytest.raises(Undecodable, match="schema"):
        AvroCodec(registry).learn(schema_id)
