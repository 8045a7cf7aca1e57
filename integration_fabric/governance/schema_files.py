"""The `.avsc` files as they are shipped, in a checkout or an installed wheel. Generating, linting, registering and encoding start here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from integration_fabric.messages.base import Message
from integration_fabric.messages.errors import UsageProblem

Schema = Mapping[str, Any]
"""One Avro schema as JSON has it: what stands in a schema file is as free as JSON."""

SUFFIX = ".avsc"


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One schema file."""

    path: str
    """Below `schemas/`, e.g. `erp/order-booked.v1.avsc`."""
    schema: Schema

    @property
    def topic(self) -> str:
        """The topic that carries it, e.g. `erp.order-booked.v1`."""
        return self.path.removesuffix(SUFFIX).replace("/", ".")

    @property
    def full_name(self) -> str:
        """Full name of the record, e.g. `erp.v1.OrderBooked`."""
        return full_name(self.schema, "")

    @property
    def compacted(self) -> bool:
        """Whether its topic keeps only the latest record of each key."""
        return self.schema.get("compacted") is True

    @property
    def text(self) -> str:
        """The schema as it is registered."""
        return json.dumps(self.schema, separators=(",", ":"), ensure_ascii=False)


def full_name(definition: Schema, enclosing: str) -> str:
    """Full name of a record or enum.

    Args:
        definition: Where it is defined.
        enclosing: The namespace around it, which counts where it names none.
    """
    name = str(definition.get("name"))
    namespace = definition.get("namespace", enclosing)
    return name if "." in name or not namespace else f"{namespace}.{name}"


def parse(path: str, text: str) -> SchemaFile:
    """Read one file's text.

    Args:
        path: Where it stands below `schemas/`; named in the error.
        text: JSON.

    Raises:
        UsageProblem: It is no JSON object.
    """
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise UsageProblem(f"schemas/{path}: no JSON ({error}); correct the file") from error
    if not isinstance(schema, dict):
        raise UsageProblem(f"schemas/{path}: not an Avro record; write one record a file")
    return SchemaFile(path, schema)


@cache
def read_all() -> tuple[SchemaFile, ...]:
    """Every committed schema file, by path. They do not change while a process runs."""
    folders = sorted((entry for entry in files("schemas").iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    return tuple(
        parse(f"{folder.name}/{entry.name}", entry.read_text(encoding="utf-8"))
        for folder in folders
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(SUFFIX)
    )


def read(kind: type[Message]) -> SchemaFile:
    """The schema file of one message type.

    Raises:
        UsageProblem: There is none, so the type was not generated from the files at hand.
    """
    for file in read_all():
        if file.topic == kind.topic:
            return file
    raise UsageProblem(f"{kind.__name__}: no schema file for {kind.topic}; run `make generate` after a file was moved")
