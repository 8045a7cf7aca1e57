"""Python source of the message types, already in the project's format. Pure; `generate` calls it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

from integration_fabric.governance.named_types import NamedType
from integration_fabric.messages import ids
from integration_fabric.messages.base import Command, Message, Part
from integration_fabric.messages.errors import UsageProblem

CATALOGUE = "catalogue"
WIDTH = 140
"""Of the project's formatter."""
NOTICE = "Generated from schemas/ by `make generate`; edit the schema files."

_IDS = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): name for name, value in vars(ids).items() if hasattr(value, "__supertype__")}
"""Field name to nominal type, e.g. `quote_id` to `QuoteId`."""
_LOGICAL = {
    ("bytes", "decimal"): ("decimal", "Decimal"),
    ("long", "timestamp-micros"): ("pydantic", "AwareDatetime"),
    ("int", "date"): ("datetime", "date"),
}
_PRIMITIVE = {"boolean": "bool", "int": "int", "long": "int", "float": "float", "double": "float", "bytes": "bytes", "string": "str"}
_FIRST_PARTY = "integration_fabric.messages."
_TAKEN_IN_PARTS = frozenset(dir(Part))
_TAKEN_IN_MESSAGES = frozenset(dir(Message)) | Message.__class_vars__ | Command.__class_vars__


@dataclass(slots=True)
class Module:
    """One module while it is written."""

    noun: str
    types: Mapping[str, NamedType]
    topics: Mapping[str, str]
    """Topic of each message, by full name."""
    imports: dict[str, set[str]] = field(default_factory=dict)
    text: str = ""

    @property
    def uses(self) -> set[str]:
        """Nouns of the modules that it imports."""
        nouns = {noun_of(named) for named in self.types.values()}
        return {name.removeprefix(_FIRST_PARTY) for name in self.imports} & nouns

    def name(self, module: str, name: str) -> str:
        """Use a name of another module."""
        self.imports.setdefault(module, set()).add(name)
        return name

    def named(self, full_name: str) -> str:
        """Use a message, part or enum, wherever it is."""
        named = self.types[full_name]
        if noun_of(named) == self.noun:
            return class_name(named)
        return self.name(_FIRST_PARTY + noun_of(named), class_name(named))


def noun_of(named: NamedType) -> str:
    """The module that a type belongs to."""
    noun = named.definition.get("noun")
    if not isinstance(noun, str) or not noun.isidentifier():
        raise UsageProblem(f"schemas/{named.path}: {named.full_name} lacks `noun`, the module that it belongs to")
    return noun


def class_name(named: NamedType) -> str:
    """Name of its class; from the second major version on with the version, as both live side by side."""
    major = named.namespace.rpartition(".v")[2]
    return named.name if major == "1" else f"{named.name}V{major}"


def attribute_name(field_name: str, *, in_message: bool) -> str:
    """Name of a field's attribute: the field's own, with an underscore behind it where Python or every message has another use for it.

    Args:
        field_name: As the schema has it.
        in_message: Whether it stands in a message, rather than in a part of one.
    """
    taken = _TAKEN_IN_MESSAGES if in_message else _TAKEN_IN_PARTS
    return f"{field_name}_" if field_name in taken or iskeyword(field_name) else field_name


def write_module(noun: str, members: Iterable[NamedType], types: Mapping[str, NamedType], topics: Mapping[str, str]) -> Module:
    """Write the types of one noun.

    Args:
        noun: Name of the module.
        members: What belongs to it.
        types: Every type, by full name.
        topics: Topic of each message, by full name.

    Raises:
        UsageProblem: A type cannot be expressed.
    """
    module = Module(noun, types, topics)
    classes = [_class(named, module) for named in _in_order(list(members))]
    head = f'"""What travels about {noun.replace("_", " ")}. {NOTICE}"""\n\nfrom __future__ import annotations\n\n'
    module.text = head + _imports(module.imports) + "".join(f"\n\n{text}" for text in classes)
    return module


