"""Stripe's events: issued once whichever comes first, exact amounts, and the field path of what the pinned version does not allow."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from connectors.billing.stripe.intake import StripeIntake
from integration_fabric.connector_kit.intake import Incoming, Reference
from integration_fabric.messages.errors import DataProblem, MissingParent, VendorDrift
from integration_fabric.messages.invoices import DisputeOpened, InvoiceIssued
from integration_fabric.messages.payments import PaymentFailed, PaymentPosted

CREATED = 1_767_323_045
FINALIZED = CREATED + 1
PAID_AT = CREATED + 60
LINKED = {Reference("subscription", "sub_1"): "SUB-1", Reference("customer", "cus_1"): "C-2"}
METADATA = {
    "order_line_id": "SO-1/1",
    "order_id": "SO-1",
    "subscription_id": "SUB-1",
    "product_id": "P-1",
    "legal_entity": "NO",
    "tax_code": "NO-VAT-25",
    "price_book_version": "2026-1",
}
LINE: dict[str, Any] = {
    "id": "il_1",
    "object": "line_item",
    "amount": 10000,
    "currency": "nok",
    "description": "3 x Plan",
    "metadata": {},
    "period": {"start": 1_768_435_200, "end": 1_771_113_600},
    "plan": {"id": "price_1", "usage_type": "licensed", "metadata": METADATA},
    "price": {"id": "price_1", "product": "P-1", "unit_amount_decimal": "3333.33", "metadata": METADATA},
    "proration": False,
    "quantity": 3,
    "tax_amounts": [{"amount": 2500, "inclusive": False, "tax_rate": "txr_1"}],
}
INVOICE: dict[str, Any] = {
    "id": "in_1",
    "object": "invoice",
    "created": CREATED,
    "status": "open",
    "customer": "cus_1",
    "subscription": "sub_1",
    "currency": "nok",
    "number": "F-0001",
    "total": 12500,
    "amount_due": 12500,
    "amount_paid": 0,
    "attempt_count": 0,
    "charge": None,
    "payment_intent": None,
    "paid_out_of_band": False,
    "due_date": 1_769_915_045,
    "next_payment_attempt": None,
    "status_transitions": {"finalized_at": FINALIZED, "paid_at": None, "voided_at": None},
    "lines": {"object": "list", "data": [LINE], "has_more": False},
    "a_field_of_next_year": {"more": True},
}
PAID = {
    "status": "paid",
    "amount_paid": 12500,
    "attempt_count": 1,
    "charge": "ch_1",
    "payment_intent": "pi_1",
    "status_transitions": {"finalized_at": FINALIZED, "paid_at": PAID_AT},
}


def payload(kind: str = "invoice.finalized", *lines: dict[str, Any], **invoice: Any) -> bytes:
    about = deepcopy(INVOICE) | invoice
    if lines:
        about["lines"] = {"data": [deepcopy(LINE) | line for line in lines], "has_more": False}
    return json.dumps({"id": "evt_1", "object": "event", "type": kind, "created": CREATED + 61, "data": {"object": about}}).encode()


def taken_in(raw: bytes) -> list[Incoming]:
    return list(StripeIntake().events(raw, LINKED))


def issued(raw: bytes) -> InvoiceIssued:
    body = taken_in(raw)[0].body
    assert isinstance(body, InvoiceIssued)
    return body


# Invoices


def test_an_issued_invoice_says_all_that_the_books_need() -> None:
    (incoming,) = taken_in(payload())
    found = incoming.body

    assert (incoming.native_event_id, incoming.correlation_id, incoming.legal_entity) == ("in_1/issued", "in_1", "NO")
    assert isinstance(found, InvoiceIssued)
    assert (found.invoice_id, found.native_id, found.number) == ("in_1", "in_1", "F-0001")
    assert (found.subscription_id, found.order_id, found.customer_id, found.legal_entity) == ("SUB-1", "SO-1", "C-2", "NO")
    assert (found.currency, found.total_amount, found.tax_amount) == ("NOK", Decimal("125.00"), Decimal("25.00"))
    assert (found.issued_on, found.due_on) == (date(2026, 1, 2), date(2026, 2, 1))
    assert found.aggregate_version == FINALIZED * 1_000_000
    (line,) = found.lines
    assert (line.invoice_line_id, line.order_line_id, line.product_id, line.tax_code) == ("il_1", "SO-1/1", "P-1", "NO-VAT-25")
    assert (line.quantity, line.unit_price, line.amount, line.tax_amount) == (Decimal(3), Decimal("33.3333"), Decimal(100), Decimal(25))
    assert (line.period_starts_on, line.period_ends_on) == (date(2026, 1, 15), date(2026, 2, 14))
    assert (line.description, line.price_book_version) == ("3 x Plan", "2026-1")


@pytest.mark.parametrize("kind", ["invoice.paid", "invoice.payment_succeeded", "invoice.payment_failed"])
def test_an_invoice_is_issued_with_whichever_event_comes_first(kind: str) -> None:
    (first,) = taken_in(payload())
    later = taken_in(payload(kind, **(PAID if "failed" not in kind else {"attempt_count": 1, "charge": "ch_0"})))

    assert later[0] == first
    assert len(later) == 2


def test_it_asks_for_subscription_and_customer() -> None:
    assert list(StripeIntake().references(payload())) == [Reference("subscription", "sub_1"), Reference("customer", "cus_1")]
    assert list(StripeIntake().references(payload(subscription=None))) == [Reference("customer", "cus_1")]


@pytest.mark.parametrize("missing", list(LINKED))
def test_what_nobody_has_linked_yet_has_no_parent(missing: Reference) -> None:
    linked = {reference: identity for reference, identity in LINKED.items() if reference != missing}

    with pytest.raises(MissingParent, match=missing.native_id):
        StripeIntake().events(payload(), linked)


def test_an_invoice_without_a_subscription_is_the_customers() -> None:
    assert issued(payload(subscription=None)).subscription_id is None


@pytest.mark.parametrize(
    "raw",
    [
        payload("invoice.created"),
        payload("customer.subscription.created"),
        json.dumps({"id": "evt_1", "type": "radar.early_fraud_warning.created", "created": 1, "data": {"object": 7}}).encode(),
        payload(status="draft"),
        payload("invoice.payment_succeeded", {"amount": 0, "tax_amounts": []}, total=0, status="paid"),
        payload(lines={"data": [], "has_more": False}, total=0),
    ],
)
def test_everything_else_makes_no_events_and_asks_for_nothing(raw: bytes) -> None:
    assert taken_in(raw) == []
    assert list(StripeIntake().references(raw)) == []


def test_a_line_for_usage_that_nobody_reported_is_left_out() -> None:
    usage = {"id": "il_2", "amount": 0, "quantity": 0, "tax_amounts": [], "plan": {"usage_type": "metered"}}

    assert [line.invoice_line_id for line in issued(payload("invoice.finalized", {}, usage)).lines] == ["il_1"]


# Amounts


@pytest.mark.parametrize(
    ("currency", "minor", "amount"), [("nok", 12345, "123.45"), ("jpy", 12345, "12345"), ("kwd", 12345, "12.345"), ("usd", 1, "0.01")]
)
def test_amounts_are_those_of_the_currency(currency: str, minor: int, amount: str) -> None:
    found = issued(payload("invoice.finalized", {"amount": minor, "tax_amounts": []}, total=minor, currency=currency))

    assert found.total_amount == found.lines[0].amount == Decimal(amount)
    assert found.tax_amount == 0


@given(st.lists(st.tuples(st.integers(-(10**12), 10**12).filter(bool), st.integers(0, 10**9)), min_size=1, max_size=8))
def test_no_amount_is_rounded_and_the_lines_make_the_total(lines: list[tuple[int, int]]) -> None:
    made = [{"id": f"il_{n}", "amount": net, "tax_amounts": [{"amount": tax, "inclusive": False}]} for n, (net, tax) in enumerate(lines)]
    found = issued(payload("invoice.finalized", *made, total=sum(net + tax for net, tax in lines)))

    assert [(line.amount * 100, line.tax_amount * 100) for line in found.lines] == lines
    assert sum(line.amount + line.tax_amount for line in found.lines) == found.total_amount
    assert all(abs(line.quantity * line.unit_price - line.amount) < Decimal("0.01") for line in found.lines)


def test_a_tax_that_is_in_the_amount_is_taken_out_of_it() -> None:
    found = issued(payload("invoice.finalized", {"amount": 12500, "tax_amounts": [{"amount": 2500, "inclusive": True}]}))

    assert (found.total_amount, found.tax_amount, found.lines[0].amount) == (Decimal(125), Decimal(25), Decimal(100))


def test_what_was_sold_as_one_sum_keeps_its_quantity_and_price() -> None:
    plan = {"product": "P-1", "metadata": {**METADATA, "quantity": "3", "unit_price": "33.3333"}}
    found = issued(payload("invoice.finalized", {"quantity": 1, "price": None, "plan": plan}))

    assert (found.lines[0].quantity, found.lines[0].unit_price, found.lines[0].amount) == (Decimal(3), Decimal("33.3333"), Decimal(100))


def test_a_part_of_a_period_is_one_unit_at_its_amount() -> None:
    found = issued(payload("invoice.finalized", {"amount": 4321, "tax_amounts": [], "proration": True}, total=4321))

    assert (found.lines[0].quantity, found.lines[0].unit_price) == (Decimal(1), Decimal("43.21"))


# Payments


@pytest.mark.parametrize("kind", ["invoice.paid", "invoice.payment_succeeded"])
def test_both_events_of_a_payment_are_one(kind: str) -> None:
    incoming = taken_in(payload(kind, **PAID))[1]
    found = incoming.body

    assert (incoming.native_event_id, incoming.correlation_id, incoming.legal_entity) == ("ch_1/posted", "in_1", "NO")
    assert isinstance(found, PaymentPosted)
    assert (found.payment_id, found.invoice_id, found.currency, found.amount) == ("ch_1", "in_1", "NOK", Decimal("125.00"))
    assert (found.paid_at, found.method) == (datetime.fromtimestamp(PAID_AT, UTC), "card")


@pytest.mark.parametrize(
    ("changes", "payment", "method"),
    [
        ({"charge": {"id": "ch_7", "failure_code": None}}, "ch_7", "card"),
        ({"charge": "py_7"}, "py_7", "bank"),
        ({"charge": None}, "pi_1", "card"),
        ({"charge": None, "payment_intent": None, "paid_out_of_band": True}, "in_1/paid", "out-of-band"),
    ],
)
def test_a_payment_is_called_by_the_best_id_there_is(changes: dict[str, Any], payment: str, method: str) -> None:
    body = taken_in(payload("invoice.paid", **PAID | changes))[1].body

    assert isinstance(body, PaymentPosted)
    assert (body.payment_id, body.method) == (payment, method)


def test_an_invoice_that_credit_paid_has_no_payment() -> None:
    assert [type(each.body) for each in taken_in(payload("invoice.paid", **PAID | {"amount_paid": 0, "charge": None}))] == [InvoiceIssued]


def test_each_failed_attempt_is_told() -> None:
    again = CREATED + 300_000
    incoming = taken_in(payload("invoice.payment_failed", attempt_count=2, charge="ch_2", next_payment_attempt=again))[1]
    found = incoming.body

    assert incoming.native_event_id == "ch_2/failed/2"
    assert isinstance(found, PaymentFailed)
    assert (found.payment_id, found.invoice_id, found.customer_id, found.amount) == ("ch_2", "in_1", "C-2", Decimal("125.00"))
    assert (found.attempt, found.code, found.next_attempt_at) == (2, "payment_failed", datetime.fromtimestamp(again, UTC))


def test_a_failure_without_a_charge_is_told_apart_by_its_attempt() -> None:
    ids = {taken_in(payload("invoice.payment_failed", attempt_count=attempt))[1].native_event_id for attempt in (1, 2)}
    shown = taken_in(
        payload("invoice.payment_failed", charge={"id": "ch_3", "failure_code": "card_declined"}, next_payment_attempt=CREATED)
    )

    assert len(ids) == 2
    assert isinstance(shown[1].body, PaymentFailed)
    assert (shown[1].body.code, shown[1].body.next_attempt_at) == ("card_declined", None)


# Disputes


def dispute(charge: Any) -> bytes:
    about = {"id": "du_1", "created": CREATED, "amount": 12500, "currency": "nok", "reason": "fraudulent", "charge": charge}
    return json.dumps({"id": "evt_9", "type": "charge.dispute.created", "created": CREATED, "data": {"object": about}}).encode()


def test_a_dispute_is_about_the_invoice_of_its_charge() -> None:
    (incoming,) = taken_in(dispute({"id": "ch_1", "invoice": INVOICE}))
    found = incoming.body

    assert (incoming.native_event_id, incoming.correlation_id) == ("du_1/opened", "in_1")
    assert isinstance(found, DisputeOpened)
    assert (found.invoice_id, found.dispute_id, found.legal_entity, found.reason) == ("in_1", "du_1", "NO", "fraudulent")
    assert (found.currency, found.amount) == ("NOK", Decimal("125.00"))


@pytest.mark.parametrize("charge", ["ch_1", {"id": "ch_1", "invoice": "in_1"}])
def test_a_dispute_of_a_bare_charge_waits_for_the_poller(charge: Any) -> None:
    with pytest.raises(MissingParent, match="ch_1"):
        taken_in(dispute(charge))


# What is missing, and what is not as it was agreed


@pytest.mark.parametrize(
    ("name", "field", "code"),
    [
        ("legal_entity", "lines[0].price.metadata.legal_entity", "unknown-legal-entity"),
        ("tax_code", "lines[0].price.metadata.tax_code", "unknown-tax-code"),
    ],
)
def test_a_price_that_was_not_made_by_us_is_a_data_problem(name: str, field: str, code: str) -> None:
    told = {key: value for key, value in METADATA.items() if key != name}
    raw = payload("invoice.finalized", {"plan": None, "price": {"product": "P-1", "metadata": told}})

    with pytest.raises(DataProblem) as problem:
        taken_in(raw)

    assert (problem.value.field, problem.value.problem_code) == (field, code)


LINES = "data.object.lines.data"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (payload(customer=None), "data.object.customer"),
        (payload(status="frozen"), "data.object.status"),
        (payload(currency="kroner"), "data.object.currency"),
        (payload(total="12500"), "data.object.total"),
        (payload(total=12501), "data.object.total"),
        (payload(lines=None), "data.object.lines"),
        (payload(lines={"data": [LINE], "has_more": True}), "data.object.lines.has_more"),
        (payload(status_transitions=None), "data.object.status_transitions"),
        (payload(charge=7), "data.object.charge"),
        (payload("invoice.finalized", {}, {"amount": 1.5}), f"{LINES}[1].amount"),
        (payload("invoice.finalized", {"period": {"start": 1}}), f"{LINES}[0].period.end"),
        (payload("invoice.finalized", {"quantity": -1}), f"{LINES}[0].quantity"),
        (payload("invoice.finalized", {"tax_amounts": [{"inclusive": False}]}), f"{LINES}[0].tax_amounts[0].amount"),
        (
            payload("invoice.finalized", {"price": {"product": "P-1", "metadata": {**METADATA, "quantity": "some"}}}),
            f"{LINES}[0].price.metadata.quantity",
        ),
        (dispute(None), "data.object.charge"),
        (json.dumps({"id": "evt_1", "created": 1}).encode(), "type"),
    ],
)
def test_what_the_pinned_version_does_not_allow_is_drift_with_its_path(raw: bytes, path: str) -> None:
    with pytest.raises(VendorDrift) as drift:
        taken_in(raw)

    assert drift.value.path == path


@pytest.mark.parametrize("raw", [b"", b"invoice", b"[]", b"null", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_payload_is_drift(raw: bytes) -> None:
    with pytest.raises(VendorDrift):
        StripeIntake().references(raw)
    with pytest.raises(VendorDrift):
        taken_in(raw)
