"""Values of other versions are read as ours, and classes with fewer fields read what they need."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import fastavro
import pytest
from avro_examples import create_order, order_booked, order_line, own_codec
from pydantic import Field, field_validator

from integration_fabric.backends.avro import codec as codec_module
from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.avro.decoder import NotAlikeError, compile_decoder
from integration_fabric.backends.avro.parsed import parse_schema
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.governance.ports import subject_of
from integration_fabric.governance.schema_files import parse, read
from integration_fabric.messages.base import Event, Message, Part
from integration_fabric.messages.errors import ContractBroken, Undecodable
from integration_fabric.messages.orders import CreateOrder, OrderBooked, OrderRejected
from integration_fabric.messages.problems import Problem
from integration_fabric.messages.quotes import ChargeType

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
    codec = own_codec()
    value = codec.encode(order_booked()) + b"\x02x"
    assert compile_decoder(theirs, ours, OrderBooked)(value) == order_booked()
