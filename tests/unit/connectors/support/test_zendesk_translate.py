"""Entitlements as Zendesk takes them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st

from connectors.support.zendesk.records import Entitlement, Organization
from connectors.support.zendesk.refusals import ZendeskRefused, failure
from connectors.support.zendesk.translate import granted, new_entitlement, plain, problem_of
from integration_fabric.connector_kit.http_client import Answer
from integration_fabric.messages.entitlements import EntitlementLine, GrantEntitlements
from integration_fabric.messages.errors import BadCredential, Transient, VendorDrift

LINE = EntitlementLine(entitlement_id="E-1", product_id="P-1", level="standard", quantity=Decimal("2.50"), starts_on=date(2026, 1, 15))


def command(**changes: Any) -> GrantEntitlements:
    values: dict[str, Any] = {"contract_id": "CT-1", "order_id": "SO-1", "customer_id": "C-1", "lines": (LINE,)}
    return GrantEntitlements(**{**values, **changes})


def test_an_entitlement_says_what_is_covered() -> None:
    new = new_entitlement(command(), LINE, Organization(id=7))

    assert (new.external_id, new.name) == ("E-1", "P-1 for C-1")
    assert new.fields == {
        "contract_id": "CT-1",
        "order_id": "SO-1",
        "customer_id": "C-1",
        "organization": 7,
        "product_id": "P-1",
        "level": "standard",
        "quantity": "2.5",
        "starts_on": "2026-01-15",
        "ends_on": None,
    }


@given(st.decimals(min_value=0, max_value=10**14 - 1, places=4))
def test_quantities_stay_exact(quantity: Decimal) -> None:
    assert Decimal(plain(quantity)) == quantity
    assert "E" not in plain(quantity)


def test_the_reply_has_the_latest_time() -> None:
    saved = [
        Entitlement(id=str(second), custom_object_fields={}, updated_at=datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC))
        for second in (5, 9, 7)
    ]

    assert (
        granted(command(), saved, otherwise=1).aggregate_version == int(datetime(2026, 1, 2, 3, 4, 9, tzinfo=UTC).timestamp()) * 1_000_000
    )
    assert granted(command(lines=()), [], otherwise=1).aggregate_version == 1


def answer(status: int, **more: object) -> Answer:
    return Answer(httpx.Response(status, json={"error": "Some", "description": "because", **more}))


@pytest.mark.parametrize(
    ("status", "kind"), [(422, ZendeskRefused), (409, Transient), (403, BadCredential), (400, VendorDrift), (404, VendorDrift)]
)
def test_an_error_says_whether_it_is_a_refusal(status: int, kind: type[Exception]) -> None:
    assert type(failure(answer(status))) is kind


def test_a_refusal_is_told_in_the_commands_terms() -> None:
    refused = failure(answer(422, details={"external_id": [{"description": "External ID: cannot be blank", "error": "BlankValue"}]}))

    assert isinstance(refused, ZendeskRefused)
    line, customer = problem_of(refused, command(), 0), problem_of(refused, command(), None)
    assert (line.entity, line.id, line.field, line.code) == ("entitlement", "E-1", "lines[0]", "blank-value")
    assert (customer.entity, customer.id, customer.field) == ("customer", "C-1", "customer_id")
    assert line.hint == "External ID: cannot be blank"
    assert problem_of(ZendeskRefused("because"), command(), 0).code == "refused-by-support"
