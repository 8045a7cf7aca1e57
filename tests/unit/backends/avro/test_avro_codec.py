"""Every message type goes to bytes and back unchanged, and nothing else gets through in either direction."""

from __future__ import annotations

import copy
import decimal
import io
import json
import pickle
import tracemalloc
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import EnumType
from typing import Annotated, Any, ClassVar

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import AwareDatetime, BaseModel, Field, field_validator

from integration_fabric.backends.avro import codec as codec_module
from integration_fabric.backends.avro.codec import AvroCodec, UnknownSchema
from integration_fabric.backends.avro.decoder import NotAlikeError, compile_decoder
from integration_fabric.backends.avro.parsed import parse_schema
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.governance.ports import subject_of
from integration_fabric.governance.schema_files import parse, read
from integration_fabric.messages.base import Event, Message, Part
from integration_fabric.messages.catalogue import MESSAGES
from integration_fabric.messages.errors import ContractBroken, Unavailable, Undecodable
from integration_fabric.messages.fabric import Activity, ProcessChanged, Transition
from integration_fabric.messages.invoices import InvoiceIssued
from integration_fabric.messages.orders import CreateOrder, OrderBooked, OrderLine, OrderRejected
from integration_fabric.messages.problems import Problem
from integration_fabric.messages.quotes import ChargeType, QuoteApproved, QuoteLine

settings.register_profile("codec", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("codec")

LEAVES: Mapping[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=80),
    bytes: st.binary(max_size=80),
    bool: st.booleans(),
    int: st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0, 63, 64, -64, -65, 8191, 8192, 2**31 - 1, -(2**31)])),
    float: st.floats(allow_nan=False),
    Decimal: st.integers(-(10**18) + 1, 10**18 - 1).map(lambda unscaled: Decimal(unscaled).scaleb(-4)),
    date: st.dates(),
    AwareDatetime: st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])),
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Whatever a field of this type may hold."""
    annotation = getattr(annotation, "__supertype__", annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return st.one_of(*[st.none() if member is type(None) else values(member) for member in typing.get_args(annotation)])
    if typing.get_origin(annotation) is tuple:
        return st.lists(values(typing.get_args(annotation)[0]), max_size=3).map(tuple)
    if typing.get_origin(annotation) is not None:
        return st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=3)
    if isinstance(annotation, EnumType):
        return st.sampled_from(list(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return models(annotation)
    return LEAVES[annotation]


def models(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Whatever this class may be, made the usual way: validated."""
    return st.fixed_dictionaries({name: values(info.annotation) for name, info in kind.model_fields.items()}).map(
        lambda fields: kind(**fields)
    )


@pytest.fixture(scope="module")
def registry() -> MemoryRegistry:
    registry = MemoryRegistry()
    for kind in MESSAGES:
        registry.register(subject_of(kind), read(kind).text)
    return registry


@pytest.fixture(scope="module")
def codec(registry: MemoryRegistry) -> AvroCodec:
    codec = AvroCodec(registry)
    codec.prepare(MESSAGES)
    return codec


def order_booked(**fields: Any) -> OrderBooked:
    some = {"order_id": "SO-1", "quote_id": "Q-1", "legal_entity": "acme-no", "currency": "NOK", "native_id": "77", "number": "2026/77"}
    return OrderBooked(**{**some, "total_amount": Decimal("12.5"), "aggregate_version": 3, **fields})


def order_line(**fields: Any) -> OrderLine:
    some = {"order_line_id": "1", "quote_line_id": "2", "product_id": "P", "description": "seat", "quantity": 2, "unit": "each"}
    some |= {"unit_price": Decimal(9), "starts_on": date(2026, 12, 1), "tax_code": "25", "price_book_version": "7"}
    return OrderLine(**{**some, **fields})


def create_order(**fields: Any) -> CreateOrder:
    some = {"order_id": "SO-1", "quote_id": "Q-1", "customer_id": "C-1", "legal_entity": "acme-no", "currency": "NOK"}
    some |= {"bill_to": "Bill", "ship_to": "Ship", "payment_terms": "NET30"}
    return CreateOrder(**{**some, "lines": (order_line(), order_line(charge_type=ChargeType.RECURRING)), **fields})