def write_catalogue(messages: Iterable[NamedType]) -> str:
    """Write the module that finds a message type by its topic or its schema."""
    ordered = sorted(messages, key=lambda named: named.full_name)
    imports: dict[str, set[str]] = {"types": {"MappingProxyType"}, "collections.abc": {"Mapping"}, f"{_FIRST_PARTY}base": {"Message"}}
    for named in ordered:
        imports.setdefault(_FIRST_PARTY + noun_of(named), set()).add(class_name(named))
    messages_in_order = _filled("MESSAGES: tuple[type[Message], ...] = ", [class_name(named) for named in ordered])
    return (
        f'"""Every message type, by topic and by schema. {NOTICE}"""\n\nfrom __future__ import annotations\n\n{_imports(imports)}\n'
        f"{messages_in_order}\n"
        "BY_TOPIC: Mapping[str, type[Message]] = MappingProxyType({kind.topic: kind for kind in MESSAGES})\n"
        "BY_SCHEMA_NAME: Mapping[str, type[Message]] = MappingProxyType({kind.schema_name: kind for kind in MESSAGES})\n"
    )


def _in_order(members: list[NamedType]) -> list[NamedType]:
    """Enums, parts (the inner before the outer), events, then commands, which name events."""
    parts = {named.full_name: named for named in members if not named.is_message and named.definition["type"] == "record"}
    ordered: dict[str, NamedType] = {}

    def visit(named: NamedType) -> None:
        for inner in _mentioned(named):
            if inner in parts and inner not in ordered:
                visit(parts[inner])
        ordered[named.full_name] = named

    for named in sorted(parts.values(), key=lambda named: named.name):
        visit(named)
    enums = [named for named in members if named.definition["type"] == "enum"]
    messages = [named for named in members if named.is_message]
    return [
        *sorted(enums, key=lambda named: named.name),
        *ordered.values(),
        *sorted(messages, key=lambda named: (named.definition.get("kind") == "command", class_name(named))),
    ]


def _mentioned(named: NamedType) -> Iterator[str]:
    def names(avro: Any) -> Iterator[str]:
        if isinstance(avro, str):
            yield avro
        elif isinstance(avro, list):
            for member in avro:
                yield from names(member)
        else:
            yield from names(avro.get("items", avro.get("values", avro["type"])))

    for described in named.definition["fields"]:
        yield from names(described["type"])


def _class(named: NamedType, module: Module) -> str:
    if named.definition["type"] == "enum":
        head, body = f"class {class_name(named)}({module.name('enum', 'StrEnum')}):", [_symbols(named)]
    else:
        parent = _parent(named)
        head = f"class {class_name(named)}({module.name(_FIRST_PARTY + 'base', parent)}):"
        facts = _facts(named, module) if named.is_message else []
        body = ["\n".join(facts)] if facts else []
        body.append("\n".join(_field(described, named, module) for described in _own_fields(named, parent)))
    return f"{head}\n{_docstring(named.definition.get('doc', ''))}\n" + "".join(f"\n{part}\n" for part in body if part)


def _parent(named: NamedType) -> str:
    match named.definition.get("kind") if named.is_message else "part":
        case "event":
            return "Event"
        case "command":
            return "Command"
        case "part":
            return "Part"
        case kind:
            raise UsageProblem(f"schemas/{named.path}: kind is {kind!r}; write event or command")


def _own_fields(named: NamedType, parent: str) -> list[Mapping[str, Any]]:
    return [described for described in named.definition["fields"] if (parent, described["name"]) != ("Event", "aggregate_version")]


def _symbols(named: NamedType) -> str:
    return "\n".join(f"    {symbol.upper()} = {_quoted(symbol)}" for symbol in named.definition["symbols"])


def _facts(named: NamedType, module: Module) -> list[str]:
    module.name("typing", "ClassVar")
    fields: Sequence[Mapping[str, Any]] = named.definition["fields"]
    keys = [_tuple(described["businessKey"], described["name"]) for described in fields if "businessKey" in described]
    natives = [
        f"NativeId({_quoted(described['nativeId']['entity'])}, {_quoted(described['nativeId']['of'])}, {_quoted(described['name'])})"
        for described in fields
        if "nativeId" in described
    ]
    lines = [
        f"    topic: ClassVar[str] = {_quoted(module.topics[named.full_name])}",
        f"    schema_name: ClassVar[str] = {_quoted(named.full_name)}",
        f"    key_field: ClassVar[str] = {_quoted(named.definition.get('key', ''))}",
    ]
    if keys:
        lines.append(_filled("    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = ", keys))
    if natives:
        module.name(_FIRST_PARTY + "base", "NativeId")
        lines.append(_filled("    native_ids: ClassVar[tuple[NativeId, ...]] = ", natives))
    if named.definition.get("kind") == "command":
        lines.append(_replies(named, module))
    return lines


