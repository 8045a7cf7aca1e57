"""Onboardings as Gainsight takes them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from connectors.customer_success.gainsight.records import Cta
from connectors.customer_success.gainsight.refusals import AlreadyThere, GainsightRefused, failure
from connectors.customer_success.gainsight.translate import MAX_TEXT, new_cta, problem_of, started
from integration_fabric.connector_kit.http_client import Answer
from integration_fabric.messages.errors import BadCredential, VendorDrift
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


def test_the_contract_is_the_external_id() -> None:
    cta = new_cta(command())

    assert (cta.external_id, cta.company, cta.playbook, cta.due_on) == ("CT-1", "C-1", "recurring", date(2026, 1, 15))
    assert cta.products == "P-1, P-2", "each product once"
    assert "SO-1" in cta.comments


def test_a_text_that_is_too_long_is_cut() -> None:
    cta = new_cta(command(product_ids=tuple(f"PRODUCT-{number}" for number in range(100))))

    assert len(cta.products) == MAX_TEXT
    assert cta.products.endswith("…")


def test_the_reply_has_gainsights_id_and_time() -> None:
    cta = Cta.model_validate(
        {"Gsid": "1S01", "External_Id__c": "CT-1", "TypeName": "Onboarding", "StatusName": "New", "ModifiedDate": "2026-01-02T03:04:05Z"}
    )

    reply = started(command(), cta)

    assert (reply.native_id, reply.contract_id, reply.customer_id) == ("1S01", "CT-1", "C-1")
    assert reply.aggregate_version == int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 1_000_000


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
    ("code", "entity", "problem_code"),
    [("COCKPIT_1042", "customer", "unknown-customer"), ("COCKPIT_1041", "contract", "refused-by-customer-success")],
)
def test_a_refusal_is_told_in_the_commands_terms(code: str, entity: str, problem_code: str) -> None:
    problem = problem_of(GainsightRefused("because", code=code), command())

    assert (problem.entity, problem.code) == (entity, problem_code)
    assert problem.hint == f"because ({code})"
