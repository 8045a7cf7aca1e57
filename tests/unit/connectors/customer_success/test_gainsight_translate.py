"""Onboardings and interventions as Gainsight takes them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from connectors.customer_success.gainsight.records import Cta
from connectors.customer_success.gainsight.refusals import AlreadyThere, GainsightRefused, failure
from connectors.customer_success.gainsight.translate import (
    MAX_TEXT,
    closed,
    closing_comments,
    new_cta,
    new_risk,
    opened,
    problem_of,
    started,
    unknown,
)
from integration_fabric.connector_kit.http_client import Answer
from integration_fabric.messages.errors import BadCredential, VendorDrift
from integration_fabric.messages.ids import CustomerId, InterventionId
from integration_fabric.messages.interventions import CloseIntervention, OpenIntervention, Severity
from integration_fabric.messages.onboardings import StartOnboarding


def command(**changes: Any) -> StartOnboarding:
    values: dict[str, Any] = {
        "contract_id": "CT-1",
        "order_id": "SO-1",
        "customer_id": "C-1",
        "plan": "recurring",
        "starts_on": date(2026, 1, 15),
        "product_ids": ("P-1", "P-2", "P-1"),
    }
    return StartOnboarding(**{**values, **changes})


MODIFIED = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 1_000_000


def cta(**changes: Any) -> Cta:
    values = {"Gsid": "1S01", "TypeName": "Onboarding", "StatusName": "New", "IsClosed": False, "ModifiedDate": "2026-01-02T03:04:05Z"}
    return Cta.model_validate({**values, **changes})


def test_the_contract_is_the_external_id() -> None:
    new = new_cta(command())

    assert (new.external_id, new.type, new.company) == ("CT-1", "Onboarding", "C-1")
    assert (new.playbook, new.due_on) == ("recurring", date(2026, 1, 15))
    assert new.products == "P-1, P-2", "each product once"
    assert "SO-1" in new.comments


def test_a_text_that_is_too_long_is_cut() -> None:
    products = new_cta(command(product_ids=tuple(f"PRODUCT-{number}" for number in range(100)))).products or ""

    assert len(products) == MAX_TEXT
    assert products.endswith("…")


def test_the_reply_has_gainsights_id_and_time() -> None:
    reply = started(command(), cta())

    assert (reply.native_id, reply.contract_id, reply.customer_id) == ("1S01", "CT-1", "C-1")
    assert reply.aggregate_version == MODIFIED


def opening(**changes: Any) -> OpenIntervention:
    values: dict[str, Any] = {"intervention_id": "IV-1", "customer_id": "C-1", "invoice_id": "INV-1", "reason": "not paid"}
    return OpenIntervention(**{**values, **changes})


CLOSING = CloseIntervention(intervention_id=InterventionId("IV-1"), customer_id=CustomerId("C-1"), resolution="paid")


@pytest.mark.parametrize(
    ("severity", "priority"),
    [(Severity.UNKNOWN, "Medium"), (Severity.LOW, "Low"), (Severity.MEDIUM, "Medium"), (Severity.HIGH, "High")],
)
def test_an_intervention_is_a_risk_of_its_severity(severity: Severity, priority: str) -> None:
    risk = new_risk(opening(severity=severity))

    assert (risk.external_id, risk.type, risk.company, risk.invoice_id) == ("IV-1", "Risk", "C-1", "INV-1")
    assert (risk.reason, risk.comments, risk.priority) == ("not paid", "not paid", priority)


def test_a_long_reason_stands_whole_in_the_comments() -> None:
    risk = new_risk(opening(reason="x" * 300))

    assert (len(risk.name), len(risk.reason or ""), len(risk.comments)) == (MAX_TEXT, MAX_TEXT, 300)


@pytest.mark.parametrize(("before", "after"), [(None, "paid"), ("", "paid"), ("not paid", "not paid\npaid")])
def test_the_resolution_stands_below_what_people_wrote(before: str | None, after: str) -> None:
    assert closing_comments(cta(Comments=before), CLOSING) == after


def test_the_replies_about_an_intervention_have_gainsights_time() -> None:
    assert (opened(opening(), cta()).native_id, opened(opening(), cta()).aggregate_version) == ("1S01", MODIFIED)
    assert closed(CLOSING, cta()).aggregate_version == MODIFIED


def test_what_was_never_opened_is_named() -> None:
    problem = unknown(CLOSING)

    assert (problem.entity, problem.id, problem.code) == ("intervention", "IV-1", "unknown-intervention")


def answer(status: int, code: str) -> Answer:
    return Answer(httpx.Response(status, json={"result": False, "errorCode": code, "errorDesc": "because"}))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "COCKPIT_1019", AlreadyThere),
        (400, "COCKPIT_1042", GainsightRefused),
        (400, "GSOBJ_1006", GainsightRefused),
        (400, "GSOBJ_1007", VendorDrift),
        (404, "GSOBJ_1004", VendorDrift),
        (403, "GU_1103", BadCredential),
    ],
)
def test_an_error_says_whether_it_is_a_refusal(status: int, code: str, kind: type[Exception]) -> None:
    assert type(failure(answer(status, code))) is kind


@pytest.mark.parametrize(
    ("refused", "code", "told"),
    [
        (command(), "COCKPIT_1042", ("customer", "C-1", "unknown-customer")),
        (command(), "COCKPIT_1041", ("contract", "CT-1", "refused-by-customer-success")),
        (opening(), "COCKPIT_1042", ("customer", "C-1", "unknown-customer")),
        (opening(), "COCKPIT_1019", ("intervention", "IV-1", "refused-by-customer-success")),
        (CLOSING, "COCKPIT_1051", ("intervention", "IV-1", "refused-by-customer-success")),
    ],
)
def test_a_refusal_is_told_in_the_commands_terms(refused: Any, code: str, told: tuple[str, str, str]) -> None:
    problem = problem_of(GainsightRefused("because", code=code), refused)

    assert (problem.entity, problem.id, problem.code) == told
    assert problem.hint == f"because ({code})"