def _replies(named: NamedType, module: Module) -> str:
    replies = named.definition.get("replies", {})
    for reply in ("done", "refused"):
        if replies.get(reply) not in module.topics:
            raise UsageProblem(f"schemas/{named.path}: reply `{reply}` is {replies.get(reply)!r}, which no schema file is about")
    module.name(_FIRST_PARTY + "base", "Replies")
    return f"    replies: ClassVar[Replies] = Replies(done={module.named(replies['done'])}, refused={module.named(replies['refused'])})"


def _field(described: Mapping[str, Any], named: NamedType, module: Module) -> str:
    try:
        annotation = _annotation(described["type"], described["name"], module)
    except UsageProblem as problem:
        raise UsageProblem(f"schemas/{named.path}: {named.full_name}.{described['name']}: {problem}") from problem
    default = f" = {_default(described['default'], described['type'], module)}" if "default" in described else ""
    name = attribute_name(described["name"], in_message=named.is_message)
    return f"    {name}: {annotation}{default}\n{_docstring(described.get('doc', ''))}"


def _annotation(avro: Any, field_name: str, module: Module) -> str:
    if isinstance(avro, str):
        return _simple(avro, field_name, module)
    if isinstance(avro, list):
        inner = [member for member in avro if member != "null"]
        if len(inner) != 1:
            raise UsageProblem("of unions only a type with null is supported")
        return _annotation(inner[0], field_name, module) + (" | None" if "null" in avro else "")
    if avro["type"] == "array":
        return f"tuple[{_annotation(avro['items'], field_name, module)}, ...]"
    if avro["type"] == "map":
        return f"{module.name('collections.abc', 'Mapping')}[str, {_annotation(avro['values'], field_name, module)}]"
    if "logicalType" not in avro:
        return _simple(avro["type"], field_name, module)
    logical = _LOGICAL.get((avro["type"], avro["logicalType"]))
    if logical is None:
        raise UsageProblem(f"{avro['logicalType']} on {avro['type']} is not supported")
    return module.name(*logical)


def _simple(avro: str, field_name: str, module: Module) -> str:
    if avro == "string" and field_name in _IDS:
        return module.name(_FIRST_PARTY + "ids", _IDS[field_name])
    if avro in _PRIMITIVE:
        return _PRIMITIVE[avro]
    if avro not in module.types or module.types[avro].definition["type"] == "fixed":
        raise UsageProblem(f"{avro} is not supported")
    return module.named(avro)


def _default(value: Any, avro: Any, module: Module) -> str:
    if isinstance(avro, list):
        return "None" if value is None else _default(value, next(member for member in avro if member != "null"), module)
    if isinstance(avro, str) and avro in module.types:
        return f"{module.named(avro)}.{value.upper()}"
    if value == []:
        return "()"
    if value == {}:
        return f"{module.name('pydantic', 'Field')}(default_factory=dict)"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool | int | float):
        return repr(value)
    raise UsageProblem(f"default {value!r} is not supported; leave it out")


def _imports(imports: Mapping[str, Iterable[str]]) -> str:
    groups: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for module in sorted(imports):
        group = 2 if module.startswith(_FIRST_PARTY) else 1 if module == "pydantic" else 0
        groups[group].append(_import(module, sorted(imports[module], key=str.lower)))
    return "\n".join("".join(lines) for lines in groups.values() if lines)


def _import(module: str, names: Sequence[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return f"{line}\n"
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"


def _filled(head: str, items: Sequence[str]) -> str:
    line = f"{head}({', '.join(items)}{',' if len(items) == 1 else ''})"
    if len(line) <= WIDTH:
        return line
    indent = " " * (len(head) - len(head.lstrip()))
    return f"{head}(\n" + "".join(f"{indent}    {item},\n" for item in items) + f"{indent})"


def _docstring(text: str) -> str:
    """In one line where it fits; else its first sentence, and the rest below."""
    line = f'    """{text}"""'
    if len(line) <= WIDTH:
        return line
    summary, stop, rest = text.partition(". ")
    if not stop or len(f'    """{summary}.') > WIDTH:
        raise UsageProblem(f"the doc {summary[:40]!r}... begins with a sentence that does not fit a line; shorten it")
    return "\n".join((f'    """{summary}.', "", textwrap.fill(rest, WIDTH, initial_indent="    ", subsequent_indent="    "), '    """'))


def _tuple(*texts: str) -> str:
    return f"({', '.join(_quoted(text) for text in texts)})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
