"""What every message is: a frozen model with a topic and a key. The types themselves are generated from `schemas/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict


class NativeId(NamedTuple):
    """A field that carries a system's own id: cross-references are written from it."""

    entity: str
    """The canonical entity, e.g. `order`."""
    canonical_field: str
    """The field with the canonical id."""
    native_field: str
    """The field with the system's own id."""


class Part(BaseModel):
    """A record inside a message, e.g. a line."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Message(BaseModel):
    """Body of one record; its Avro schema is `schemas/<domain>/<type>.v<major>.avsc`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[str]
    """`<domain>.<message-in-kebab-case>.v<major>`."""
    schema_name: ClassVar[str]
    """Full name of the Avro record, e.g. `erp.v1.OrderBooked`."""
    key_field: ClassVar[str]
    """The field that becomes the record's key: the canonical id of the aggregate."""
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = ()
    """(business key, field) for each field that people search by."""
    native_ids: ClassVar[tuple[NativeId, ...]] = ()

    @property
    def key(self) -> str:
        """Canonical id of the aggregate."""
        return str(getattr(self, self.key_field))

    def search_keys(self) -> dict[str, str]:
        """The identifiers that people search by, as far as the body has them."""
        return {name: str(value) for name, field in self.business_key_fields if (value := getattr(self, field)) is not None}


class Event(Message):
    """A fact in the past. Each carries the version of its aggregate; equal ones are ordered by event id."""

    aggregate_version: int


@dataclass(frozen=True, slots=True)
class Replies:
    """The two events that can answer a command."""

    done: type[Event]
    refused: type[Event]


class Command(Message):
    """A request to one role; exactly one of its replies follows."""

    replies: ClassVar[Replies]
