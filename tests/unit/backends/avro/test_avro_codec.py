"""Every message type goes to bytes and back unchanged, and what breaks its schema is refused."""

from __future__ import annotations

import copy
import decimal
import pickle
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from avro_examples import PATIENT, activity, bare_read, bare_write, create_order, example, models, order_booked, order_line
from hypothesis import given, settings

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.governance.schema_files import read
from integration_fabric.messages.base import Message
from integration_fabric.messages.catalogue import MESSAGES
from integration_fabric.messages.errors import ContractBroken
from integration_fabric.messages.fabric import Activity, ProcessChanged
from integration_fabric.messages.invoices import InvoiceIssued
from integration_fabric.messages.orders import CreateOrder, OrderBooked, OrderLine, OrderRejected
from integration_fabric.messages.quotes import ChargeType, QuoteApproved, QuoteLine

EAST, WEST = timezone(timedelta(hours=1)), timezone(-timedelta(hours=1))

# Both ways


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_message_type_comes_back_as_it_was(kind: type[Message], codec: AvroCodec) -> None:
    @settings(PATIENT, max_examples=30)
    @given(models(kind))
    def comes_back(message: Message) -> None:
        read_back = codec.decode(codec.encode(message), kind)
        validated = kind(**{name: getattr(read_back, name) for name in kind.model_fields})
        assert read_back == message == validated
        assert repr(read_back) == repr(validated)
        assert read_back.model_dump() == validated.model_dump()
        if kind is not Activity:  # holds keys, which are bytes and have no JSON
            assert read_back.model_dump_json() == validated.model_dump_json()
        assert read_back.model_dump(exclude_unset=True) == validated.model_dump(exclude_unset=True)
        assert read_back.model_fields_set == validated.model_fields_set
        assert read_back.__dict__.keys() == validated.__dict__.keys()
        assert read_back.key == message.key
        assert read_back.search_keys() == message.search_keys()

    comes_back()


def test_what_was_read_is_an_ordinary_model(codec: AvroCodec) -> None:
    message = create_order()
    read_back = codec.decode(codec.encode(message), CreateOrder)
    assert isinstance(read_back, CreateOrder)
    assert hash(read_back) == hash(message)
    assert {read_back: 1}[message] == 1
    assert copy.copy(read_back) == copy.deepcopy(read_back) == pickle.loads(pickle.dumps(read_back)) == message
    changed = read_back.model_copy(update={"currency": "SEK"})
    assert (changed.currency, read_back.currency) == ("SEK", "NOK")
    assert type(read_back.lines) is tuple
    assert type(read_back.lines[1]) is OrderLine
    assert read_back.lines[1].charge_type is ChargeType.RECURRING
    with pytest.raises(ValueError, match="frozen"):
        read_back.currency = "SEK"  # type: ignore[misc]


@pytest.mark.parametrize("kind", [QuoteApproved, Activity, ProcessChanged, InvoiceIssued], ids=lambda kind: kind.__name__)
def test_the_bytes_are_those_that_fastavro_reads_and_writes(kind: type[Message], codec: AvroCodec) -> None:
    @settings(PATIENT, max_examples=50)
    @given(models(kind))
    def agree(message: Message) -> None:
        value = codec.encode(message)
        record = bare_read(value, kind)
        assert message.model_dump() == _with_tuples(record)
        assert codec.decode(bare_write(value[:5], kind, record), kind) == message

    agree()


def _with_tuples(record: Any) -> Any:
    if isinstance(record, list):
        return tuple(_with_tuples(item) for item in record)
    return {name: _with_tuples(value) for name, value in record.items()} if isinstance(record, dict) else record


def test_the_wire_format_is_magic_id_body(codec: AvroCodec, registry: MemoryRegistry) -> None:
    schema_id = registry.id_of("erp.order-booked.v1-value", read(OrderBooked).text)
    assert schema_id is not None
    assert codec.encode(order_booked())[:5] == b"\0" + schema_id.to_bytes(4, "big")
    assert codec.dataschema(OrderBooked) == f"/schemas/ids/{schema_id}"


def test_defaults_that_nobody_set_are_written(codec: AvroCodec) -> None:
    line = QuoteLine.model_fields["charge_type"]
    assert line.default is ChargeType.UNKNOWN
    rejected = OrderRejected(order_id="SO-1", quote_id="Q-1", aggregate_version=1)
    assert codec.decode(codec.encode(rejected), OrderRejected) == rejected


# What does not fit is refused, never rounded


