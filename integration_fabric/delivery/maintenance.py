"""The maintenance calendar of a system: weekly windows in which it is not called. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FORM = re.compile(r"(?P<days>[A-Z][a-z]{2}(?:-[A-Z][a-z]{2})?) (?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?: (?P<zone>\S+))?")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """One window, by the wall clock of its zone; one whose end is not after its start ends on the next day."""

    days: frozenset[int]
    """On which it begins; Monday is 0."""
    start: timedelta
    end: timedelta
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read `Sun 02:00-04:00`, `Mon-Fri 22:00-01:00 Europe/Oslo`; in UTC where no zone is named. Raises ValueError, which says why."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no maintenance window; write it as 'Sun 02:00-04:00' or 'Mon-Fri 22:00-01:00 Europe/Oslo'")
        try:
            zone = ZoneInfo(found["zone"] or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{text!r}: {found['zone']} is no time zone, as Europe/Oslo is") from None
        return cls(_days(found["days"]), _time(found["start"]), _time(found["end"]), zone)

    def left(self, now: datetime) -> timedelta:
        """How long it still lasts; nothing where it is not open.

        Args:
            now: Aware.
        """
        here = now.astimezone(self.zone)
        midnight = datetime(here.year, here.month, here.day, tzinfo=self.zone)
        for day in (midnight - _DAY, midnight):
            if day.weekday() not in self.days:
                continue
            begins = (day + self.start).astimezone(UTC)
            ends = (day + self.end + (timedelta() if self.end > self.start else _DAY)).astimezone(UTC)
            if begins <= now < ends:
                return ends - now
        return timedelta()


def left_of(windows: Sequence[Window], now: datetime) -> timedelta:
    """How long the longest of them that is open still lasts."""
    return max((window.left(now) for window in windows), default=timedelta())


def _days(text: str) -> frozenset[int]:
    first, _, last = text.partition("-")
    try:
        start, end = DAYS.index(first), DAYS.index(last or first)
    except ValueError:
        raise ValueError(f"{text!r} names no days; they are {', '.join(DAYS)}") from None
    return frozenset((start + number) % 7 for number in range((end - start) % 7 + 1))


def _time(text: str) -> timedelta:
    hours, minutes = int(text[:2]), int(text[3:])
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):  # noqa: PLR2004
        raise ValueError(f"{text!r} is no time of day")
    return timedelta(hours=hours, minutes=minutes)