def activity(**fields: Any) -> Activity:
    now = datetime(2026, 11, 23, 4, 5, 6, 789, UTC)
    some: dict[str, Any] = {"topic": "t", "partition": 1, "offset": 2, "message_id": "m", "message_type": "x", "correlation_id": "c"}
    some |= {"business_keys": {"order": "SO-1"}, "from_state": "", "outcome": "applied", "detail": "", "attempts": 1}
    some |= {"published_at": now, "started_at": now, "duration_ms": 1.5, "outputs": ("a", "b")}
    return Activity(subscriber="s", worker="w", committed_at=now, aggregate_version=1, transitions=(Transition(**{**some, **fields}),))


def bare_read(value: bytes, kind: type[Message]) -> Any:
    body = io.BytesIO(value)
    body.seek(5)
    return fastavro.schemaless_reader(body, fastavro.parse_schema(dict(read(kind).schema)), None)


def bare_write(header: bytes, kind: type[Message], record: Any) -> bytes:
    out = io.BytesIO()
    out.write(header)
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(read(kind).schema)), record)
    return out.getvalue()


# Both ways


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_message_type_comes_back_as_it_was(kind: type[Message], codec: AvroCodec) -> None:
    @settings(max_examples=30)
    @given(models(kind))
    def comes_back(message: Message) -> None:
        read_back = codec.decode(codec.encode(message), kind)
        validated = kind(**{name: getattr(read_back, name) for name in kind.model_fields})
        assert read_back == message == validated
        assert repr(read_back) == repr(validated)
        assert read_back.model_dump() == validated.model_dump()
        if kind is not Activity:  # holds keys, which are bytes and have no JSON
            assert read_back.model_dump_json() == validated.model_dump_json()
        assert read_back.model_dump(exclude_unset=True) == validated.model_dump(exclude_unset=True)
        assert read_back.model_fields_set == validated.model_fields_set
        assert read_back.__dict__.keys() == validated.__dict__.keys()
        assert read_back.key == message.key
        assert read_back.search_keys() == message.search_keys()

    comes_back()


def test_what_was_read_is_an_ordinary_model(codec: AvroCodec) -> None:
    message = create_order()
    read_back = codec.decode(codec.encode(message), CreateOrder)
    assert isinstance(read_back, CreateOrder)
    assert hash(read_back) == hash(message)
    assert {read_back: 1}[message] == 1
    assert copy.copy(read_back) == copy.deepcopy(read_back) == pickle.loads(pickle.dumps(read_back)) == message
    changed = read_back.model_copy(update={"currency": "SEK"})
    assert (changed.currency, read_back.currency) == ("SEK", "NOK")
    assert type(read_back.lines) is tuple
    assert type(read_back.lines[1]) is OrderLine
    assert read_back.lines[1].charge_type is ChargeType.RECURRING
    with pytest.raises(ValueError, match="frozen"):
        read_back.currency = "SEK"  # type: ignore[misc]


@pytest.mark.parametrize("kind", [QuoteApproved, Activity, ProcessChanged, InvoiceIssued], ids=lambda kind: kind.__name__)
def test_the_bytes_are_those_that_fastavro_reads_and_writes(kind: type[Message], codec: AvroCodec) -> None:
    @settings(max_examples=50)
    @given(models(kind))
    def agree(message: Message) -> None:
        value = codec.encode(message)
        record = bare_read(value, kind)
        assert message.model_dump() == _with_tuples(record)
        assert codec.decode(bare_write(value[:5], kind, record), kind) == message

    agree()


def _with_tuples(record: Any) -> Any:
    if isinstance(record, list):
        return tuple(_with_tuples(item) for item in record)
    return {name: _with_tuples(value) for name, value in record.items()} if isinstance(record, dict) else record


def test_the_wire_format_is_magic_id_body(codec: AvroCodec, registry: MemoryRegistry) -> None:
    schema_id = registry.id_of("erp.order-booked.v1-value", read(OrderBooked).text)
    assert schema_id is not None
    assert codec.encode(order_booked())[:5] == b"\0" + schema_id.to_bytes(4, "big")
    assert codec.dataschema(OrderBooked) == f"/schemas/ids/{schema_id}"


def test_defaults_that_nobody_set_are_written(codec: AvroCodec) -> None:
    line = QuoteLine.model_fields["charge_type"]
    assert line.default is ChargeType.UNKNOWN
    rejected = OrderRejected(order_id="SO-1", quote_id="Q-1", aggregate_version=1)
    assert codec.decode(codec.encode(rejected), OrderRejected) == rejected


# What does not fit is refused, never rounded


