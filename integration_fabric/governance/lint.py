"""What a schema file must say before a message type is made of it: owner, key, replies, data classes, units.

`fabric schemas lint` and `make check` print the findings.
Compatibility with earlier versions is another question, and another module's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import fastavro.schema

from integration_fabric.governance.named_types import NamedType, collect
from integration_fabric.governance.schema_files import SUFFIX, SchemaFile
from integration_fabric.messages.errors import UsageProblem

DATA_CLASSES = frozenset({"public", "internal", "financial", "personal"})
KINDS = frozenset({"event", "command"})
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}
TIMESTAMP = {"type": "long", "logicalType": "timestamp-micros"}
DATE = {"type": "int", "logicalType": "date"}
MONEY_WORDS = frozenset({"amount", "price", "total", "balance", "fee", "cost"})
"""The last word of a field that holds money."""
MAX_DOC = 110
"""Characters of a doc's first sentence: it becomes one line of source, indented."""

_NO_SCHEMA = (
    UsageProblem,
    fastavro.schema.SchemaParseException,
    fastavro.schema.UnknownType,
    *(KeyError, TypeError, ValueError, AttributeError),  # what fastavro raises where a schema lacks a part, or has another in its place
)

_Fields = Sequence[Mapping[str, Any]]
_Found = Iterator[tuple[str, str, str]]
"""Path, code, message."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to refuse a schema file."""

    file: str
    """Below the repository, e.g. `schemas/erp/order-booked.v1.avsc`."""
    path: str
    """Where in the file, e.g. `lines.unit_price`; empty for the record."""
    code: str
    """Stable, e.g. `money-type`."""
    message: str
    """What is wrong, and what to write instead."""

    def __str__(self) -> str:
        place = f"{self.file}: {self.path}" if self.path else self.file
        return f"{place}: {self.message} [{self.code}]"


@dataclass(frozen=True, slots=True)
class _Record:
    """A record inside a file, and what stands around it."""

    fields: _Fields
    path: str
    has_currency: bool


def lint(files: Iterable[SchemaFile]) -> list[Finding]:
    """Check schema files.

    Args:
        files: All of them: replies and shared parts are looked up in the others.

    Returns:
        What was found, by file; empty where all is well.
    """
    files = tuple(files)
    kinds = {file.full_name: file.schema.get("kind") for file in files}
    found = [Finding(f"schemas/{file.path}", *what) for file in files for what in _of_file(file, kinds)]
    return found or _shared(files)


def _of_file(file: SchemaFile, kinds: Mapping[str, Any]) -> _Found:
    try:
        fastavro.schema.parse_schema(dict(file.schema))
        types = collect([file])
    except _NO_SCHEMA as error:
        yield "", "avro", f"no Avro schema ({type(error).__name__}: {error}); correct it"
        return
    if file.full_name not in types or not types[file.full_name].is_message or "fields" not in file.schema:
        yield "", "avro", "not a record; write one record a file"
        return
    yield from chain.from_iterable(rule(file, kinds) for rule in _FILE_RULES)
    yield from chain.from_iterable(_named(named) for named in types.values())
    yield from _fields(_Record(file.schema["fields"], "", has_currency=False))


def _shared(files: Iterable[SchemaFile]) -> list[Finding]:
    try:
        collect(files)
    except UsageProblem as problem:
        path, _, message = str(problem).partition(": ")
        return [Finding(path, "", "shared", message)]
    return []


def _names(file: SchemaFile, _: Mapping[str, Any]) -> _Found:
    folder, name = file.path.rsplit("/", 1)
    schema = file.schema
    domain, namespace = schema.get("domain"), str(schema.get("namespace"))
    major = namespace.rpartition(".v")[2]
    kebab = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", str(schema.get("name"))).lower()
    if not domain or not isinstance(domain, str):
        yield "", "domain", "lacks `domain`, the part of the business that it belongs to"
    elif folder != domain:
        yield "", "folder", f"domain is {domain!r}, so it belongs into schemas/{domain}/"
    if not major.isdigit() or namespace != f"{str(domain).replace('-', '_')}.v{major}":
        yield "", "namespace", f"namespace is {namespace!r}; write {str(domain).replace('-', '_')}.v<major>"
    elif name != f"{kebab}.v{major}{SUFFIX}":
        yield "", "file-name", f"the record's name asks for {kebab}.v{major}{SUFFIX}"


def _facts(file: SchemaFile, _: Mapping[str, Any]) -> _Found:
    schema = file.schema
    if not schema.get("owner") or not isinstance(schema["owner"], str):
        yield "", "owner", "lacks `owner`, who approves changes"
    if schema.get("kind") not in KINDS:
        yield "", "kind", f"kind is {schema.get('kind')!r}; write event or command"
    if not isinstance(schema.get("compacted", False), bool):
        yield "", "compacted", "compacted is true or false"
    key = next((described for described in schema["fields"] if described["name"] == schema.get("key")), None)
    if key is None:
        yield "", "key", f"key is {schema.get('key')!r}, which is no field; name the field with the canonical id of the aggregate"
    elif key["type"] != "string":
        yield key["name"], "key", "the key is a string that is always there"


def _version(file: SchemaFile, _: Mapping[str, Any]) -> _Found:
    if file.schema.get("kind") == "event" and _types(file.schema["fields"]).get("aggregate_version") != "long":
        yield "", "aggregate-version", "an event carries `aggregate_version`, a long"


