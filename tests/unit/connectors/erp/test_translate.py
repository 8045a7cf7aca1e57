"""Orders as Tryton takes them, and everything that must be there before one is booked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.erp.tryton.records import Company, Customer, Product, Sale, SaleState, Tax
from connectors.erp.tryton.rest import TrytonRefused
from connectors.erp.tryton.translate import MasterData, activated, booked, cancelled, new_sale, problem_of, problems
from integration_fabric.messages.orders import ActivateOrder, CancelOrder, CreateOrder, OrderLine
from integration_fabric.messages.quotes import QuoteLine, ValidateQuote

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
COMPANY = Company(id=1, changed_at=AT, legal_entity="NO", name="Nordic", party=2, currency=3, currency_code="NOK")
CUSTOMER = Customer(id=20, changed_at=AT, code="C-1", name="Birch", address=21, active=True)
PRODUCT = Product(id=30, changed_at=AT, code="P-1", name="Plan", default_uom=31, active=True)
TAX = Tax(id=40, changed_at=AT, code="VAT", description="VAT 25 %", rate=Decimal("0.25"), company=1, active=True)
KNOWN = MasterData(
    company=COMPANY, currency=3, payment_term=5, customer=CUSTOMER, products={"P-1": PRODUCT}, unsalable=(), taxes={"VAT": TAX}
)
NOTHING = MasterData(company=None, currency=None, payment_term=None, customer=None, products={}, unsalable=(), taxes={})


def order_line(**changes: Any) -> OrderLine:
    values: dict[str, Any] = {
        "order_line_id": "SO-1/1",
        "quote_line_id": "1",
        "product_id": "P-1",
        "description": "Plan, yearly",
        "quantity": Decimal("2.5"),
        "unit": "Hour",
        "unit_price": Decimal("33.3333"),
        "starts_on": date(2026, 1, 15),
        "tax_code": "VAT",
        "price_book_version": "2026-1",
    }
    return OrderLine(**{**values, **changes})


def create(**changes: Any) -> CreateOrder:
    values: dict[str, Any] = {
        "order_id": "SO-1",
        "quote_id": "Q-1",
        "customer_id": "C-1",
        "legal_entity": "NO",
        "currency": "NOK",
        "bill_to": "C-1",
        "ship_to": "C-1",
        "payment_terms": "NET30",
        "lines": (order_line(),),
    }
    return CreateOrder(**{**values, **changes})


def validate(*lines: OrderLine) -> ValidateQuote:
    quoted = (QuoteLine(line_id=line.quote_line_id, **line.model_dump(exclude={"order_line_id", "quote_line_id"})) for line in lines)
    return ValidateQuote(quote_id="Q-1", customer_id="C-1", legal_entity="NO", currency="NOK", payment_terms="NET30", lines=tuple(quoted))


def sale(state: SaleState, **changes: Any) -> Sale:
    values: dict[str, Any] = {
        "id": 7,
        "changed_at": AT,
        "reference": "SO-1",
        "number": "NO-000007",
        "company": 1,
        "untaxed_amount": Decimal("83.33"),
        "total_amount": Decimal("104.16"),
    }
    return Sale(**{**values, "state": state, **changes})


# What must be there


def test_of_known_things_there_is_no_problem() -> None:
    assert problems(create(), KNOWN) == ()
    assert problems(validate(order_line()), KNOWN) == ()


def test_everything_that_is_missing_is_named_at_once() -> None:
    found = problems(validate(order_line(), order_line(product_id="P-2", tax_code="NEW")), NOTHING)

    assert [(problem.entity, problem.id, problem.field, problem.code) for problem in found] == [
        ("legal-entity", "NO", "legal_entity", "unknown-legal-entity"),
        ("customer", "C-1", "customer_id", "unknown-customer"),
        ("currency", "NOK", "currency", "unknown-currency"),
        ("payment-term", "NET30", "payment_terms", "unknown-payment-term"),
        ("product", "P-1", "lines[0].product_id", "unknown-product"),
        ("product", "P-2", "lines[1].product_id", "unknown-product"),
    ]
    assert all(problem.hint for problem in found)


def test_each_line_names_what_it_misses() -> None:
    lines = (order_line(tax_code="NEW"), order_line(), order_line(product_id="P-2"), order_line(tax_code="NEW"))

    found = problems(validate(*lines), KNOWN)

    assert [(problem.code, problem.id, problem.field) for problem in found] == [
        ("unknown-tax-code", "NEW", "lines[0].tax_code"),
        ("unknown-product", "P-2", "lines[2].product_id"),
        ("unknown-tax-code", "NEW", "lines[3].tax_code"),
    ]


def test_a_product_must_be_for_sale() -> None:
    assert [problem.code for problem in problems(create(), replace(KNOWN, unsalable={"P-1"}))] == ["unsalable-product"]


def test_a_customer_needs_an_address() -> None:
    nowhere = CUSTOMER.model_copy(update={"address": None})

    assert [problem.code for problem in problems(create(), replace(KNOWN, customer=nowhere))] == ["customer-without-address"]


def test_an_order_needs_lines() -> None:
    assert [problem.code for problem in problems(create(lines=()), KNOWN)] == ["no-lines"]


# Orders


def test_an_order_is_a_sale_of_the_systems_own_ids() -> None:
    found = new_sale(create(purchase_order_number="PO-7"), KNOWN)

    assert (found.reference, found.company, found.currency, found.party, found.address, found.payment_term) == ("SO-1", 1, 3, 20, 21, 5)
    (line,) = found.lines
    assert (line.product, line.unit, line.taxes) == (30, 31, (40,))
    assert (line.quantity, line.unit_price, line.description) == (Decimal("2.5"), Decimal("33.3333"), "Plan, yearly")
    assert found.description == "PO-7"


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({}, ""),
        ({"bill_to": "C-2"}, "bill to C-2"),
        ({"purchase_order_number": "PO-7", "bill_to": "C-2", "ship_to": "C-3"}, "PO-7; bill to C-2; ship to C-3"),
    ],
)
def test_parties_other_than_the_customer_are_for_people(changes: dict[str, Any], description: str) -> None:
    assert new_sale(create(**changes), KNOWN).description == description


# Replies


def test_a_booked_order_has_tryton_number_and_the_sum_without_tax() -> None:
    reply = booked(create(), sale(SaleState.QUOTATION))

    assert (reply.native_id, reply.number, reply.total_amount, reply.currency) == ("7", "NO-000007", Decimal("83.33"), "NOK")
    assert reply.aggregate_version == 1_767_323_045_678_901


def test_an_activated_and_a_cancelled_order() -> None:
    activate = ActivateOrder(order_id="SO-1", legal_entity="NO")
    cancel = CancelOrder(order_id="SO-1", legal_entity="NO", reason="r")

    assert activated(activate, sale(SaleState.PROCESSING)).activated_at == AT
    assert cancelled(cancel, sale(SaleState.CANCELLED)).aggregate_version == 1_767_323_045_678_901


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        (None, 404, "unknown-order"),
        (None, 400, "refused-by-erp"),
        (SaleState.DRAFT, 400, "refused-by-erp"),
        (SaleState.QUOTATION, 400, "refused-by-erp"),
        (SaleState.CANCELLED, 200, "order-cancelled"),
        (SaleState.CONFIRMED, 400, "order-already-activated"),
        (SaleState.PROCESSING, 400, "order-already-activated"),
        (SaleState.DONE, 400, "order-already-activated"),
    ],
)
def test_a_refusal_is_told_by_the_state_of_the_sale(state: SaleState | None, status: int, code: str) -> None:
    problem = problem_of(TrytonRefused("You can not", status), "SO-1", sale(state) if state else None)

    assert (problem.code, problem.entity, problem.id, problem.field, problem.hint) == (code, "order", "SO-1", "order_id", "You can not")
