"""Generates the function that writes one message type, and says what is wrong with a message that it cannot write.

pydantic has validated most messages, but not those made by `model_construct` or `model_copy`, and it knows nothing of scales and ranges. So
everything is checked against the schema while it is written; where that fails, `find_fault` looks for the field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from integration_fabric.backends.avro import binary
from integration_fabric.backends.avro.parsed import ParsedSchema
from integration_fabric.backends.avro.source import Source
from integration_fabric.governance.message_source import attribute_name
from integration_fabric.messages.base import Message

SEQUENCES = (tuple, list)

_REMEMBERED = 512
"""Values of one run of fields: topics by partition, or outcomes with their codes."""

_WRITERS: Mapping[str, Callable[[Any], bytes]] = {
    "boolean": binary.write_boolean,
    "int": binary.write_int,
    "long": binary.write_long,
    "double": binary.write_double,
    "bytes": binary.write_bytes,
    "string": binary.write_string,
    "decimal": binary.write_decimal,
    "timestamp-micros": binary.write_timestamp,
    "date": binary.write_date,
}


def compile_encoder(schema: ParsedSchema, kind: type[Message], header: bytes) -> Callable[[Message], bytes]:
    """Make the function.

    Args:
        schema: What the values are written with: this type's own.
        kind: The message type.
        header: Magic byte and schema id, in front of every body.

    Returns:
        Takes a message. What it raises where the message breaks the schema says little; ask `find_fault`.
    """
    generator = _Generator(schema)
    pieces = generator.record(schema.root, "m", in_message=True)
    generator.source.line(f"return {_joined([generator.source.constant(header), *pieces])}")
    return generator.source.compile("encode", file=f"encoder of {kind.__name__}")


def compile_fields_encoder(
    schema: ParsedSchema, record: str, *, header: bytes = b"", written: str | None = None, recurring: Iterable[tuple[str, ...]] = ()
) -> Callable[[Mapping[str, Any]], bytes]:
    """Make a function for what is written so often that no object should be made of it first.

    Args:
        schema: Where the record is defined.
        record: Its full name.
        header: In front of every value.
        written: Name of a field with an array whose items come as bytes, written already.
        recurring: Runs of neighbouring fields whose values come again and again together: their bytes are remembered.

    Returns:
        Takes the fields by their names in the schema. It trusts what it is given to be of the right types.
    """
    generator = _Generator(schema)
    runs = {run[0]: run for run in recurring}
    fields = {field["name"]: field for field in schema.types[record]["fields"]}
    values = {name: f"m[{name!r}]" for name in fields}
    remembered = {name for run in runs.values() for name in run}
    pieces: list[str] = []
    for name, field in fields.items():
        if name in runs:
            arguments = ", ".join(values[other] for other in runs[name])
            pieces.append(f"{generator.source.constant(_remembering(schema, [fields[other] for other in runs[name]]))}({arguments})")
        elif name not in remembered:
            pieces += (generator.written_items if name == written else generator.field)(field, values[name])
    generator.source.line(f"return {_joined([generator.source.constant(header), *pieces])}")
    return generator.source.compile("encode", file=f"encoder of {record}")


def _remembering(schema: ParsedSchema, fields: list[Mapping[str, Any]]) -> Callable[..., bytes]:
    """Make a function of the values of some fields that remembers what it returned."""
    names = [f"f{place}" for place in range(len(fields))]
    generator = _Generator(schema, f"def encode({', '.join(names)}):")
    pieces = [piece for field, name in zip(fields, names, strict=True) for piece in generator.field(field, name)]
    generator.source.line(f"return {_joined(pieces)}")
    return lru_cache(maxsize=_REMEMBERED)(
        generator.source.compile("encode", file=f"encoder of {', '.join(field['name'] for field in fields)}")
    )


class _Generator:
    """Walks the schema; each method adds the lines that prepare one value, and returns expressions of its bytes."""

    def __init__(self, schema: ParsedSchema, head: str = "def encode(m):") -> None:
        self._types = schema.types
        self.source = Source(head)

    def record(self, record: str, value: str, *, in_message: bool = False) -> list[str]:
        """Pieces of a record."""
        fields = self.source.variable()
        self.source.line(f"{fields} = {value}.__dict__")
        return [
            piece
            for field in self._types[record]["fields"]
            for piece in self.field(field, f"{fields}[{attribute_name(field['name'], in_message=in_message)!r}]")
        ]

    def field(self, field: Mapping[str, Any], value: str) -> list[str]:
        """Pieces of a field."""
        return self._pieces(field["type"], value)

    def written_items(self, _: Mapping[str, Any], value: str) -> list[str]:
        """Pieces of an array whose items are bytes already."""
        items = self.source.variable()
        self.source.line(f"{items} = {value}")
        return [f"*((LENGTHS[len({items})], *{items}) if {items} else ())", repr(b"\0")]

    def _pieces(self, avro: Any, value: str) -> list[str]:
        if isinstance(avro, list):
            return self._optional(avro, value)
        if isinstance(avro, dict) and avro["type"] in {"array", "map"}:
            return self._items(avro, value)
        if isinstance(avro, str) and avro in self._types:
            definition = self._types[avro]
            return (
                self.record(avro, value) if definition["type"] == "record" else [f"{self.source.constant(_symbols(definition))}[{value}]"]
            )
        leaf = _leaf_of(avro)
        if leaf != "string":
            return [f"{_WRITERS[leaf].__name__}({value})"]
        text = self.source.variable()  # written here, as a call for every string would cost as much as the string
        self.source.line(f"{text} = {value}.encode()")
        return [f"LENGTHS[len({text})]", text]

    def _optional(self, union: list[Any], value: str) -> list[str]:
        given, piece = self.source.variable(), self.source.variable()
        self.source.line(f"{given} = {value}")
        for branch, member in enumerate(union):
            tag = repr(bytes((branch << 1,)))
            with self.source.block(f"if {given} is {'None' if member == 'null' else 'not None'}:"):
                self.source.line(f"{piece} = {tag if member == 'null' else _joined([tag, *self._pieces(member, given)])}")
        return [piece]

    def _items(self, avro: Mapping[str, Any], value: str) -> list[str]:
        source = self.source
        items, pieces, item = source.variable(), source.variable(), source.variable()
        source.line(f"{items} = {value}")
        source.line(f"{pieces} = [LENGTHS[len({items})]] if {items} else []")
        if avro["type"] == "array":
            source.line(f"if {items}.__class__ not in {source.constant(SEQUENCES)}: raise TypeError")
            with source.block(f"for {item} in {items}:"):
                source.line(f"{pieces} += {_tuple(self._pieces(avro['items'], item))}")
        else:
            key = source.variable()
            with source.block(f"for {key}, {item} in {items}.items():"):
                source.line(f"{pieces} += {_tuple([*self._pieces('string', key), *self._pieces(avro['values'], item)])}")
        return [f"*{pieces}", repr(b"\0")]


def find_fault(message: Message, schema: ParsedSchema) -> str | None:
    """Say what is wrong with a message.

    Returns:
        The field's path and what it should be, without its value; None where nothing is found.
    """
    return next(_faults(schema.root, message, schema, in_message=True), None)


def _faults(avro: Any, value: Any, schema: ParsedSchema, *, in_message: bool = False, path: str = "") -> Iterator[str]:
    """Each fault in or below a value."""
    if isinstance(avro, list):
        if value is not None:
            yield from _faults(next(member for member in avro if member != "null"), value, schema, path=path)
    elif isinstance(avro, dict) and avro["type"] in {"array", "map"}:
        yield from _faults_of_items(avro, value, schema, path)
    elif isinstance(avro, str) and avro in schema.types and schema.types[avro]["type"] == "record":
        yield from _faults_of_record(schema.types[avro], value, schema, path=path, in_message=in_message)
    else:
        write = _symbols(schema.types[avro]).__getitem__ if isinstance(avro, str) and avro in schema.types else _WRITERS[_leaf_of(avro)]
        try:
            write(value)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
            yield f"{path}: {_described(value)} is no {avro if isinstance(avro, str) else _leaf_of(avro)}"


def _faults_of_record(definition: Mapping[str, Any], value: Any, schema: ParsedSchema, *, path: str, in_message: bool) -> Iterator[str]:
    if not isinstance(value, BaseModel):
        yield f"{path}: {_described(value)} is no {definition['name']}"
        return
    for field in definition["fields"]:
        inner = f"{path}.{field['name']}" if path else field["name"]
        attribute = attribute_name(field["name"], in_message=in_message)
        if attribute in value.__dict__:
            yield from _faults(field["type"], value.__dict__[attribute], schema, path=inner)
        else:
            yield f"{inner}: is missing"


def _faults_of_items(avro: Mapping[str, Any], value: Any, schema: ParsedSchema, path: str) -> Iterator[str]:
    pairs: Iterable[tuple[Any, Any]]
    if avro["type"] == "array" and isinstance(value, SEQUENCES):
        pairs = enumerate(value)
    elif avro["type"] == "map" and isinstance(value, Mapping):
        pairs = value.items()
    else:
        yield f"{path}: {_described(value)} is no {avro['type']}"
        return
    for key, item in pairs:
        if avro["type"] == "map":
            yield from _faults("string", key, schema, path=f"{path}[{key!r}]")
        yield from _faults(avro.get("items", avro.get("values")), item, schema, path=f"{path}[{key!r}]")


def _described(value: Any) -> str:
    """The value's type; the value itself may be nobody's business."""
    return "null" if value is None else f"this {type(value).__name__}"


def _symbols(definition: Mapping[str, Any]) -> dict[str, bytes]:
    return {symbol: binary.write_int(index) for index, symbol in enumerate(definition["symbols"])}


def _leaf_of(avro: Any) -> str:
    return str(avro.get("logicalType", avro["type"])) if isinstance(avro, dict) else str(avro)


def _tuple(pieces: list[str]) -> str:
    return f"({', '.join(pieces)},)"


def _joined(pieces: list[str]) -> str:
    return f"b''.join({_tuple(pieces)})"