def _replies(file: SchemaFile, kinds: Mapping[str, Any]) -> _Found:
    replies = file.schema.get("replies")
    if file.schema.get("kind") != "command":
        if replies is not None:
            yield "", "replies", "only a command has replies"
        return
    for reply in ("done", "refused"):
        name = replies.get(reply) if isinstance(replies, dict) else None
        if kinds.get(str(name)) != "event":
            yield "", "replies", f"reply `{reply}` is {name!r}; name an event that has a file, e.g. erp.v1.OrderBooked"


_FILE_RULES: tuple[Callable[[SchemaFile, Mapping[str, Any]], _Found], ...] = (_names, _facts, _version, _replies)


def _named(named: NamedType) -> _Found:
    definition = named.definition
    path = "" if named.is_message else named.name
    yield from _doc(definition, path)
    if not str(definition.get("noun", "")).isidentifier():
        yield path, "noun", "lacks `noun`, the module of its class, e.g. orders"
    if definition["type"] == "enum" and definition.get("default") not in definition["symbols"]:
        yield path, "enum-default", "an enum has a default, one of its symbols, for readers that do not know a new one"


def _fields(record: _Record) -> _Found:
    has_currency = record.has_currency or _types(record.fields).get("currency") == "string"
    for described in record.fields:
        path = f"{record.path}.{described['name']}" if record.path else described["name"]
        here = _Record(record.fields, path, has_currency)
        yield from chain.from_iterable(rule(described, here) for rule in _FIELD_RULES)
        inner = _inner(described["type"])
        if inner is not None:
            yield from _fields(_Record(inner, path, has_currency))


def _inner(avro: Any) -> _Fields | None:
    """Fields of the record that a field holds, one or many; None where it holds none or refers to one that was seen."""
    avro = _not_null(avro)
    if isinstance(avro, dict) and avro["type"] in {"array", "map"}:
        return _inner(avro.get("items", avro.get("values")))
    return avro["fields"] if isinstance(avro, dict) and avro["type"] == "record" else None


def _doc(described: Mapping[str, Any], path: str) -> _Found:
    doc = described.get("doc")
    if not isinstance(doc, str) or not doc.strip():
        yield path, "doc", "lacks `doc`; say what it is in a sentence"
    elif len(doc.partition(". ")[0]) > MAX_DOC:
        yield path, "doc", f"the doc's first sentence has more than {MAX_DOC} characters; shorten it"


def _field_doc(described: Mapping[str, Any], record: _Record) -> _Found:
    yield from _doc(described, record.path)
    if described.get("dataClass") not in DATA_CLASSES:
        yield record.path, "data-class", f"dataClass is {described.get('dataClass')!r}; write one of {', '.join(sorted(DATA_CLASSES))}"


def _keys(described: Mapping[str, Any], record: _Record) -> _Found:
    if "businessKey" in described and (not described["businessKey"] or _not_null(described["type"]) != "string"):
        yield record.path, "business-key", "businessKey names what a string identifies, e.g. order"
    native = described.get("nativeId")
    if native is not None and (not isinstance(native, dict) or not native.get("entity") or native.get("of") not in _types(record.fields)):
        yield record.path, "native-id", 'nativeId is {"entity": ..., "of": the field with the canonical id}'


def _identifier(described: Mapping[str, Any], record: _Record) -> _Found:
    name, avro = described["name"], _not_null(described["type"])
    if (name == "id" or name.endswith("_id")) and avro != "string":
        yield record.path, "id-type", "an identifier is a string"
    if name.endswith("_ids") and not (isinstance(avro, dict) and avro.get("items") == "string"):
        yield record.path, "id-type", "identifiers are an array of strings"


def _money(described: Mapping[str, Any], record: _Record) -> _Found:
    avro = _not_null(described["type"])
    is_money = described["name"].rpartition("_")[2] in MONEY_WORDS
    is_float = _primitive(avro) in ("float", "double")
    if (is_money and avro != DECIMAL) or (is_float and described.get("dataClass") == "financial"):
        yield record.path, "money-type", "money is bytes, decimal(18,4), never a float"
    elif isinstance(avro, dict) and avro.get("logicalType") == "decimal" and avro != DECIMAL:
        yield record.path, "decimal-size", "decimals are bytes, decimal(18,4)"
    if is_money and not record.has_currency:
        yield record.path, "money-currency", "money needs `currency`, a string, in its record or one around it"


def _time(described: Mapping[str, Any], record: _Record) -> _Found:
    name, avro = described["name"], _not_null(described["type"])
    logical = str(avro.get("logicalType", "")) if isinstance(avro, dict) else ""
    if (name.endswith("_at") or "time" in logical) and avro != TIMESTAMP:
        yield record.path, "time-type", "a time is a long, timestamp-micros, in UTC"
    if name.endswith("_on") and avro != DATE:
        yield record.path, "date-type", "a date is an int, date"


def _nullable(described: Mapping[str, Any], record: _Record) -> _Found:
    avro = described["type"]
    if isinstance(avro, list) and not (len(avro) == 2 and avro[0] == "null" and described.get("default", ...) is None):  # noqa: PLR2004 - a pair
        yield record.path, "union", 'of unions only ["null", type] with default null is supported'


_FIELD_RULES: tuple[Callable[[Mapping[str, Any], _Record], _Found], ...] = (_field_doc, _keys, _identifier, _money, _time, _nullable)


def _types(fields: _Fields) -> dict[str, Any]:
    return {described["name"]: described["type"] for described in fields}


def _not_null(avro: Any) -> Any:
    members = [member for member in avro if member != "null"] if isinstance(avro, list) else []
    return members[0] if len(members) == 1 else avro


def _primitive(avro: Any) -> Any:
    return avro.get("type") if isinstance(avro, dict) else avro
