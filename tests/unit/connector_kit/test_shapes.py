"""What vendors send: exact numbers, field paths, versions from times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from integration_fabric.connector_kit.shapes import field_path, parse_json, shaped, version_at
from integration_fabric.messages.errors import VendorDrift


class Line(BaseModel):
    price: int


class Order(BaseModel):
    name: str
    lines: tuple[Line, ...] = ()


def test_a_fraction_is_a_decimal() -> None:
    assert parse_json(b'{"a": 0.1, "b": 1e3, "c": 7}') == {"a": Decimal("0.1"), "b": Decimal("1E+3"), "c": 7}


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_drift(text: bytes) -> None:
    with pytest.raises(VendorDrift, match="no JSON"):
        parse_json(text)


def test_fields_that_nobody_asked_for_are_the_vendors() -> None:
    assert shaped(Order, {"name": "n", "color": "red"}) == Order(name="n")


def test_the_path_names_the_first_field_that_is_wrong() -> None:
    with pytest.raises(VendorDrift, match=r"lines\[1\]\.price: .*\(and 1 more\)") as drift:
        shaped(Order, {"name": "n", "lines": [{"price": 1}, {"price": "x"}, {}]})

    assert drift.value.path == "lines[1].price"


@pytest.mark.parametrize("value", [None, [], "text", 7])
def test_what_is_no_record_is_drift(value: object) -> None:
    with pytest.raises(VendorDrift):
        shaped(Order, value)


def test_a_path() -> None:
    assert field_path(("lines", 2, "price")) == "lines[2].price"
    assert field_path((0, "a")) == "[0].a"
    assert field_path(()) == ""


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_version_is_the_microsecond(moment: datetime) -> None:
    assert version_at(moment + timedelta(microseconds=1)) == version_at(moment) + 1
    assert version_at(moment.astimezone(timezone(timedelta(hours=5)))) == version_at(moment)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=version_at(moment)) == moment
