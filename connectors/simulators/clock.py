"""The simulators' own clock, in the formats in which vendors write times; a foreign system shares its clock with nobody."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Aware, UTC."""
    return datetime.now(tz=UTC)


def unix_s() -> float:
    """Seconds since 1970."""
    return time.time()


def iso_micros(moment: datetime) -> str:
    """`2024-01-31T12:00:00.000000+00:00`: sorts as text; how the store writes times."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def iso_seconds(moment: datetime) -> str:
    """`2024-01-31T12:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_millis(moment: datetime) -> str:
    """`2024-01-31T12:00:00.000+0000`: sorts as text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"
