"""Stored outputs: records to bytes and back, so that a result that Kafka did not confirm can be emitted again as it was."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.records import Outgoing
from integration_fabric.runtime.subscriber import Handled


def pack(handled: Handled) -> bytes:
    """Outputs and their types as bytes."""
    outputs = [
        [output.topic, _text(output.key), _text(output.value), [[name, _text(value)] for name, value in output.headers]]
        for output in handled.outputs
    ]
    return json.dumps({"types": handled.output_types, "outputs": outputs}, separators=(",", ":")).encode()


def unpack(kind: str, detail: str, packed: bytes) -> Handled:
    """What `pack` made bytes of."""
    stored = json.loads(packed)
    outputs = tuple(
        Outgoing(topic, _bytes(key), _bytes(value), tuple((name, _bytes(held) or b"") for name, held in headers))
        for topic, key, value, headers in stored["outputs"]
    )
    return Handled(OutcomeKind(kind), outputs, detail, tuple(stored["types"]))


def _text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
