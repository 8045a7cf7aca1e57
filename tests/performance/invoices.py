"""The workload's event as the fabric sees it: typed messages, and the codec that knows their schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import ClassVar

from pydantic import AwareDatetime

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.governance.ports import subject_of
from integration_fabric.governance.schema_files import read
from integration_fabric.messages.base import Message, Part
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.fabric import Activity
from integration_fabric.messages.ids import deterministic_id
from tests.performance.workload import COPIED_TOPIC, DISTINCT, ISSUED_TOPIC, PUBLISHED_TOPIC, event, schema_of


class Line(Part):
    """One line of an invoice."""

    sku: str
    quantity: float
    unit_price: Decimal
    tax_code: str | None = None


class Invoice(Message):
    """What all three topics carry."""

    key_field: ClassVar[str] = "customer_id"
    business_key_fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("invoice", "invoice_id"),
        ("order", "order_id"),
        ("customer", "customer_id"),
    )

    event_id: str
    occurred_at: AwareDatetime
    correlation_id: str
    tenant: str
    invoice_id: str
    order_id: str
    contract_id: str | None = None
    customer_id: str
    currency: str
    total: Decimal
    due_on: date
    lines: tuple[Line, ...]


class InvoiceIssued(Invoice):
    """What is consumed."""

    topic: ClassVar[str] = ISSUED_TOPIC
    schema_name: ClassVar[str] = "bench.v1.InvoiceIssued"


class InvoiceCopied(Invoice):
    """What pipes put out."""

    topic: ClassVar[str] = COPIED_TOPIC
    schema_name: ClassVar[str] = "bench.v1.InvoiceCopied"


class InvoicePublished(Invoice):
    """What publishers put out."""

    topic: ClassVar[str] = PUBLISHED_TOPIC
    schema_name: ClassVar[str] = "bench.v1.InvoicePublished"


KINDS: tuple[type[Message], ...] = (InvoiceIssued, InvoiceCopied, InvoicePublished, Activity)


def schema_text(kind: type[Message]) -> str:
    """The schema of one type, the benchmark's own among them."""
    return json.dumps(schema_of(kind.__name__)) if issubclass(kind, Invoice) else read(kind).text


def make_codec(registry: EmbeddedRegistry, *, register: bool = False) -> AvroCodec:
    """A codec that writes all of them."""
    if register:
        for kind in KINDS:
            registry.register(subject_of(kind), schema_text(kind))
    codec = AvroCodec(registry, schema_text=schema_text)
    codec.prepare(KINDS)
    return codec


def envelopes(kind: type[Invoice]) -> Iterator[Envelope]:
    """Different events without end, in envelopes; they come again after a while, as those of the peers do."""
    made = [kind(**event(number)) for number in range(DISTINCT)]
    keys = [body.search_keys() for body in made]
    at, number = datetime(2026, 1, 1, tzinfo=UTC), 0
    while True:
        body = made[number % DISTINCT]
        found = keys[number % DISTINCT]
        yield Envelope(body, deterministic_id("bench", str(number)), "/systems/bench", at, body.correlation_id, business_keys=found)
        number += 1
