"""A clock that runs as the machine's does and can be put forward, for deadlines of minutes in tests of seconds."""

from __future__ import annotations

from datetime import datetime, timedelta

from integration_fabric.runtime.clock import SystemClock


class ForwardClock(SystemClock):
    """The machine's clock, ahead by as much as a test says. Waits are as long as they are."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Wall-clock time, put forward."""
        return super().now() + self._ahead

    def put_forward(self, by: timedelta) -> None:
        """From now on it is later."""
        self._ahead += by
