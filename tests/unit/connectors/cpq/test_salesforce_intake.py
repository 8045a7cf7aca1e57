"""Salesforce's webhooks: exact numbers, bundles, and the field path of what the pinned version does not allow."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st
from salesforce_payload import LINE, PAYLOAD

from connectors.cpq.salesforce.intake import SalesforceIntake
from connectors.cpq.salesforce.translate import exact_json
from integration_fabric.messages.errors import VendorDrift
from integration_fabric.messages.quotes import BillingPeriod, ChargeType, QuoteApproved, QuoteKind


def payload(*lines: dict[str, Any], **quote: Any) -> bytes:
    changed = deepcopy(PAYLOAD)
    changed["sobject"] |= quote
    if lines:
        changed["sobject"]["SBQQ__LineItems__r"]["records"] = [LINE | line for line in lines]
    return json.dumps(changed).encode()


def event(raw: bytes) -> QuoteApproved:
    (incoming,) = SalesforceIntake().events(raw, {})
    assert isinstance(incoming.body, QuoteApproved)
    return incoming.body


def test_a_quote() -> None:
    (incoming,) = SalesforceIntake().events(payload(), {})
    found = incoming.body

    assert isinstance(found, QuoteApproved)
    assert (incoming.native_event_id, incoming.correlation_id, incoming.legal_entity) == ("Q-1001/4", "Q-1001", "NO")
    assert (found.quote_id, found.customer_id, found.bill_to, found.ship_to) == ("Q-1001", "C-1001", "C-1002", "C-1003")
    assert (found.kind, found.contract_id, found.aggregate_version) == (QuoteKind.NEW, None, 4)
    assert found.approved_at == datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    (line,) = found.lines
    assert (line.quantity, line.unit_price, line.starts_on, line.ends_on) == (
        Decimal(12),
        Decimal("99.9"),
        date(2026, 1, 15),
        date(2027, 1, 14),
    )
    assert (line.charge_type, line.billing_period) == (ChargeType.RECURRING, BillingPeriod.QUARTER)


def test_another_event_about_the_same_version_is_the_same_event() -> None:
    again = json.dumps(PAYLOAD | {"eventId": "80", "eventTime": "2026-01-02T03:09:05.678+0000"}).encode()

    (first,), (second,) = SalesforceIntake().events(payload(), {}), SalesforceIntake().events(again, {})

    assert second == first


@given(st.decimals(min_value=0, max_value=10**14 - 1, places=4))
def test_amounts_stay_exact(amount: Decimal) -> None:
    text = json.dumps(PAYLOAD).replace("99.9", format(amount, "f")).encode()

    assert event(text).lines[0].unit_price == amount


@given(st.decimals(min_value=-(10**14), max_value=10**14, places=4))
def test_decimals_are_written_as_they_are(amount: Decimal) -> None:
    written = exact_json({"a": [amount, {"b": None}, True, 'text "quoted"']})

    assert json.loads(written, parse_float=Decimal, parse_int=Decimal) == {"a": [amount, {"b": None}, True, 'text "quoted"']}


def test_a_renewal_names_its_contract() -> None:
    found = event(payload(SBQQ__Type__c="Renewal", SBQQ__MasterContract__c="CT-7"))

    assert (found.kind, found.contract_id) == (QuoteKind.RENEWAL, "CT-7")


def test_options_belong_to_the_outermost_bundle() -> None:
    option = {"SBQQ__RequiredBy__r": {"Name": "1"}}
    found = event(
        payload(
            {"SBQQ__Bundle__c": True},
            {"Name": "2", **option},
            {"Name": "3", "SBQQ__Bundle__c": True, **option},
            {"Name": "4", "SBQQ__RequiredBy__r": {"Name": "3"}},
            {"Name": "5"},
        )
    )

    assert [(line.line_id, line.parent_line_id, line.bundle_id) for line in found.lines] == [
        ("1", None, "1"),
        ("2", "1", "1"),
        ("3", "1", "1"),
        ("4", "3", "1"),
        ("5", None, None),
    ]


def test_a_line_without_a_description_is_called_by_its_product() -> None:
    assert event(payload({"SBQQ__Description__c": None})).lines[0].description == "ANL-STR"


QUOTE, RECORDS = "sobject", "sobject.SBQQ__LineItems__r.records"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (payload(SBQQ__Account__c=None), f"{QUOTE}.SBQQ__Account__c"),
        (payload(CurrencyIsoCode="kroner"), f"{QUOTE}.CurrencyIsoCode"),
        (payload(SBQQ__Status__c="Draft"), f"{QUOTE}.SBQQ__Status__c"),
        (payload(SBQQ__Type__c="Amendment"), f"{QUOTE}.SBQQ__Type__c"),
        (payload(SBQQ__Type__c="Renewal"), f"{QUOTE}.SBQQ__MasterContract__c"),
        (payload(Approved_At__c=None), f"{QUOTE}.Approved_At__c"),
        (payload(Approved_At__c="2026-01-02T03:04:05"), f"{QUOTE}.Approved_At__c"),
        (payload(Version__c=0), f"{QUOTE}.Version__c"),
        (payload(SBQQ__LineItems__r=None), f"{QUOTE}.SBQQ__LineItems__r"),
        (payload(SBQQ__LineItems__r={"records": []}), RECORDS),
        (payload({}, {"Name": "1"}), f"{RECORDS}[1].Name"),
        (payload({"SBQQ__RequiredBy__r": {"Name": "9"}}), f"{RECORDS}[0].SBQQ__RequiredBy__r.Name"),
        (payload({"SBQQ__Quantity__c": "many"}), f"{RECORDS}[0].SBQQ__Quantity__c"),
        (payload({"SBQQ__NetPrice__c": 0.00001}), f"{RECORDS}[0].SBQQ__NetPrice__c"),
        (payload({"SBQQ__BillingFrequency__c": "Weekly"}), f"{RECORDS}[0].SBQQ__BillingFrequency__c"),
        (payload({"Tax_Code__c": ""}), f"{RECORDS}[0].Tax_Code__c"),
        (payload({"SBQQ__StartDate__c": "soon"}), f"{RECORDS}[0].SBQQ__StartDate__c"),
        (json.dumps(PAYLOAD | {"eventType": "quote.deleted"}).encode(), "eventType"),
        (json.dumps({"eventType": "quote.approved"}).encode(), "sobject"),
    ],
)
def test_what_the_pinned_version_does_not_allow_is_drift_with_its_path(raw: bytes, path: str) -> None:
    with pytest.raises(VendorDrift) as drift:
        SalesforceIntake().events(raw, {})

    assert drift.value.path == path


@pytest.mark.parametrize("raw", [b"", b"quote", b"[]", b"null", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_payload_is_drift(raw: bytes) -> None:
    with pytest.raises(VendorDrift):
        SalesforceIntake().references(raw)
    with pytest.raises(VendorDrift):
        SalesforceIntake().events(raw, {})