def _unfinished() -> OrderBooked:
    return OrderBooked.model_construct(order_id="SO-1")  # type: ignore[arg-type,call-arg]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (order_booked().model_copy(update={"order_id": None}), "order_id: null is no string"),
        (order_booked().model_copy(update={"order_id": b"SO-1"}), "order_id: this bytes is no string"),
        (order_booked().model_copy(update={"order_id": "\ud800"}), "order_id: this str is no string"),
        (order_booked(total_amount=Decimal("0.00001")), "total_amount: this Decimal is no decimal"),
        (order_booked(total_amount=Decimal("1E+14")), "total_amount: this Decimal is no decimal"),
        (order_booked(total_amount=Decimal("12345678901234567890.12345678901234567890")), "total_amount: this Decimal is no decimal"),
        (order_booked().model_copy(update={"total_amount": Decimal("NaN")}), "total_amount: this Decimal is no decimal"),
        (order_booked().model_copy(update={"total_amount": Decimal("Infinity")}), "total_amount: this Decimal is no decimal"),
        (order_booked().model_copy(update={"total_amount": 1.5}), "total_amount: this float is no decimal"),
        (order_booked().model_copy(update={"total_amount": 1}), "total_amount: this int is no decimal"),
        (order_booked(aggregate_version=2**63), "aggregate_version: this int is no long"),
        (order_booked().model_copy(update={"aggregate_version": True}), "aggregate_version: this bool is no long"),
        (order_booked().model_copy(update={"aggregate_version": 1.0}), "aggregate_version: this float is no long"),
        (_unfinished(), "quote_id: is missing"),
        (create_order().model_copy(update={"lines": order_line()}), "lines: this OrderLine is no array"),
        (create_order().model_copy(update={"lines": "abc"}), "lines: this str is no array"),
        (create_order().model_copy(update={"lines": None}), "lines: null is no array"),
        (
            create_order(lines=(order_line(), order_line(unit_price=Decimal("0.00001")))),
            r"lines\[1\]\.unit_price: this Decimal is no decimal",
        ),
        (create_order().model_copy(update={"lines": ({"unit": "each"},)}), r"lines\[0\]: this dict is no OrderLine"),
        (
            create_order().model_copy(update={"lines": (order_line().model_copy(update={"starts_on": datetime(2026, 1, 1, tzinfo=UTC)}),)}),
            r"starts_on: .* no date",
        ),
        (
            create_order().model_copy(update={"lines": (order_line().model_copy(update={"charge_type": "odd"}),)}),
            r"charge_type: .* no cpq\.v1\.Ch",
        ),
        (create_order().model_copy(update={"purchase_order_number": 7}), "purchase_order_number: this int is no string"),
        (activity(partition=2**31), r"transitions\[0\]\.partition: this int is no int"),
        (activity().model_copy(update={"committed_at": datetime(2026, 1, 1)}), "committed_at: this datetime is no timestamp-micros"),
        (activity().model_copy(update={"committed_at": 5}), "committed_at: this int is no timestamp-micros"),
    ],
)
def test_a_message_that_breaks_its_schema_is_refused_with_the_path(message: Message, words: str, codec: AvroCodec) -> None:
    with pytest.raises(ContractBroken, match=rf"^{message.schema_name}: .*{words}"):
        codec.encode(message)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("key", "text", "key: this str is no bytes"),
        ("duration_ms", "1", "duration_ms: this str is no double"),
        ("business_keys", {"order": 1}, r"business_keys\['order'\]: this int is no string"),
        ("business_keys", {1: "order"}, r"business_keys\[1\]: this int is no string"),
        ("business_keys", (), "business_keys: this tuple is no map"),
        ("outputs", ("a", None), r"outputs\[1\]: null is no string"),
    ],
)
def test_inside_parts_too(field: str, value: Any, words: str, codec: AvroCodec) -> None:
    (transition,) = activity().transitions
    with pytest.raises(ContractBroken, match=rf"transitions\[0\]\.{words}"):
        codec.encode(activity().model_copy(update={"transitions": (transition.model_copy(update={field: value}),)}))


def test_a_boolean_is_true_or_false(codec: AvroCodec) -> None:
    kind = next(kind for kind in MESSAGES if kind.__name__ == "ProductChanged")
    message = codec.decode(codec.encode(_example(kind)), kind)
    with pytest.raises(ContractBroken, match="active: this int is no boolean"):
        codec.encode(message.model_copy(update={"active": 1}))


