"""Generates the function that turns one value into one typed message: from bytes to objects in one pass, with no dictionaries in between.

What the bytes were written with is checked by reading them, so that pydantic does not validate again. The function reads with the writer's
schema and takes the differences that compatible changes make: fields more, fewer or in another order, other symbols. For the rest the
codec has a slower way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import EnumType
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from integration_fabric.backends.avro import binary
from integration_fabric.backends.avro.parsed import ParsedSchema
from integration_fabric.backends.avro.source import Source
from integration_fabric.governance.message_source import attribute_name
from integration_fabric.messages.base import Message
from integration_fabric.messages.errors import ContractBroken

HEADER_BYTES = 5
"""Magic byte and schema id, before the body."""

_READERS = {
    "boolean": "read_boolean",
    "int": "read_int",
    "long": "read_long",
    "double": "read_double",
    "bytes": "read_bytes",
}
_LOGICAL_READERS: Mapping[tuple[str, str, int | None, int | None], str] = {
    ("bytes", "decimal", binary.DECIMAL_PRECISION, binary.DECIMAL_SCALE): "read_decimal",
    ("long", "timestamp-micros", None, None): "read_timestamp",
    ("int", "date", None, None): "read_date",
}
_SLOTS = {
    "SET_FIELDS": BaseModel.__dict__["__dict__"].__set__,
    "SET_FIELDS_SET": BaseModel.__dict__["__pydantic_fields_set__"].__set__,
    "SET_EXTRA": BaseModel.__dict__["__pydantic_extra__"].__set__,
    "SET_PRIVATE": BaseModel.__dict__["__pydantic_private__"].__set__,
}
"""What a pydantic model consists of; validation sets the same four."""


class NotAlikeError(Exception):
    """The two schemas differ by more than this module reads."""


def compile_decoder(writer: ParsedSchema, reader: ParsedSchema, kind: type[Message]) -> Callable[[bytes], Message]:
    """Make the function.

    Args:
        writer: What the values were written with.
        reader: Our own schema of this message type.
        kind: What is made of a value: the generated class, or one with fewer fields.

    Returns:
        Takes a value with its header. Raises ValueError, IndexError, ArithmeticError or struct.error where the bytes are not of the schema,
        or do not end where the message does.

    Raises:
        NotAlikeError: The schemas differ by more than fields and symbols.
        ContractBroken: The class asks for what its schema does not have, or for more than being filled.
    """
    if writer.root != reader.root:
        raise NotAlikeError(f"{writer.root} is read as {reader.root}")
    generator = _Generator(writer, reader)
    source = generator.source
    source.line(f"i = {HEADER_BYTES}")
    message = generator.record(writer.root, reader.root, kind)
    source.line("if i != len(b): raise ValueError('bytes are left over or missing')")
    source.line(f"return {message}")
    return source.compile("decode", file=f"decoder of {kind.__name__}")


class _Generator:
    """Walks both schemas; each method adds the lines that read one thing, and returns the name of its value."""

    def __init__(self, writer: ParsedSchema, reader: ParsedSchema) -> None:
        self._writer = writer
        self._reader = reader
        self.source = Source("def decode(b):")
        self._constants: dict[int, str] = {}

    def record(self, written: str, wanted: str, model: type[BaseModel]) -> str:
        """A record that becomes an object."""
        ours = self._fields(self._reader, wanted)
        in_message = issubclass(model, Message)
        attributes = {attribute_name(name, in_message=in_message): field for name, field in ours.items()}
        _refuse_model(model, attributes)
        values: dict[str, str] = {}
        for name, field in self._fields(self._writer, written).items():
            attribute = attribute_name(name, in_message=in_message)
            if name in ours and attribute in model.model_fields:
                values[attribute] = self._value(field["type"], ours[name]["type"], model.model_fields[attribute].annotation)
            else:
                self._skip(field["type"])
        for attribute, info in model.model_fields.items():
            if attribute not in values:
                values[attribute] = self._default(info, attributes.get(attribute, {}))
        return self._object(model, {attribute: values[attribute] for attribute in model.model_fields})

    def _object(self, model: type[BaseModel], values: Mapping[str, str]) -> str:
        source, made = self.source, self.source.variable()
        source.line(f"{made} = {self._constant(object.__new__)}({self._constant(model)})")
        source.line(
            f"{self._constant(_SLOTS['SET_FIELDS'])}({made}, {{{', '.join(f'{name!r}: {value}' for name, value in values.items())}}})"
        )
        source.line(f"{self._constant(_SLOTS['SET_FIELDS_SET'])}({made}, {source.constant(set(values))})")
        source.line(f"{self._constant(_SLOTS['SET_EXTRA'])}({made}, None)")
        source.line(f"{self._constant(_SLOTS['SET_PRIVATE'])}({made}, None)")
        return made

    def _default(self, info: FieldInfo, field: Mapping[str, Any]) -> str:
        if info.is_required() or field.get("aliases"):
            raise NotAlikeError("a field without a default, or under another name")
        value = info.get_default(call_default_factory=True, validated_data={})
        return "{}" if value == {} else self.source.constant(value)

    def _value(self, written: Any, wanted: Any, annotation: Any) -> str:
        if isinstance(wanted, list):
            return self._optional(written, wanted, annotation)
        if isinstance(written, str) and written in self._writer.types:
            return self._named(written, wanted, annotation)
        if isinstance(written, dict) and written["type"] in {"array", "map"}:
            return self._items(written, wanted, annotation)
        return self._leaf(written, wanted)

    def _leaf(self, written: Any, wanted: Any) -> str:
        known = _leaf_of(written)
        if known != _leaf_of(wanted) and (known, _leaf_of(wanted)) != ("int", "long"):
            raise NotAlikeError(f"{written} is read as {wanted}")
        value = self.source.variable()
        if known == "string":
            self._length()
            self.source.line(f"{value} = b[i:j].decode()")
            self.source.line("i = j")
        else:
            self.source.line(f"{value}, i = {_READERS.get(known) or known}(b, i)")
        return value

    def _length(self) -> None:
        """Most lengths are one byte, and reading it here saves a call for every string."""
        self.source.line("n = SHORT_LENGTHS[b[i]]")
        with self.source.block("if n < 0:"):
            self.source.line("n, i = read_length(b, i)")
        with self.source.block("else:"):
            self.source.line("i += 1")
        self.source.line("j = i + n")

    def _optional(self, written: Any, wanted: list[Any], annotation: Any) -> str:
        (inner,) = [member for member in wanted if member != "null"]
        inside = next((member for member in get_args(annotation) if member is not type(None)), annotation)
        if not isinstance(written, list):
            return self._value(written, inner, inside)
        value = self.source.variable()

        def read(member: Any) -> None:
            self.source.line(f"{value} = {'None' if member == 'null' else self._value(member, inner, inside)}")

        self._branches(written, read)
        return value

    def _branches(self, written: list[Any], read: Callable[[Any], None]) -> None:
        branch = self.source.variable()
        self.source.line(f"{branch} = b[i]")
        self.source.line("i += 1")
        for index, member in enumerate(written):
            with self.source.block(f"{'el' if index else ''}if {branch} == {index << 1}:"):
                read(member)
        with self.source.block("else:"):
            self.source.line("raise ValueError('no such branch')")

    def _named(self, written: str, wanted: Any, annotation: Any) -> str:
        theirs, ours = self._writer.types[written], self._reader.types.get(str(wanted))
        if ours is None or theirs["type"] != ours["type"] or written != wanted or theirs["type"] == "fixed":
            raise NotAlikeError(f"{written} is read as {wanted}")
        if theirs["type"] == "enum":
            return self._enum(theirs["symbols"], ours, annotation)
        if not isinstance(annotation, type) or not issubclass(annotation, BaseModel):
            raise ContractBroken(f"{written} is read into {annotation}; annotate a class of its fields")
        return self.record(written, wanted, annotation)

    def _enum(self, symbols: list[str], ours: Mapping[str, Any], annotation: Any) -> str:
        known = [symbol if symbol in ours["symbols"] else ours.get("default") for symbol in symbols]
        if None in known:
            raise NotAlikeError("a symbol that is not known here, and no default")
        members = tuple(annotation(symbol) for symbol in known) if isinstance(annotation, EnumType) else tuple(known)
        value = self.source.variable()
        self._length()
        self.source.line(f"{value} = {self.source.constant(members)}[n]")
        return value

    def _items(self, written: Mapping[str, Any], wanted: Any, annotation: Any) -> str:
        of = "items" if written["type"] == "array" else "values"
        if not isinstance(wanted, dict) or wanted.get("type") != written["type"]:
            raise NotAlikeError(f"{written['type']} is read as {wanted}")
        arguments = get_args(annotation)
        if (of == "items") is not (get_origin(annotation) is tuple):
            raise ContractBroken(
                f"an {written['type']} is read into {annotation}; annotate tuple[..., ...] for an array, Mapping for a map"
            )
        value, source = self.source.variable(), self.source
        source.line(f"{value} = {'[]' if of == 'items' else '{}'}")
        with self._blocks():
            if of == "items":
                source.line(f"{value}.append({self._value(written[of], wanted[of], arguments[0])})")
            else:
                key = self._leaf("string", "string")
                source.line(f"{value}[{key}] = {self._value(written[of], wanted[of], arguments[1])}")
        return f"tuple({value})" if of == "items" else value

    @contextmanager
    def _blocks(self) -> Iterator[None]:
        """What is added inside runs once for each item of an array or map."""
        count, source = self.source.variable(), self.source
        self._count(count)
        with source.block(f"while {count}:"):
            with source.block(f"for _ in range({count}):"):
                yield
            self._count(count)

    def _count(self, count: str) -> None:
        """Most counts are one byte, as lengths."""
        self.source.line(f"{count} = SHORT_LENGTHS[b[i]]")
        with self.source.block(f"if {count} < 0:"):
            self.source.line(f"{count}, i = read_count(b, i)")
        with self.source.block("else:"):
            self.source.line("i += 1")

    def _skip(self, written: Any) -> None:
        if isinstance(written, list):
            self._branches(written, lambda member: self.source.line("pass") if member == "null" else self._skip(member))
        elif isinstance(written, dict) and written["type"] in {"array", "map"}:
            with self._blocks():
                if written["type"] == "map":
                    self._skip("string")
                self._skip(written.get("items", written.get("values")))
        elif isinstance(written, str) and written in self._writer.types:
            self._skip_named(self._writer.types[written])
        else:
            self._skip_leaf(written["type"] if isinstance(written, dict) else written)

    def _skip_named(self, definition: Mapping[str, Any]) -> None:
        if definition["type"] == "enum":
            self._length()
            self.source.line(f"if n >= {len(definition['symbols'])}: raise ValueError('no such symbol')")
        elif definition["type"] == "record":
            for field in definition["fields"]:
                self._skip(field["type"])
        else:
            self.source.line(f"i += {int(definition['size'])}")

    def _skip_leaf(self, primitive: str) -> None:
        if primitive in {"string", "bytes"}:
            self._length()
            self.source.line("i = j")
        elif primitive == "float":
            self.source.line("i += 4")
        elif primitive != "null":
            self.source.line(f"_, i = {_READERS[primitive]}(b, i)")

    def _fields(self, schema: ParsedSchema, record: str) -> dict[str, Mapping[str, Any]]:
        return {field["name"]: field for field in schema.types[record]["fields"]}

    def _constant(self, value: object) -> str:
        """One name for what is used again and again."""
        if id(value) not in self._constants:
            self._constants[id(value)] = self.source.constant(value)
        return self._constants[id(value)]


def _leaf_of(avro: Any) -> str:
    """What reads a single value, or `string`."""
    if isinstance(avro, dict) and "logicalType" in avro:
        logical = (avro["type"], avro["logicalType"], avro.get("precision"), avro.get("scale"))
        if logical in _LOGICAL_READERS:
            return _LOGICAL_READERS[logical]
    elif isinstance(avro, dict):
        return _leaf_of(avro["type"])
    elif isinstance(avro, str) and (avro == "string" or avro in _READERS):
        return avro
    raise NotAlikeError(f"{avro} is not read here")


def _refuse_model(model: type[BaseModel], attributes: Mapping[str, Any]) -> None:
    for attribute, info in model.model_fields.items():
        if attribute not in attributes and info.is_required():
            raise ContractBroken(f"{model.__name__}.{attribute} is no field of the schema; remove it, or give it a default")
        if info.metadata:
            raise ContractBroken(f"{model.__name__}.{attribute} has constraints, which decoding does not check; check them in the handler")
    decorators = model.__pydantic_decorators__
    if decorators.field_validators or decorators.model_validators or model.__private_attributes__ or model.__pydantic_post_init__:
        raise ContractBroken(f"{model.__name__} has validators or private attributes, which decoding passes over; move them to the handler")
