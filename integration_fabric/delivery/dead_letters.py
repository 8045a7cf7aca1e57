"""Dead letters on `dlq.<subscriber>`: the record byte for byte, with headers that say everything about its failure. Pure.

The header names are fixed; those of an earlier failure are replaced, and each has a bound, so that a record that fails fifty times is
no larger than one that fails once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from integration_fabric.messages.envelope import Coordinates, read_business_keys, text_headers
from integration_fabric.messages.errors import FabricError
from integration_fabric.messages.ids import deterministic_id
from integration_fabric.runtime.envelopes import message_id_of
from integration_fabric.runtime.executor import DeadLetter
from integration_fabric.runtime.records import Outgoing, Record

PREFIX = "fabric_dlq_"
MESSAGE_BYTES = 1024
STACK_BYTES = 8192
ATTEMPTS_KEPT = 20
_VOLATILE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|'[^']*'|\"[^\"]*\"|\d+")


def topic_of(subscriber: str) -> str:
    """`dlq.<subscriber>`."""
    return f"dlq.{subscriber}"


def bury(dead: DeadLetter) -> Outgoing:
    """Make the record for the dead-letter topic. Never fails."""
    record = dead.record
    kept = [(name, value) for name, value in record.headers or () if not name.startswith(PREFIX) and value is not None]
    return Outgoing(topic_of(dead.subscriber), record.key, record.value, (*kept, *_headers(dead)))


def _headers(dead: DeadLetter) -> list[tuple[str, bytes]]:
    record, attempts = dead.record, dead.attempts
    found = {
        "id": dead_letter_id(dead.subscriber, record.coordinates),
        "subscriber": dead.subscriber,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp_ms": str(record.timestamp_ms),
        "class": dead.failure.value,
        "code": dead.code,
        "message": _cut(dead.message, MESSAGE_BYTES),
        "stack": _cut(dead.stack, STACK_BYTES),
        "fingerprint": fingerprint(dead),
        "attempts": str(len(attempts)),
        "attempt_log": json.dumps([[attempt.at.isoformat(), attempt.code] for attempt in attempts[-ATTEMPTS_KEPT:]]),
        "first_failed_at": dead.first_failed_at.isoformat(),
        "last_failed_at": attempts[-1].at.isoformat(),
        "schema_id": _schema_id(record),
    }
    return [(PREFIX + name, value.encode("utf-8", "replace")) for name, value in found.items() if value]


def intake_subscriber(system: str) -> str:
    """`stripe.intake`: under whose name what a system sent is kept where its intake cannot read it."""
    return f"{system}.intake"


def quarantine(system: str, payload: bytes, error: FabricError, *, receipt_id: str, at: datetime) -> Outgoing:
    """Make the record for a payload that came from outside and makes no sense. Never fails.

    Args:
        system: That sent it.
        payload: Byte for byte.
        error: Why; a VendorDrift says where.
        receipt_id: The same each time that these bytes come.
        at: Now.
    """
    subscriber = intake_subscriber(system)
    message = _cut(str(error), MESSAGE_BYTES)
    found = {
        "id": quarantine_id(receipt_id),
        "subscriber": subscriber,
        "timestamp_ms": str(int(at.timestamp() * 1000)),
        "class": error.failure.value,
        "code": error.code,
        "message": message,
        "field": _cut(getattr(error, "path", ""), MESSAGE_BYTES),
        "fingerprint": _fingerprint(subscriber, error.failure.value, error.code, _VOLATILE.sub("?", message)),
        "attempts": "1",
        "attempt_log": json.dumps([[at.isoformat(), error.code]]),
        "first_failed_at": at.isoformat(),
        "last_failed_at": at.isoformat(),
    }
    headers = [(PREFIX + name, value.encode("utf-8", "replace")) for name, value in found.items() if value]
    return Outgoing(topic_of(subscriber), receipt_id.encode(), payload, tuple(headers))


def quarantine_id(receipt_id: str) -> str:
    """Of the dead letter of a payload."""
    return receipt_id.replace("-", "")[:12]


def dead_letter_id(subscriber: str, coordinates: Coordinates) -> str:
    """Short enough to type; the same however often the record fails."""
    return deterministic_id("dead-letter", subscriber, str(coordinates)).replace("-", "")[:12]


def fingerprint(dead: DeadLetter) -> str:
    """One for all failures with one cause: what varies from message to message (ids, numbers, quoted values) is left out."""
    shape = _VOLATILE.sub("?", dead.message)
    last_call = dead.stack.strip().splitlines()[-2:-1] if dead.stack else []
    return _fingerprint(dead.subscriber, dead.failure.value, dead.code, shape, *last_call)


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def _cut(text: str, limit_bytes: int) -> str:
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= limit_bytes else raw[: limit_bytes - 3].decode("utf-8", "ignore") + "…"


def _schema_id(record: Record) -> str:
    value = record.value or b""
    framed = len(value) > 5 and value[0] == 0  # noqa: PLR2004  magic byte and four bytes of id
    return str(int.from_bytes(value[1:5], "big")) if framed else ""


@dataclass(frozen=True, slots=True)
class DeadLetterView:
    """A dead letter as its topic tells it."""

    id: str
    subscriber: str
    position: Coordinates
    """Where the record was taken."""
    stored_at: Coordinates
    """Where the dead letter stands."""
    key: bytes | None
    value: bytes | None
    failure: str
    code: str
    message: str
    stack: str
    fingerprint: str
    attempts: int
    attempt_log: Sequence[tuple[str, str]]
    first_failed_at: datetime | None
    last_failed_at: datetime | None
    message_id: str
    message_type: str
    correlation_id: str
    business_keys: Mapping[str, str]
    headers: Mapping[str, str]


def view(record: Record) -> DeadLetterView:
    """Read a record of a dead-letter topic, whoever wrote it: what is missing or makes no sense is left empty."""
    headers = text_headers(record.headers)
    get = {name.removeprefix(PREFIX): value for name, value in headers.items() if name.startswith(PREFIX)}.get
    subscriber = get("subscriber", record.topic.removeprefix("dlq."))
    position = Coordinates(get("topic", ""), _number(get("partition")), _number(get("offset")))
    return DeadLetterView(
        id=get("id") or dead_letter_id(subscriber, record.coordinates),
        subscriber=subscriber,
        position=position,
        stored_at=record.coordinates,
        key=record.key,
        value=record.value,
        failure=get("class", ""),
        code=get("code", ""),
        message=get("message", ""),
        stack=get("stack", ""),
        fingerprint=get("fingerprint", ""),
        attempts=max(_number(get("attempts")), 0),
        attempt_log=_attempt_log(get("attempt_log")),
        first_failed_at=_time(get("first_failed_at")),
        last_failed_at=_time(get("last_failed_at")),
        message_id=headers.get("ce_id") or message_id_of(record, headers),
        message_type=headers.get("ce_type", ""),
        correlation_id=headers.get("ce_correlationid", ""),
        business_keys=read_business_keys(headers.get("ce_businesskeys", "")),
        headers=headers,
    )


def _number(text: str | None) -> int:
    return int(text) if text and len(text) < 20 and text.isascii() and text.isdigit() else -1  # noqa: PLR2004  digits of 2**63


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _attempt_log(text: str | None) -> list[tuple[str, str]]:
    try:
        found = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, list):
        return []
    return [(str(item[0]), str(item[1])) for item in found if isinstance(item, list) and len(item) == 2]  # noqa: PLR2004  time and code
