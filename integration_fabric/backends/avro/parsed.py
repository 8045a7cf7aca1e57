"""A schema as the generators of encoders and decoders take it: its named types apart, and known to be safe to read with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import fastavro

from integration_fabric.governance.named_types import collect
from integration_fabric.governance.schema_files import SchemaFile
from integration_fabric.messages.errors import Undecodable, UsageProblem


@dataclass(frozen=True, slots=True)
class ParsedSchema:
    """One schema of a record."""

    root: str
    """Full name of the record."""
    types: Mapping[str, Mapping[str, Any]]
    """Records and enums by full name; inside each, named types stand as their full names."""
    fastavro: dict[str, Any]
    """For fastavro's own reader and writer."""


def parse_schema(text: str) -> ParsedSchema:
    """Parse a schema.

    Args:
        text: JSON.

    Raises:
        Undecodable: It is no Avro record, or one whose values could take unbounded memory or stack.
    """
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict) or schema.get("type") != "record" or "fields" not in schema:
            raise Undecodable("the schema is no Avro record")
        file = SchemaFile("", schema)
        parsed = ParsedSchema(file.full_name, {name: named.definition for name, named in collect([file]).items()}, _fastavro(schema))
    except (ValueError, TypeError, KeyError, AttributeError, UsageProblem, fastavro.schema.SchemaParseException) as error:
        raise Undecodable(f"the schema is no Avro record: {error}") from error
    _refuse_unbounded(parsed)
    return parsed


def _fastavro(schema: dict[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", fastavro.parse_schema(schema))


def _refuse_unbounded(schema: ParsedSchema) -> None:
    """An array of nothing could have as many items as it says, and cost no bytes."""
    for definition in schema.types.values():
        for field in definition.get("fields", ()):
            if any(_smallest(items, schema) == 0 for items in _items(field["type"])):
                raise Undecodable("the schema has an array of items that take no bytes")


def _items(avro: Any) -> Iterator[Any]:
    """What each array in a type is of."""
    if isinstance(avro, list):
        for member in avro:
            yield from _items(member)
    elif isinstance(avro, dict) and "items" in avro:
        yield avro["items"]
        yield from _items(avro["items"])
    elif isinstance(avro, dict) and "values" in avro:
        yield from _items(avro["values"])


def _smallest(avro: Any, schema: ParsedSchema) -> int:
    """Bytes of the smallest value: 0 or, for what takes any, 1."""
    if avro == "null":
        return 0
    if isinstance(avro, str) and avro in schema.types:
        definition = schema.types[avro]
        if definition["type"] == "fixed":
            return int(definition["size"] > 0)
        return max((_smallest(field["type"], schema) for field in definition["fields"]), default=0) if definition["type"] == "record" else 1
    return 1
