"""A schema as the generators of encoders and decoders take it: its named types apart, and known to be safe to read with."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise Undecodable("the schema is no Avro record")
        file = SchemaFile("", schema)
        parsed = ParsedSchema(file.full_name, {name: named.definition for name, named in collect([file]).items()}, _fastavro(schema))
    except (ValueError, TypeError, KeyError, AttributeError, UsageProblem, fastavro.schema.SchemaParseException) as error:
        raise Undecodable(f"the schema is no Avro record: {error}") from error
    _refuse_unbounded(parsed.root, parsed, ())
    return parsed


def _fastavro(schema: dict[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", fastavro.parse_schema(schema))


def _refuse_unbounded(avro: Any, schema: ParsedSchema, path: tuple[str, ...]) -> None:
    """A type that holds itself could nest as deep as a value has bytes; an array of nothing could have as many items as it says."""
    if isinstance(avro, str) and avro in path:
        raise Undecodable(f"the schema's {avro} holds itself")
    for inner in _inside(avro, schema):
        _refuse_unbounded(inner, schema, (*path, avro) if isinstance(avro, str) else path)
    if isinstance(avro, dict) and "items" in avro and _smallest(avro["items"], schema) == 0:
        raise Undecodable("the schema has an array of items that take no bytes")


def _inside(avro: Any, schema: ParsedSchema) -> list[Any]:
    if isinstance(avro, list):
        return avro
    if isinstance(avro, dict):
        return [avro[of] for of in ("items", "values") if of in avro]
    return [field["type"] for field in schema.types.get(avro, {}).get("fields", ())]


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
