"""The workload's event as the fabric sees it: typed messages, and the codec that knows their schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import ClassVar

from pydantic import AwareDatetime

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.governance.ports import subject_of
from integration_fabric.governance.schema_files import read
from integration_fabric.messages.base import Command, Event, Message, Part, Replies
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.fabric import Activity
from integration_fabric.messages.ids import deterministic_id
from tests.performance.workload import BOOKED_TOPIC, COPIED_TOPIC, DISTINCT, ISSUED_TOPIC, KEYS, PUBLISHED_TOPIC, event, schema_of


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


class InvoiceBooked(Event):
    """The outside has booked it."""

    topic: ClassVar[str] = "bench.invoice-booked.v1"
    schema_name: ClassVar[str] = "bench.v1.InvoiceBooked"
    key_field: ClassVar[str] = "customer_id"

    customer_id: str
    invoice_id: str
    booking: str


class BookingRefused(InvoiceBooked):
    """The outside has not, which does not happen here."""

    topic: ClassVar[str] = "bench.booking-refused.v1"
    schema_name: ClassVar[str] = "bench.v1.BookingRefused"


class BookInvoice(Invoice, Command):
    """What the outside is asked for."""

    topic: ClassVar[str] = BOOKED_TOPIC
    schema_name: ClassVar[str] = "bench.v1.BookInvoice"
    replies: ClassVar[Replies] = Replies(InvoiceBooked, BookingRefused)


KINDS: tuple[type[Message], ...] = (InvoiceIssued, InvoiceCopied, InvoicePublished, BookInvoice, InvoiceBooked, BookingRefused, Activity)


def issued_on(topic: str) -> type[InvoiceIssued]:
    """The type that is consumed, on another topic."""
    return InvoiceIssued if topic == ISSUED_TOPIC else type(InvoiceIssued.__name__, (InvoiceIssued,), {"topic": topic})


def schema_text(kind: type[Message]) -> str:
    """The schema of one type, the benchmark's own among them."""
    if issubclass(kind, InvoiceBooked):
        fields = [{"name": name, "type": "string"} for name in ("customer_id", "invoice_id", "booking")]
        version = {"name": "aggregate_version", "type": "long"}
        return json.dumps({"type": "record", "name": kind.schema_name, "fields": [*fields, version]})
    return json.dumps(schema_of(kind.__name__)) if issubclass(kind, Invoice) else read(kind).text


def make_codec(registry: EmbeddedRegistry, *, more: Sequence[type[Message]] = (), register: bool = False) -> AvroCodec:
    """A codec that writes all of them, and some more."""
    kinds = [*KINDS, *more]
    if register:
        for kind in kinds:
            registry.register(subject_of(kind), schema_text(kind))
    codec = AvroCodec(registry, schema_text=schema_text)
    codec.prepare(kinds)
    return codec


def envelopes(kind: type[Invoice], keys: int = KEYS) -> Iterator[Envelope]:
    """Different events without end, in envelopes; they come again after a while, as those of the peers do."""
    made = [kind(**event(number, keys)) for number in range(max(DISTINCT, keys))]
    found = [body.search_keys() for body in made]
    at, number = datetime(2026, 1, 1, tzinfo=UTC), 0
    while True:
        body = made[number % len(made)]
        searched = found[number % len(made)]
        yield Envelope(body, deterministic_id("bench", str(number)), "/systems/bench", at, body.correlation_id, business_keys=searched)
        number += 1
