"""What a message carries besides its body: CloudEvents 1.0 headers in binary mode (Kafka protocol binding)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from integration_fabric.messages.base import Message
from integration_fabric.messages.ids import MessageId, System

Headers = Sequence[tuple[str, bytes]]

CONTENT_TYPE = b"application/avro"
SPEC_VERSION = b"1.0"
_SPEC_VERSION_HEADER = ("ce_specversion", SPEC_VERSION)
_CONTENT_TYPE_HEADER = ("content-type", CONTENT_TYPE)
_PLAIN = re.compile(r"[A-Za-z0-9_.~ /:@;=-]*").fullmatch
"""Business keys that need no quoting, unless a value holds a separator; quoting each takes many times as long as looking."""
MAX_BUSINESS_KEYS_BYTES = 4096
"""A header that grows along a chain of messages needs an end; a transaction has about eight business keys of 40 bytes."""


class Coordinates(NamedTuple):
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(slots=True)
class Envelope:
    """One message with what its headers say.

    It is not to be changed, which the type checker sees to: one is made for each message, and `frozen` would make that five times as dear.
    """

    body: Final[Message]
    id: Final[MessageId]
    source: Final[str]
    """URI reference of the producer, e.g. `/systems/tryton` or `/subscribers/process.quote-to-activation`."""
    time: Final[datetime]
    """When it was made, aware UTC."""
    correlation_id: Final[str]
    """The transaction that it belongs to, the same from the quote to the support entitlement."""
    causation_id: Final[MessageId | None] = None
    """The message that it answers."""
    system: Final[System | None] = None
    """The running system that a command is for, or an event is from."""
    legal_entity: Final[str | None] = None
    business_keys: Final[Mapping[str, str]] = field(default_factory=dict)
    traceparent: Final[str | None] = None
    tracestate: Final[str | None] = None
    position: Final[Coordinates | None] = None
    """Where it was taken from; none before it is published."""


def to_headers(envelope: Envelope, *, dataschema: str) -> list[tuple[str, bytes]]:
    """Write the headers of one message.

    Args:
        envelope: The message.
        dataschema: URI reference of the schema that the value was written with, e.g. `/schemas/ids/7`.
    """
    body = envelope.body
    headers = [
        _SPEC_VERSION_HEADER,
        ("ce_id", envelope.id.encode()),
        _recurring("ce_source", envelope.source),
        _recurring("ce_type", body.schema_name),
        ("ce_time", envelope.time.isoformat().encode()),
        ("ce_subject", body.key.encode()),
        _recurring("ce_dataschema", dataschema),
        _CONTENT_TYPE_HEADER,
        ("ce_correlationid", envelope.correlation_id.encode()),
        ("ce_businesskeys", write_business_keys(envelope.business_keys).encode()),
    ]
    if envelope.causation_id is not None:
        headers.append(("ce_causationid", envelope.causation_id.encode()))
    if envelope.legal_entity is not None:
        headers.append(("ce_legalentity", envelope.legal_entity.encode()))
    if envelope.system is not None:
        headers.append(("ce_system", envelope.system.encode()))
    if envelope.traceparent is not None:
        headers.append(("traceparent", envelope.traceparent.encode()))
    if envelope.tracestate is not None:
        headers.append(("tracestate", envelope.tracestate.encode()))
    return headers


@lru_cache(maxsize=1024)
def _recurring(name: str, value: str) -> tuple[str, bytes]:
    """A header of few values: one object for all, as thousands of messages wait for a commit."""
    return name, value.encode()


def text_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> dict[str, str]:
    """Read headers as text; of several with one name the last counts, and bytes that are not UTF-8 are replaced."""
    return {name: value.decode("utf-8", "replace") for name, value in headers or () if value is not None}


def write_business_keys(keys: Mapping[str, str]) -> str:
    """Write `quote=Q-1;order=SO-9`; what stands between the separators is percent-encoded."""
    text = ";".join([f"{name}={value}" for name, value in keys.items()])
    if _PLAIN(text) and text.count("=") == len(keys) and text.count(";") == max(len(keys) - 1, 0):
        return text
    return ";".join([f"{name}={quote(value, safe=' /:@')}" for name, value in keys.items()])


def read_business_keys(text: str) -> dict[str, str]:
    """Read what `write_business_keys` wrote; parts without `=` are passed over."""
    if not text or len(text) > MAX_BUSINESS_KEYS_BYTES:
        return {}
    found = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            found[name] = unquote(value) if "%" in value else value
    return found
