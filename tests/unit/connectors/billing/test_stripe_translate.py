"""Subscriptions as Stripe takes them: exact amounts, whole units, and refusals in the command's terms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from connectors.billing.stripe.forms import price_form, subscription_form
from connectors.billing.stripe.money import major_units, minor_units
from connectors.billing.stripe.records import Customer, InvoiceSettings, NewItem, Price, Recurrence, Subscription
from connectors.billing.stripe.refusals import Error, KeyReused, StripeRefused, failure
from connectors.billing.stripe.translate import (
    activated,
    cancelled,
    charging,
    days_until_due,
    new_item,
    new_subscription,
    price_terms,
    problem_of,
    unbillable,
)
from integration_fabric.connector_kit.actions import links_of
from integration_fabric.messages.errors import BadCredential, Transient, VendorDrift
from integration_fabric.messages.ids import System
from integration_fabric.messages.orders import OrderLine
from integration_fabric.messages.quotes import BillingPeriod, ChargeType
from integration_fabric.messages.subscriptions import CancelSubscription, StartSubscription

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHARGED = Customer(id="cus_1", invoice_settings=InvoiceSettings(default_payment_method="pm_1"))
INVOICED = Customer(id="cus_1")
TAX_RATES = {"NO-VAT-25": "txr_1"}


def line(**changes: Any) -> OrderLine:
    values: dict[str, Any] = {
        "order_line_id": "SO-1/1",
        "quote_line_id": "1",
        "product_id": "P-1",
        "description": "Plan",
        "quantity": Decimal(3),
        "unit": "User",
        "unit_price": Decimal("33.3333"),
        "charge_type": ChargeType.RECURRING,
        "billing_period": BillingPeriod.QUARTER,
        "starts_on": date(2026, 1, 15),
        "tax_code": "NO-VAT-25",
        "price_book_version": "2026-1",
    }
    return OrderLine(**{**values, **changes})


def command(*lines: OrderLine, **changes: Any) -> StartSubscription:
    values: dict[str, Any] = {
        "subscription_id": "SUB-1",
        "order_id": "SO-1",
        "contract_id": "CT-1",
        "customer_id": "C-1",
        "legal_entity": "NO",
        "currency": "NOK",
        "bill_to": "C-2",
        "payment_terms": "NET30",
        "lines": lines or (line(),),
    }
    return StartSubscription(**{**values, **changes})


def subscription(**changes: Any) -> Subscription:
    return Subscription(**{"id": "sub_1", "status": "active", "customer": "cus_1", "metadata": {}, "created": NOW, **changes})


def items(*lines: OrderLine) -> list[NewItem]:
    return [new_item(each, f"price_{number}", "txr_1") for number, each in enumerate(lines, start=1)]


# Money


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("33.3333", "NOK", "3333.33"), ("0.0001", "USD", "0.01"), ("1200", "JPY", "1200"), ("1.2345", "KWD", "1234.5"), ("0", "EUR", "0")],
)
def test_stripe_counts_in_the_smallest_unit(amount: str, currency: str, minor: str) -> None:
    assert minor_units(Decimal(amount), currency) == Decimal(minor)
    assert major_units(Decimal(minor), currency) == Decimal(amount)


@given(st.decimals(min_value=0, max_value=10**14 - 1, places=4))
def test_no_amount_is_rounded_on_its_way(amount: Decimal) -> None:
    form = price_form(price_terms(command(), line(unit_price=amount), correlation="Q-1"))

    assert Decimal(str(form["unit_amount_decimal"])) == amount * 100
    assert set(str(form["unit_amount_decimal"])) <= set("0123456789.")


# Prices


def test_a_price_is_that_of_its_line() -> None:
    form = price_form(price_terms(command(), line(), correlation="Q-1"))

    assert form == {
        "lookup_key": "SO-1/1",
        "product": "P-1",
        "currency": "nok",
        "unit_amount_decimal": Decimal("3333.33"),
        "tax_behavior": "exclusive",
        "recurring": {"interval": "month", "interval_count": 3, "usage_type": "licensed"},
        "metadata": {
            "order_line_id": "SO-1/1",
            "order_id": "SO-1",
            "subscription_id": "SUB-1",
            "correlation_id": "Q-1",
            "product_id": "P-1",
            "legal_entity": "NO",
            "tax_code": "NO-VAT-25",
            "price_book_version": "2026-1",
        },
    }


def test_a_price_is_recognised_by_what_it_charges() -> None:
    terms = price_terms(command(), line(), correlation="Q-1")
    price = Price(
        id="price_1",
        product="P-1",
        currency="nok",
        unit_amount_decimal=Decimal("3333.330"),
        recurring=Recurrence(interval="month", interval_count=3),
        metadata={**terms.metadata, "theirs": "x"},
    )

    assert terms.is_that_of(price)
    for change in ({"metadata": {}}, {"currency": "usd"}, {"unit_amount_decimal": Decimal(3333)}, {"recurring": None}, {"product": "P-2"}):
        assert not terms.is_that_of(price.model_copy(update=change))


# Subscriptions


def test_a_subscription_carries_its_ids_and_its_lines() -> None:
    usage = line(order_line_id="SO-1/2", charge_type=ChargeType.USAGE, quantity=Decimal("0.5"))
    form = subscription_form(new_subscription(command(line(), usage), INVOICED, items(line(), usage), NOW))

    assert form["customer"] == "cus_1"
    assert form["metadata"] == {
        "external_id": "SUB-1",
        "subscription_id": "SUB-1",
        "order_id": "SO-1",
        "contract_id": "CT-1",
        "customer_id": "C-1",
        "legal_entity": "NO",
    }
    first, second = form["items"]
    assert (first["price"], first["quantity"], second["price"]) == ("price_1", 3, "price_2")
    assert "quantity" not in second, "usage is reported, not sold by the unit"
    assert [item["metadata"]["order_line_id"] for item in (first, second)] == ["SO-1/1", "SO-1/2"]
    assert [item["tax_rates"] for item in (first, second)] == [["txr_1"], ["txr_1"]]


def test_a_payment_method_is_charged_and_must_not_fail_halfway() -> None:
    form = subscription_form(new_subscription(command(), CHARGED, items(line()), NOW))

    assert (form["collection_method"], form["payment_behavior"]) == ("charge_automatically", "error_if_incomplete")
    assert "days_until_due" not in form


def test_invoices_are_due_by_the_payment_terms() -> None:
    form = subscription_form(new_subscription(command(payment_terms="NET14"), INVOICED, items(line()), NOW))

    assert (form["collection_method"], form["days_until_due"]) == ("send_invoice", 14)


def test_it_starts_with_the_earliest_line() -> None:
    early, late = line(starts_on=date(2026, 1, 1)), line(starts_on=date(2026, 2, 1))

    past = subscription_form(new_subscription(command(late, early), INVOICED, items(late, early), NOW))
    future = subscription_form(new_subscription(command(late), INVOICED, items(late), NOW))

    assert past["backdate_start_date"] == int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    assert future["trial_end"] == int(datetime(2026, 2, 1, tzinfo=UTC).timestamp())
    assert "trial_end" not in past
    assert "backdate_start_date" not in future


@pytest.mark.parametrize(("terms", "days"), [("NET30", 30), ("NET0", 0), ("NET", None), ("30", None), ("NET1000", None), ("net30", None)])
def test_net_terms_are_days(terms: str, days: int | None) -> None:
    assert days_until_due(terms) == days


# Refusals


def test_what_is_billable_has_no_problems() -> None:
    assert unbillable(command(), None, TAX_RATES) == ()
    assert unbillable(command(payment_terms="CARD"), CHARGED, TAX_RATES) == ()
    assert unbillable(command(line(charge_type=ChargeType.USAGE, quantity=Decimal("0.5"))), None, TAX_RATES) == ()


@pytest.mark.parametrize(
    ("lines", "code", "field"),
    [
        ((line(), line(quantity=Decimal("1.5"))), "fractional-quantity", "lines[1].quantity"),
        ((line(quantity=Decimal(0)),), "fractional-quantity", "lines[0].quantity"),
        ((line(billing_period=BillingPeriod.UNKNOWN),), "unknown-billing-period", "lines[0].billing_period"),
    ],
)
def test_what_is_not_billable_is_named(lines: tuple[OrderLine, ...], code: str, field: str) -> None:
    (problem,) = unbillable(command(*lines), None, TAX_RATES)

    assert (problem.code, problem.field, problem.entity, problem.id) == (code, field, "product", "P-1")


def test_a_tax_code_that_billing_does_not_know_is_named() -> None:
    (problem,) = unbillable(command(line(), line(tax_code="NO-NEW")), None, TAX_RATES)

    assert (problem.entity, problem.id, problem.field, problem.code) == ("tax-code", "NO-NEW", "lines[1].tax_code", "unknown-tax-code")


def test_an_order_without_lines_is_not_billable() -> None:
    empty = command().model_copy(update={"lines": ()})

    assert [problem.code for problem in unbillable(empty, None, TAX_RATES)] == ["no-lines"]


@pytest.mark.parametrize(
    ("refused", "code", "entity", "field"),
    [
        (StripeRefused("no", status=402, code="card_declined", param="default_payment_method"), "card-declined", "customer", "bill_to"),
        (StripeRefused("no", status=402, code="expired_card"), "card-declined", "subscription", "subscription_id"),
        (StripeRefused("no", code="resource_missing", param="customer"), "resource-missing", "customer", "bill_to"),
        (StripeRefused("no", code="amount_too_large", param="items[0][unit_amount]"), "amount-too-large", "product", "lines[0]"),
        (StripeRefused("no", param="items[7]"), "refused-by-billing", "subscription", "subscription_id"),
    ],
)
def test_a_refusal_is_told_in_the_commands_terms(refused: StripeRefused, code: str, entity: str, field: str) -> None:
    problem = problem_of(refused, command())

    assert (problem.code, problem.entity, problem.field, problem.hint) == (code, entity, field, "no")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (402, Error(type="card_error", code="card_declined"), StripeRefused),
        (400, Error(type="invalid_request_error", code="resource_missing", param="customer"), StripeRefused),
        (404, Error(type="invalid_request_error", code="resource_missing"), StripeRefused),
        (400, Error(type="idempotency_error"), KeyReused),
        (409, Error(type="idempotency_error", code="idempotency_key_in_use"), Transient),
        (403, Error(type="invalid_request_error"), BadCredential),
        (400, Error(type="invalid_request_error", code="parameter_unknown", param="color"), VendorDrift),
        (404, Error(type="invalid_request_error", message="Unrecognized request URL"), VendorDrift),
    ],
)
def test_an_error_says_whether_it_is_a_refusal(status: int, error: Error, kind: type[Exception]) -> None:
    assert type(failure(status, error)) is kind


# Replies


def test_the_reply_links_subscription_and_payer() -> None:
    reply = activated(command(), subscription())

    assert (reply.native_id, reply.payer_id, reply.native_payer_id) == ("sub_1", command().bill_to, "cus_1")
    assert [(link.entity, link.canonical_id, link.native_id) for link in links_of(reply, System("stripe"))] == [
        ("subscription", "SUB-1", "sub_1"),
        ("customer", command().bill_to, "cus_1"),
    ]


def test_the_oldest_that_charges_counts() -> None:
    later = datetime(2026, 1, 3, tzinfo=UTC)
    found = [subscription(id="sub_3", created=later), subscription(id="sub_2"), subscription(id="sub_1", status="canceled")]

    chosen = charging(found)

    assert chosen is not None
    assert chosen.id == "sub_2"
    assert charging([subscription(status="incomplete"), subscription(status="incomplete_expired")]) is None


def test_a_cancellation_within_the_same_second_comes_later() -> None:
    cancel: Callable[..., CancelSubscription] = CancelSubscription
    started = activated(command(), subscription())
    ended = cancelled(cancel(subscription_id="SUB-1", order_id="SO-1", reason="r"), [subscription(status="canceled", canceled_at=NOW)])

    assert started.aggregate_version == 1_767_323_045_000_000
    assert ended.aggregate_version > started.aggregate_version