def _unfinished() -> OrderBooked:
    return OrderBooked.model_construct(order_id="SO-1")  # type: ignore[arg-type,call-arg]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (order_booked().model_copy(update={"order_id": None}), "order_id: null is no string"),
        (order_booked().model_copy(update={"order_id": b"SO-1"}), "order_id: this bytes is no string"),
        (order_booked().model_copy(update={"order_id": "\ud800"}), "order_id: this str is no string"),
        (order_booked(total_amount=Decimal("0.00001")), "total_amount: this Decimal is no decimal"),
        (order_booked(total_amount=Decimal("1E+14")), "total_amount: this Decimal is no decimal"),
        (order_booked(total_amount=Decimal("12345678901234567890.12345678901234567890")), "total_amount: this Decimal is no decimal"),
        (order_booked().model_copy(update={"total_amount": Decimal("NaN")}), "total_amount: this Decimal is no decimal"),
        (order_booked().model_copy(update={"total_amount": Decimal("Infinity")}), "total_amount: this Decimal is no decimal"),
        (order_booked().model_copy(update={"total_amount": 1.5}), "total_amount: this float is no decimal"),
        (order_booked().model_copy(update={"total_amount": 1}), "total_amount: this int is no decimal"),
        (order_booked(aggregate_version=2**63), "aggregate_version: this int is no long"),
        (order_booked().model_copy(update={"aggregate_version": True}), "aggregate_version: this bool is no long"),
        (order_booked().model_copy(update={"aggregate_version": 1.0}), "aggregate_version: this float is no long"),
        (_unfinished(), "quote_id: is missing"),
        (create_order().model_copy(update={"lines": order_line()}), "lines: this OrderLine is no array"),
        (create_order().model_copy(update={"lines": "abc"}), "lines: this str is no array"),
        (create_order().model_copy(update={"lines": None}), "lines: null is no array"),
        (
            create_order(lines=(order_line(), order_line(unit_price=Decimal("0.00001")))),
            r"lines\[1\]\.unit_price: this Decimal is no decimal",
        ),
        (create_order().model_copy(update={"lines": ({"unit": "each"},)}), r"lines\[0\]: this dict is no OrderLine"),
        (
            create_order().model_copy(update={"lines": (order_line().model_copy(update={"starts_on": datetime(2026, 1, 1, tzinfo=UTC)}),)}),
            r"starts_on: .* no date",
        ),
        (
            create_order().model_copy(update={"lines": (order_line().model_copy(update={"charge_type": "odd"}),)}),
            r"charge_type: .* no cpq\.v1\.Ch",
        ),
        (create_order().model_copy(update={"purchase_order_number": 7}), "purchase_order_number: this int is no string"),
        (activity(partition=2**31), r"transitions\[0\]\.partition: this int is no int"),
        (activity().model_copy(update={"committed_at": datetime(2026, 1, 1)}), "committed_at: this datetime is no timestamp-micros"),
        (
            activity().model_copy(update={"committed_at": datetime.min.replace(tzinfo=EAST)}),
            "committed_at: this datetime",
        ),
        (
            activity().model_copy(update={"committed_at": datetime.max.replace(tzinfo=WEST)}),
            "committed_at: this datetime",
        ),
        (activity().model_copy(update={"committed_at": 5}), "committed_at: this int is no timestamp-micros"),
    ],
)
def test_a_message_that_breaks_its_schema_is_refused_with_the_path(message: Message, words: str, codec: AvroCodec) -> None:
    with pytest.raises(ContractBroken, match=rf"^{message.schema_name}: .*{words}"):
        codec.encode(message)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("key", "text", "key: this str is no bytes"),
        ("duration_ms", "1", "duration_ms: this str is no double"),
        ("business_keys", {"order": 1}, r"business_keys\['order'\]: this int is no string"),
        ("business_keys", {1: "order"}, r"business_keys\[1\]: this int is no string"),
        ("business_keys", (), "business_keys: this tuple is no map"),
        ("outputs", ("a", None), r"outputs\[1\]: null is no string"),
    ],
)
def test_inside_parts_too(field: str, value: Any, words: str, codec: AvroCodec) -> None:
    (transition,) = activity().transitions
    with pytest.raises(ContractBroken, match=rf"transitions\[0\]\.{words}"):
        codec.encode(activity().model_copy(update={"transitions": (transition.model_copy(update={field: value}),)}))


def test_a_boolean_is_true_or_false(codec: AvroCodec) -> None:
    kind = next(kind for kind in MESSAGES if kind.__name__ == "ProductChanged")
    message = codec.decode(codec.encode(example(kind)), kind)
    with pytest.raises(ContractBroken, match="active: this int is no boolean"):
        codec.encode(message.model_copy(update={"active": 1}))


def test_the_refusal_does_not_tell_the_value(codec: AvroCodec) -> None:
    with pytest.raises(ContractBroken) as caught:
        codec.encode(create_order().model_copy(update={"bill_to": b"Somebody in particular"}))
    assert "Somebody" not in str(caught.value)


def test_decimals_are_exact_whatever_the_context_of_the_thread(codec: AvroCodec) -> None:
    message = order_booked(total_amount=Decimal("12345678901234.5678"))
    with decimal.localcontext(decimal.Context(prec=3)):
        assert codec.decode(codec.encode(message), OrderBooked) == message
    assert codec.decode(codec.encode(order_booked(total_amount=Decimal("1.50000000"))), OrderBooked) == order_booked(
        total_amount=Decimal("1.5")
    )


def test_a_message_larger_than_the_limit_is_not_written(registry: MemoryRegistry) -> None:
    small = AvroCodec(registry, max_value_bytes=100)
    small.prepare([OrderBooked])
    with pytest.raises(ContractBroken, match="bytes are more than the 100"):
        small.encode(order_booked(number="7" * 100))