def _example(kind: type[Message]) -> Message:
    examples: dict[Any, Any] = {
        str: "x",
        int: 1,
        bool: True,
        Decimal: Decimal(1),
        AwareDatetime: datetime(2026, 1, 1, tzinfo=UTC),
        date: date(2026, 1, 1),
    }
    required: dict[str, Any] = {name: info.annotation for name, info in kind.model_fields.items() if info.is_required()}
    return kind(**{name: examples[getattr(annotation, "__supertype__", annotation)] for name, annotation in required.items()})


def test_the_refusal_does_not_tell_the_value(codec: AvroCodec) -> None:
    with pytest.raises(ContractBroken) as caught:
        codec.encode(create_order().model_copy(update={"bill_to": b"Somebody in particular"}))
    assert "Somebody" not in str(caught.value)


def test_decimals_are_exact_whatever_the_context_of_the_thread(codec: AvroCodec) -> None:
    message = order_booked(total_amount=Decimal("12345678901234.5678"))
    with decimal.localcontext(decimal.Context(prec=3)):
        assert codec.decode(codec.encode(message), OrderBooked) == message
    assert codec.decode(codec.encode(order_booked(total_amount=Decimal("1.50000000"))), OrderBooked) == order_booked(
        total_amount=Decimal("1.5")
    )


def test_a_message_larger_than_the_limit_is_not_written(registry: MemoryRegistry) -> None:
    small = AvroCodec(registry, max_value_bytes=100)
    small.prepare([OrderBooked])
    with pytest.raises(ContractBroken, match="bytes are more than the 100"):
        small.encode(order_booked(number="7" * 100))


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
    header = codec.encode(next(message for message in (order_booked(), create_order(), activity(), *_examples()) if type(message) is kind))[
        :5
    ]

    @settings(max_examples=400)
    @given(st.binary(max_size=300))
    def random_bytes(body: bytes) -> None:
        _decode_or_refuse(codec, header + body, kind)

    random_bytes()


def _examples() -> list[Message]:
    fields = {"instance_id": "i", "process": "p", "version": 1, "step": "", "aggregate_version": 1, "business_keys": {"a": "b"}}
    changed = ProcessChanged(**fields, changed_at=datetime(2026, 1, 1, tzinfo=UTC))
    return [changed, _example(QuoteApproved)]


def _decode_or_refuse(codec: AvroCodec, value: bytes, kind: type[Message]) -> None:
    try:
        message = codec.decode(value, kind)
    except Undecodable:
        return
    assert codec.decode(codec.encode(message), kind) == message


