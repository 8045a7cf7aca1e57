"""The work that every contender of the benchmark does: an invoice event of about 160 bytes as Avro, under one of 1,000 keys.

Peers run in virtual environments that have not all that the fabric has: this file asks for fastavro alone.
"""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro

ISSUED_TOPIC = "bench.invoice-issued.v1"
"""What is consumed; filled once for all contenders, with the fabric's headers."""
COPIED_TOPIC = "bench.invoice-copied.v1"
"""Where pipes put out."""
PUBLISHED_TOPIC = "bench.invoice-published.v1"
"""Where publishers put out."""
FEW_TOPIC = "bench.invoice-issued-few.v1"
"""As the first, with few events in it."""
BOOKED_TOPIC = "bench.book-invoice.v1"
"""Commands to the outside."""
WATCHED_TOPIC = "bench.invoice-watched.v1"
"""Where events come in while workers end."""
PARTITIONS = 8
KEYS = 1_000
DISTINCT = 20_000
"""How many different events there are; then they come again."""
HEADER_BYTES = 5
"""Magic byte and schema id."""

_MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}
_LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "sku", "type": "string"},
        {"name": "quantity", "type": "double"},
        {"name": "unit_price", "type": _MONEY},
        {"name": "tax_code", "type": ["null", "string"], "default": None},
    ],
}
_FIELDS = [
    {"name": "event_id", "type": "string"},
    {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "correlation_id", "type": "string"},
    {"name": "tenant", "type": "string"},
    {"name": "invoice_id", "type": "string"},
    {"name": "order_id", "type": "string"},
    {"name": "contract_id", "type": ["null", "string"], "default": None},
    {"name": "customer_id", "type": "string"},
    {"name": "currency", "type": "string"},
    {"name": "total", "type": _MONEY},
    {"name": "due_on", "type": {"type": "int", "logicalType": "date"}},
    {"name": "lines", "type": {"type": "array", "items": _LINE}},
]


def schema_of(name: str) -> dict[str, Any]:
    """The schema under one of its names: what is taken in and what is put out differ in nothing else."""
    return {"type": "record", "name": name, "namespace": "bench.v1", "fields": _FIELDS}


_SCHEMA = fastavro.parse_schema(schema_of("InvoiceIssued"))


def event(number: int, keys: int = KEYS) -> dict[str, Any]:
    """One event."""
    line = {"quantity": 2.0, "unit_price": Decimal("30.125"), "tax_code": "VAT20"}
    return {
        "event_id": str(UUID(int=number)),
        "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
        "correlation_id": f"q-{number}",
        "tenant": "acme",
        "invoice_id": f"INV-{number}",
        "order_id": f"SO-{number}",
        "contract_id": None,
        "customer_id": f"C-{number % keys}",
        "currency": "EUR",
        "total": Decimal("120.5"),
        "due_on": date(2026, 12, 1),
        "lines": [{"sku": f"SKU-{place}", **line} for place in range(3)],
    }


def encode(record: dict[str, Any]) -> bytes:
    """To the wire format, as a peer's user would write it."""
    buffer = io.BytesIO()
    buffer.write(b"\0\0\0\0\x01")
    fastavro.schemaless_writer(buffer, _SCHEMA, record)
    return buffer.getvalue()


def decode(value: bytes) -> Any:
    """From the wire format, as a peer's user would write it."""
    buffer = io.BytesIO(value)
    buffer.seek(HEADER_BYTES)
    return fastavro.schemaless_reader(buffer, _SCHEMA, None)
