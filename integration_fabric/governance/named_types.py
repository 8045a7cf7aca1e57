"""Records and enums of the schema files by full name, each once, whichever file holds it: what the generator and the lint walk over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from integration_fabric.governance.schema_files import SchemaFile, full_name
from integration_fabric.messages.errors import UsageProblem

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


@dataclass(frozen=True, slots=True)
class NamedType:
    """One record or enum."""

    full_name: str
    """E.g. `cpq.v1.QuoteLine`."""
    definition: Mapping[str, Any]
    """As written, but with every named type inside replaced by its full name."""
    path: str
    """The first file that holds it."""
    is_message: bool
    """Whether a file is about it, rather than holding it in another."""

    @property
    def namespace(self) -> str:
        """E.g. `cpq.v1`."""
        return self.full_name.rpartition(".")[0]

    @property
    def name(self) -> str:
        """E.g. `QuoteLine`."""
        return self.full_name.rpartition(".")[2]


def collect(files: Iterable[SchemaFile]) -> dict[str, NamedType]:
    """Find the named types of all files.

    Raises:
        UsageProblem: Two files define one differently, a reference has no definition before it in its file, or a type holds itself.
    """
    found: dict[str, NamedType] = {}
    for file in files:
        for named in _of_file(file):
            known = found.setdefault(named.full_name, named)
            if known.definition != named.definition or known.is_message != named.is_message:
                raise UsageProblem(
                    f"schemas/{file.path}: {named.full_name} differs from its definition in schemas/{known.path}; make them equal"
                )
    return found


def _of_file(file: SchemaFile) -> Iterator[NamedType]:
    walk = _Walk(file.path)
    walk.shallow(file.schema, "")
    for name, definition in walk.definitions.items():
        yield NamedType(name, definition, file.path, is_message=name == file.full_name)


class _Walk:
    """One pass over one file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.definitions: dict[str, Mapping[str, Any]] = {}

    def shallow(self, avro: Any, namespace: str) -> Any:
        """The type with every named type replaced by its full name; what is found goes to `definitions`."""
        if isinstance(avro, str):
            return avro if avro in PRIMITIVES else self._reference(avro, namespace)
        if isinstance(avro, list):
            return [self.shallow(member, namespace) for member in avro]
        if not isinstance(avro, dict):
            raise UsageProblem(f"schemas/{self._path}: {avro!r} is no Avro type")
        return self._complex(avro, namespace)

    def _complex(self, avro: dict[str, Any], namespace: str) -> Any:
        match avro.get("type"):
            case "record" | "enum" | "fixed":
                return self._define(avro, namespace)
            case "array":
                return {**avro, "items": self.shallow(avro.get("items"), namespace)}
            case "map":
                return {**avro, "values": self.shallow(avro.get("values"), namespace)}
            case str() as primitive if primitive in PRIMITIVES:
                return avro
            case inner:
                return self.shallow(inner, namespace)

    def _define(self, avro: dict[str, Any], enclosing: str) -> str:
        name = full_name(avro, enclosing)
        namespace = name.rpartition(".")[0]
        if name in self.definitions:
            raise UsageProblem(f"schemas/{self._path}: {name} is defined twice; write its full name the second time")
        self.definitions[name] = {}  # until its fields are known, which shows that a reference comes from inside
        fields = [{**field, "type": self.shallow(field.get("type"), namespace)} for field in avro.get("fields", ())]
        self.definitions[name] = {**avro, "namespace": namespace, **({"fields": fields} if "fields" in avro else {})}
        return name

    def _reference(self, name: str, namespace: str) -> str:
        name = full_name({"name": name}, namespace)
        if name not in self.definitions:
            raise UsageProblem(f"schemas/{self._path}: {name} is used before it is defined")
        if not self.definitions[name]:
            raise UsageProblem(f"schemas/{self._path}: {name} holds itself; a value could nest as deep as it likes")
        return name
