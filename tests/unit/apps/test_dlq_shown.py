"""How a dead letter from outside is shown: it never stood on a topic, and people want to read what the system sent."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from integration_fabric.apps.cli import dlq
from integration_fabric.delivery.dead_letters import DeadLetterView, quarantine, view
from integration_fabric.messages.errors import VendorDrift
from integration_fabric.runtime.records import Record

AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def dead(payload: bytes) -> DeadLetterView:
    record = quarantine("stripe", payload, VendorDrift("not a number", path="data.object.total"), receipt_id="r-1", at=AT)
    return view(Record(record.topic, 0, 3, record.key, record.value, record.headers, 0))


def shown(item: DeadLetterView) -> str:
    out = Console(file=io.StringIO(), width=120)
    dlq._show(out, item, None)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_it_says_that_it_came_from_outside_and_shows_the_payload() -> None:
    text = shown(dead(b'{"id": "evt_1"}'))
    assert "outside" in text
    assert "data.object.total: not a number" in text
    assert '"id": "evt_1"' in text


def test_tools_read_no_place_where_there_is_none() -> None:
    document = dlq._document(dead(b"{}"))
    assert (document["topic"], document["partition"], document["offset"]) == (None, None, None)
    assert (document["class"], document["code"], document["subscriber"]) == ("vendor_drift", "vendor-drift", "stripe.intake")


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"<html>"])
def test_what_is_no_json_is_shown_as_bytes(payload: bytes) -> None:
    assert f"{len(payload)} bytes that are no message" in shown(dead(payload))