@settings(max_examples=400)
@given(st.data())
def test_damaged_values_are_a_message_or_undecodable(data: st.DataObject) -> None:
    codec = _own_codec()
    message = data.draw(st.sampled_from([order_booked(), create_order(), activity(key=b"k", code="x")]))
    value = bytearray(codec.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(5, len(value) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_refuse(codec, bytes(value), type(message))


def _own_codec() -> AvroCodec:
    registry = MemoryRegistry()
    kinds = (OrderBooked, CreateOrder, Activity)
    for kind in kinds:
        registry.register(subject_of(kind), read(kind).text)
    codec = AvroCodec(registry)
    codec.prepare(kinds)
    return codec


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


def test_an_id_is_learnt_once_and_then_the_registry_is_not_needed(codec: AvroCodec, registry: MemoryRegistry) -> None:
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


def test_an_id_that_the_registry_does_not_know_is_undecodable_and_a_registry_that_is_down_is_not() -> None:
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


# Values of other versions

Change = Callable[[dict[str, Any]], object]


def field_of(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(field for field in schema["fields"] if field["name"] == name)
    return found


def line_of(schema: dict[str, Any]) -> dict[str, Any]:
    items: dict[str, Any] = field_of(schema, "lines")["type"]["items"]
    return items


def add(name: str, avro: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": avro, **more}


NESTED = {
    "type": "record",
    "name": "Extra",
    "fields": [add("a", "string"), add("b", {"type": "array", "items": ["null", "double"]}), add("c", "boolean")],
}
SOMETHING = {"text": "x", "raw": b"y", "flag": True, "number": 7, "half": 0.5, "whole": 1.5, "level": "b", "maybe": None}
SOMETHING |= {"many": {"k": [1, 2]}, "extra": {"a": "z", "b": [None, 1.0], "c": False}, "fixed": b"1234", "nothing": None}
EXTRAS = [
    add("text", "string"),
    add("raw", "bytes"),
    add("flag", "boolean"),
    add("number", "int"),
    add("half", "float"),
    add("whole", "double"),
    add("level", {"type": "enum", "name": "Lev", "symbols": ["a", "b"]}),
    add("maybe", ["null", "string"]),
    add("many", {"type": "map", "values": {"type": "array", "items": "long"}}),
    add("extra", NESTED),
    add("fixed", {"type": "fixed", "name": "F4", "size": 4}),
    add("nothing", "null"),
]


@pytest.mark.parametrize(
    ("change", "record", "expected"),
    [
        (lambda schema: schema["fields"].insert(0, schema["fields"].pop()), {}, {}),
        (lambda schema: schema["fields"].extend(EXTRAS), SOMETHING, {}),
        (lambda schema: schema["fields"].remove(field_of(schema, "purchase_order_number")), {}, {"purchase_order_number": None}),
        (lambda schema: schema["fields"].remove(field_of(schema, "lines")), {}, {"lines": ()}),
        (lambda schema: schema.pop("doc"), {}, {}),
        (
            lambda schema: field_of(schema, "purchase_order_number").update(type="string", default=""),
            {"purchase_order_number": "7"},
            {"purchase_order_number": "7"},
        ),
        (lambda schema: field_of(schema, "purchase_order_number").update(type=["string", "null"], default="x"), {}, {}),
        (lambda schema: field_of(schema, "currency").update(type={"type": "string", "avro.java.string": "String"}), {}, {}),
        # for these, fastavro resolves
        (lambda schema: field_of(schema, "currency").update(type="bytes"), {"currency": b"SEK"}, {"currency": "SEK"}),
        (lambda schema: field_of(schema, "currency").update(type=["null", "string"]), {"currency": "SEK"}, {"currency": "SEK"}),
    ],
)
def test_a_value_of_another_version_is_read_as_ours(change: Change, record: dict[str, Any], expected: dict[str, Any]) -> None:
    message = create_order()
    assert _read_as_ours(change, message, record) == message.model_copy(update=expected)


def _read_as_ours(change: Change, message: Message, record: dict[str, Any]) -> Message:
    schema = copy.deepcopy(dict(read(type(message)).schema))
    change(schema)
    registry = MemoryRegistry()
    schema_id = registry.register("s", json.dumps(schema))
    out = io.BytesIO()
    out.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {**message.model_dump(), **record})
    codec = AvroCodec(registry)
    codec.learn(schema_id)
    for length in range(5, len(out.getvalue())):
        with pytest.raises(Undecodable):
            codec.decode(out.getvalue()[:length], type(message))
    return codec.decode(out.getvalue(), type(message))


def test_parts_and_symbols_of_another_version_are_read_as_ours() -> None:
    def change(schema: dict[str, Any]) -> None:
        fields = line_of(schema)["fields"]
        fields.insert(0, add("new", "string"))
        fields.remove(next(field for field in fields if field["name"] == "ends_on"))
        charge_type = next(field for field in fields if field["name"] == "charge_type")["type"]
        charge_type["symbols"] = ["tiered", "recurring", "unknown"]

    message = create_order(lines=(order_line(), order_line(charge_type=ChargeType.RECURRING, ends_on=date(2027, 1, 1))))
    lines = [
        {**line.model_dump(), "new": "n", "charge_type": symbol}
        for line, symbol in zip(message.lines, ("tiered", "recurring"), strict=True)
    ]
    read_back = _read_as_ours(change, message, {"lines": lines})
    assert isinstance(read_back, CreateOrder)
    assert [(line.charge_type, line.ends_on) for line in read_back.lines] == [(ChargeType.UNKNOWN, None), (ChargeType.RECURRING, None)]


def test_both_ways_of_resolving_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated function reads other versions as fastavro does."""

    def change(schema: dict[str, Any]) -> None:
        schema["fields"].extend(EXTRAS)
        schema["fields"].remove(field_of(schema, "purchase_order_number"))

    fast = _read_as_ours(change, create_order(), SOMETHING)

    def refuse(writer: Any, reader: Any, kind: Any) -> Any:
        if writer is not reader:
            raise NotAlikeError
        return compile_decoder(writer, reader, kind)

    monkeypatch.setattr(codec_module, "compile_decoder", refuse)
    assert _read_as_ours(change, create_order(), SOMETHING) == fast


def test_an_incompatible_version_is_undecodable() -> None:
    changes: list[tuple[Change, dict[str, Any]]] = [
        (lambda schema: schema["fields"].remove(field_of(schema, "currency")), {}),
        (lambda schema: field_of(schema, "currency").update(type="long"), {"currency": 5}),
        (lambda schema: field_of(schema, "currency").update(type=["null", "string"]), {"currency": None}),
        (lambda schema: schema.update(name="Other"), {}),
    ]
    for change, record in changes:
        with pytest.raises(Undecodable, match=r"the value is no erp\.v1\.CreateOrder of schema id 1"):
            _read_as_ours(change, create_order(), record)


# Classes with fewer fields


class ShortLine(Part):
    unit_price: Decimal


class ShortOrder(Event):
    topic: ClassVar[str] = CreateOrder.topic
    schema_name: ClassVar[str] = CreateOrder.schema_name
    key_field: ClassVar[str] = "order_id"
    aggregate_version: int = 0
    order_id: str
    lines: tuple[ShortLine, ...] = ()


def test_a_class_with_fewer_fields_reads_only_those(codec: AvroCodec) -> None:
    read_back = codec.decode(codec.encode(create_order()), ShortOrder)
    assert read_back == ShortOrder(order_id="SO-1", lines=(ShortLine(unit_price=Decimal(9)), ShortLine(unit_price=Decimal(9))))


def test_an_enum_may_be_read_as_text(codec: AvroCodec) -> None:
    class Line(Part):
        charge_type: str

    class Order(ShortOrder):
        lines: tuple[Line, ...] = ()  # type: ignore[assignment]

    read_back = codec.decode(codec.encode(create_order()), Order)
    assert [line.charge_type for line in read_back.lines] == ["unknown", "recurring"]  # type: ignore[attr-defined]


class WithMore(ShortOrder):
    mood: str


class WithConstraint(ShortOrder):
    currency: Annotated[str, Field(min_length=3)]


class WithValidator(ShortOrder):
    @field_validator("order_id")
    @classmethod
    def check(cls, order_id: str) -> str:
        return order_id


class WithList(ShortOrder):
    lines: list[ShortLine] = []  # type: ignore[assignment]


class WithDicts(ShortOrder):
    lines: tuple[dict[str, str], ...] = ()  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (WithMore, r"WithMore\.mood is no field of the schema"),
        (WithConstraint, r"WithConstraint\.currency has constraints"),
        (WithValidator, "WithValidator has validators"),
        (WithList, "annotate tuple"),
        (WithDicts, "annotate a class of its fields"),
    ],
)
def test_a_class_that_asks_for_what_decoding_does_not_do_is_refused(kind: type[Message], words: str, codec: AvroCodec) -> None:
    with pytest.raises(ContractBroken, match=words):
        codec.decode(codec.encode(create_order()), kind)


def test_a_problem_is_read_as_a_part(codec: AvroCodec) -> None:
    problem = Problem(entity="tax-code", id="25", field="lines[0].tax_code", code="unknown-tax-code", hint="add it")
    rejected = OrderRejected(order_id="SO-1", quote_id="Q-1", problems=(problem,), aggregate_version=1)
    assert codec.decode(codec.encode(rejected), OrderRejected).problems == (problem,)  # type: ignore[attr-defined]


def test_names_that_every_message_uses_are_found_under_their_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Event):
        topic: ClassVar[str] = "odd.odd.v1"
        schema_name: ClassVar[str] = "odd.v1.Odd"
        key_field: ClassVar[str] = "from_"
        from_: str
        key_: str

    fields = [add("from", "string"), add("key", "string"), add("aggregate_version", "long")]
    file = parse("odd/odd.v1.avsc", json.dumps({"type": "record", "name": "Odd", "namespace": "odd.v1", "fields": fields}))
    monkeypatch.setattr(codec_module, "read", lambda _: file)
    registry = MemoryRegistry()
    registry.register(subject_of(Odd), file.text)
    codec = AvroCodec(registry)
    codec.prepare([Odd])
    odd = Odd(from_="here", key_="k", aggregate_version=1)
    assert codec.encode(odd)[5:] == b"\x08here\x02k\x02"
    assert codec.decode(codec.encode(odd), Odd) == odd


def test_text_of_a_foreign_schema_does_not_become_source() -> None:
    """A registry is outside: a field's name there may be anything. fastavro refuses most; it must not depend on that."""
    field = add("'];raise SystemExit(1)#", "string")
    schema = copy.deepcopy(dict(read(OrderBooked).schema))
    schema["fields"].append(field)
    ours = parse_schema(read(OrderBooked).text)
    theirs = replace(ours, types={ours.root: {**ours.types[ours.root], "fields": schema["fields"]}})
    codec = _own_codec()
    value = codec.encode(order_booked()) + b"\x02x"
    assert compile_decoder(theirs, ours, OrderBooked)(value) == order_booked()
