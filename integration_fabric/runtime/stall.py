"""When a subscriber has messages, none comes to an end, and nothing says why: a gate that stays closed, a handler that hangs. Pure.

What waits for a system, stands still at a dead letter or was paused by a person says so itself. A worker looks every ten seconds.
"""

from __future__ import annotations

STALLED = "stalled"
"""What a worker says of such a subscriber, in place of what its loop says."""
STALLED_AFTER_S = 120.0
"""Longer than any message takes that is not waiting: a call has ten seconds, and waits between attempts say so."""


class StallWatch:
    """Over one subscriber in one worker, whichever loop it runs in."""

    __slots__ = ("_after_s", "_retired", "_since_s", "is_stalled")

    def __init__(self, *, after_s: float = STALLED_AFTER_S) -> None:
        """Nothing was seen yet; `after_s` is how long nothing may come to an end."""
        self._after_s = after_s
        self._retired = -1
        self._since_s: float | None = None
        """When it last was as it should be."""
        self.is_stalled = False

    def look(self, now_s: float, *, has_work: bool, retired: int) -> bool:
        """See how it stands.

        Args:
            now_s: On the monotonic clock.
            has_work: Whether there are messages which nothing keeps waiting that says so itself; false where that cannot be known.
            retired: How many messages have come to an end so far.

        Returns:
            Whether that has changed: it stalled, or goes on.
        """
        if self._since_s is None or not has_work or retired != self._retired:
            self._since_s = now_s
        self._retired = retired
        was, self.is_stalled = self.is_stalled, now_s - self._since_s >= self._after_s
        return was != self.is_stalled
