"""Maintenance windows: weekly, by the wall clock of a zone, over midnight and over the change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from integration_fabric.delivery.maintenance import Window, left_of


@pytest.mark.parametrize(
    ("text", "now", "left_minutes"),
    [
        ("Sun 02:00-04:00", "2026-11-29T01:59:59+00:00", 0),
        ("Sun 02:00-04:00", "2026-11-29T02:00:00+00:00", 120),
        ("Sun 02:00-04:00", "2026-11-29T03:30:00+00:00", 30),
        ("Sun 02:00-04:00", "2026-11-29T04:00:00+00:00", 0),
        ("Sun 02:00-04:00", "2026-11-30T02:30:00+00:00", 0),
        ("Mon-Fri 22:00-01:00 Europe/Oslo", "2026-11-27T21:30:00+00:00", 150),
        ("Mon-Fri 22:00-01:00 Europe/Oslo", "2026-11-27T23:30:00+00:00", 30),
        ("Mon-Fri 22:00-01:00 Europe/Oslo", "2026-11-28T21:30:00+00:00", 0),
        ("Fri-Mon 00:00-24:00", "2026-11-29T12:00:00+00:00", 720),
        ("Mon-Sun 00:00-00:00", "2026-11-29T23:00:00+00:00", 60),
        ("Sun 01:00-05:00 Europe/Oslo", "2026-10-25T00:30:00+00:00", 210),
    ],
)
def test_how_long_a_window_lasts(text: str, now: str, left_minutes: int) -> None:
    assert Window.parse(text).left(datetime.fromisoformat(now)) == timedelta(minutes=left_minutes)


def test_the_longest_of_several_counts() -> None:
    windows = [Window.parse("Sun 02:00-04:00"), Window.parse("Sun 03:00-05:00")]
    assert left_of(windows, datetime(2026, 11, 29, 3, 30, tzinfo=UTC)) == timedelta(minutes=90)
    assert left_of([], datetime(2026, 11, 29, tzinfo=UTC)) == timedelta()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sunday", "no maintenance window; write it as 'Sun 02:00-04:00'"),
        ("Sun 2-4", "no maintenance window"),
        ("Son 02:00-04:00", "names no days; they are Mon, Tue"),
        ("Sun 25:00-26:00", "no time of day"),
        ("Sun 02:00-04:00 Mars/Base", "Mars/Base is no time zone"),
    ],
)
def test_what_is_none_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Window.parse(text)
