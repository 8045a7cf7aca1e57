"""A dead letter is the record byte for byte, with bounded headers that say everything (guarantee G5)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis.strategies import binary, lists, none, one_of, text, tuples

from integration_fabric.delivery.dead_letters import PREFIX, bury, fingerprint, view
from integration_fabric.messages.errors import FailureClass
from integration_fabric.runtime.executor import Attempt, DeadLetter
from integration_fabric.runtime.records import Outgoing, Record

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
Headers = list[tuple[str, bytes | None]]


def dead(
    record: Record,
    *,
    message: str = "tax_code='VAT25': add it",
    failure: FailureClass = FailureClass.DATA,
    code: str = "unknown-tax-code",
    attempts: int = 2,
) -> DeadLetter:
    tried = tuple(Attempt(NOW, code) for _ in range(attempts))
    stack = "Traceback\n  x\nKeyError: 1\n" if failure is FailureClass.DEFECT else ""
    return DeadLetter("copier", record, failure, code, message, stack, tried, NOW, None)


def record(key: bytes | None = b"k", value: bytes | None = b"v", headers: Headers | None = None) -> Record:
    return Record("erp.tax-code-changed.v1", 3, 17, key, value, headers, 1_767_603_600_000)


def stored(outgoing: Outgoing) -> Record:
    """As it is read back from its topic."""
    return Record(outgoing.topic, 0, 4, outgoing.key, outgoing.value, list(outgoing.headers), 0)


def test_what_was_buried_can_be_seen() -> None:
    found = view(stored(bury(dead(record(headers=[("ce_id", b"m-1"), ("ce_businesskeys", b"quote=Q-1")])))))
    assert (found.subscriber, str(found.position), str(found.stored_at)) == ("copier", "erp.tax-code-changed.v1/3/17", "dlq.copier/0/4")
    assert (found.failure, found.code, found.message, found.attempts) == ("data", "unknown-tax-code", "tax_code='VAT25': add it", 2)
    assert (found.message_id, found.business_keys) == ("m-1", {"quote": "Q-1"})
    assert found.first_failed_at == found.last_failed_at == NOW


@given(
    key=one_of(none(), binary(max_size=20)),
    value=one_of(none(), binary(max_size=50)),
    headers=lists(tuples(text(max_size=10), one_of(none(), binary(max_size=20))), max_size=4),
    message=text(max_size=2000),
)
def test_nothing_that_can_stand_in_a_record_keeps_it_from_being_buried(
    key: bytes | None, value: bytes | None, headers: Headers, message: str
) -> None:
    outgoing = bury(dead(record(key, value, headers), message=message))
    assert (outgoing.key, outgoing.value) == (key, value)
    view(stored(outgoing))


def test_r24_failing_fifty_times_makes_a_record_no_larger() -> None:
    """R24: headers are replaced, never appended, and each has a bound."""
    outgoing = bury(dead(record(), message="x" * 100_000, failure=FailureClass.DEFECT, attempts=100))
    size = sum(len(name) + len(value) for name, value in outgoing.headers)
    assert size < 8_000
    for _ in range(50):
        outgoing = bury(dead(stored(outgoing), message="x" * 100_000, failure=FailureClass.DEFECT, attempts=100))
    assert sum(len(name) + len(value) for name, value in outgoing.headers) <= size + 20
    assert len({name for name, _ in outgoing.headers}) == len(outgoing.headers)


def test_r24_what_a_record_came_with_it_keeps_however_often_it_fails() -> None:
    """R24: ids, trace and schema ids stay as they were, and where the record stood is told of the latest place that it was taken from."""
    came: Headers = [
        ("ce_id", b"m-1"),
        ("traceparent", b"00-aa-bb-01"),
        ("__value_schema_id", b"\x01" * 17),
        ("odd", b"\xff"),
        ("odd", b"2"),
    ]
    outgoing = bury(dead(record(headers=came)))
    for _ in range(3):
        assert list(outgoing.headers[: len(came)]) == came
        told = dict(outgoing.headers[len(came) :])
        assert {name.removeprefix(PREFIX) for name in told} >= {"topic", "partition", "offset", "timestamp_ms", "subscriber", "attempts"}
        assert {name.removeprefix(PREFIX) for name in told} >= {"first_failed_at", "last_failed_at", "class", "code", "message"}
        outgoing = bury(dead(stored(outgoing)))
    assert dict(outgoing.headers)[f"{PREFIX}topic"] == b"dlq.copier"


def test_one_cause_has_one_fingerprint_whatever_varies() -> None:
    first = dead(record(), message="order 'SO-1' of 3f2504e0-4f89-11d3-9a0c-0305e82c3301 has 12 lines")
    second = dead(record(value=b"w"), message="order 'SO-2' of 9b2504e0-4f89-11d3-9a0c-0305e82c3302 has 7 lines")
    other = dead(record(), message="customer 'C-1' has no address")
    assert fingerprint(first) == fingerprint(second) != fingerprint(other)


@pytest.mark.parametrize("log", [b"5", b"[1, [2]]", b"{}", b"no json", b"null", b'[["a", "b", "c"]]', b"\xff", b"[" * 100_000])
def test_a_foreign_record_on_the_topic_is_shown_as_far_as_it_goes(log: bytes) -> None:
    found = view(
        Record("dlq.copier", 0, 1, None, None, [(f"{PREFIX}attempt_log", log), (f"{PREFIX}partition", b"9" * 5000), ("a", None)], -1)
    )
    assert (found.subscriber, found.attempts, list(found.attempt_log)) == ("copier", 0, [])
