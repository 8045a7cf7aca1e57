"""Messages that the codec's tests are about: some fixed ones, and whatever a type may hold."""

from __future__ import annotations

import io
import types
import typing
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import EnumType
from typing import Any

import fastavro
from hypothesis import HealthCheck, settings, strategies as st
from pydantic import AwareDatetime, BaseModel

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.governance.ports import subject_of
from integration_fabric.governance.schema_files import read
from integration_fabric.messages.base import Message
from integration_fabric.messages.fabric import Activity, ProcessChanged, Transition
from integration_fabric.messages.orders import CreateOrder, OrderBooked, OrderLine
from integration_fabric.messages.quotes import ChargeType, QuoteApproved

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Making a large message takes longer than testing it."""
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])

LEAVES: Mapping[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=80),
    bytes: st.binary(max_size=80),
    bool: st.booleans(),
    int: st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0, 63, 64, -64, -65, 8191, 8192, 2**31 - 1, -(2**31)])),
    float: st.floats(allow_nan=False),
    Decimal: st.integers(-(10**18) + 1, 10**18 - 1).map(lambda unscaled: Decimal(unscaled).scaleb(-4)),
    date: st.dates(),
    AwareDatetime: st.datetimes(
        datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])
    ),
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Whatever a field of this type may hold."""
    annotation = getattr(annotation, "__supertype__", annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return st.one_of(*[st.none() if member is type(None) else values(member) for member in typing.get_args(annotation)])
    if typing.get_origin(annotation) is tuple:
        return st.lists(values(typing.get_args(annotation)[0]), max_size=3).map(tuple)
    if typing.get_origin(annotation) is not None:
        return st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=3)
    if isinstance(annotation, EnumType):
        return st.sampled_from(list(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return models(annotation)
    return LEAVES[annotation]


def models(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Whatever this class may be, made the usual way: validated."""
    return st.fixed_dictionaries({name: values(info.annotation) for name, info in kind.model_fields.items()}).map(
        lambda fields: kind(**fields)
    )


def order_booked(**fields: Any) -> OrderBooked:
    some = {"order_id": "SO-1", "quote_id": "Q-1", "legal_entity": "acme-no", "currency": "NOK", "native_id": "77", "number": "2026/77"}
    return OrderBooked(**{**some, "total_amount": Decimal("12.5"), "aggregate_version": 3, **fields})


def order_line(**fields: Any) -> OrderLine:
    some = {"order_line_id": "1", "quote_line_id": "2", "product_id": "P", "description": "seat", "quantity": 2, "unit": "each"}
    some |= {"unit_price": Decimal(9), "starts_on": date(2026, 12, 1), "tax_code": "25", "price_book_version": "7"}
    return OrderLine(**{**some, **fields})


def create_order(**fields: Any) -> CreateOrder:
    some = {"order_id": "SO-1", "quote_id": "Q-1", "customer_id": "C-1", "legal_entity": "acme-no", "currency": "NOK"}
    some |= {"bill_to": "Bill", "ship_to": "Ship", "payment_terms": "NET30"}
    return CreateOrder(**{**some, "lines": (order_line(), order_line(charge_type=ChargeType.RECURRING)), **fields})


def activity(**fields: Any) -> Activity:
    now = datetime(2026, 11, 23, 4, 5, 6, 789, UTC)
    some: dict[str, Any] = {"topic": "t", "partition": 1, "offset": 2, "message_id": "m", "message_type": "x", "correlation_id": "c"}
    some |= {"business_keys": {"order": "SO-1"}, "from_state": "", "outcome": "applied", "detail": "", "attempts": 1}
    some |= {"published_at": now, "started_at": now, "duration_ms": 1.5, "outputs": ("a", "b")}
    return Activity(subscriber="s", worker="w", committed_at=now, aggregate_version=1, transitions=(Transition(**{**some, **fields}),))


def bare_read(value: bytes, kind: type[Message]) -> Any:
    body = io.BytesIO(value)
    body.seek(5)
    return fastavro.schemaless_reader(body, fastavro.parse_schema(dict(read(kind).schema)), None)


def bare_write(header: bytes, kind: type[Message], record: Any) -> bytes:
    out = io.BytesIO()
    out.write(header)
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(read(kind).schema)), record)
    return out.getvalue()


def example(kind: type[Message]) -> Message:
    examples: dict[Any, Any] = {
        str: "x",
        int: 1,
        bool: True,
        Decimal: Decimal(1),
        AwareDatetime: datetime(2026, 1, 1, tzinfo=UTC),
        date: date(2026, 1, 1),
    }
    required: dict[str, Any] = {name: info.annotation for name, info in kind.model_fields.items() if info.is_required()}
    return kind(**{name: examples[getattr(annotation, "__supertype__", annotation)] for name, annotation in required.items()})


def examples() -> list[Message]:
    fields = {"instance_id": "i", "process": "p", "version": 1, "step": "", "aggregate_version": 1, "business_keys": {"a": "b"}}
    changed = ProcessChanged(**fields, changed_at=datetime(2026, 1, 1, tzinfo=UTC))
    return [changed, example(QuoteApproved)]


def own_codec() -> AvroCodec:
    registry = MemoryRegistry()
    kinds = (OrderBooked, CreateOrder, Activity)
    for kind in kinds:
        registry.register(subject_of(kind), read(kind).text)
    codec = AvroCodec(registry)
    codec.prepare(kinds)
    return codec
