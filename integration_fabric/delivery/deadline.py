"""The last moment at which the call that is under way may send anything: HTTP clients ask before each request.

A timeout alone does not hold there. A process that was stopped in the middle of an action of several calls, or whose event loop stood
still, sees the first call's answer before it sees that its time is over, and would make the second one long after a successor has asked
the vendor and gone on (protocol.md, I8).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from integration_fabric.messages.errors import UnknownOutcome
from integration_fabric.runtime.ports import Clock

_UNTIL: ContextVar[tuple[Clock, float] | None] = ContextVar("sending_until", default=None)
_CALLS: ContextVar[Calls | None] = ContextVar("calls", default=None)


@contextmanager
def sending_until(clock: Clock, until_s: float) -> Iterator[None]:
    """While inside, and in the tasks that are begun inside, `refuse_if_late` knows this moment of the monotonic clock."""
    token = _UNTIL.set((clock, until_s))
    try:
        yield
    finally:
        _UNTIL.reset(token)


@dataclass(slots=True)
class Calls:
    """How many requests were sent."""

    count: int = 0


@contextmanager
def counting() -> Iterator[Calls]:
    """While inside, and in the tasks that are begun inside, requests are counted."""
    token = _CALLS.set(calls := Calls())
    try:
        yield calls
    finally:
        _CALLS.reset(token)


def before_sending() -> None:
    """What every HTTP client does before each request. Raises as `refuse_if_late`."""
    refuse_if_late()
    calls = _CALLS.get()
    if calls is not None:
        calls.count += 1


def refuse_if_late() -> None:
    """Raise UnknownOutcome where the moment has passed: what was sent before may have been carried out, and nothing more is sent."""
    found = _UNTIL.get()
    if found is not None and found[0].monotonic_s() > found[1]:
        raise UnknownOutcome("the deadline of the intent has passed in the middle of the action; nothing more is sent")
