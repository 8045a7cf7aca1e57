"""How a subscriber is run: its bounds and what it does at a dead letter. Declared with the subscriber, overridden by settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class AtDeadLetter(StrEnum):
    """What a subscriber does once a message that has a key cannot be applied."""

    STOP = "stop"
    """Stand still, healthily and loudly, rather than break the order of the key."""
    SKIP = "skip"
    """Go on with the next message."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a subscriber is run."""

    in_flight: int = 16
    """How many lanes run at once."""
    destination: str | None = None
    """The system that it calls."""
    call_timeout: timedelta = timedelta(seconds=10)
    """How long one handling of a message may take; a call that takes longer has an unknown outcome."""
    max_attempts: int = 8
    """Of one message, for transient failures."""
    retry_base: timedelta = timedelta(milliseconds=100)
    """First step of the back-off."""
    retry_cap: timedelta = timedelta(seconds=5)
    """Longest step of the back-off."""
    max_retry_time: timedelta = timedelta(minutes=2)
    """For transient failures, beside `max_attempts`."""
    parent_wait: timedelta = timedelta(minutes=1)
    """How long a message waits in its lane for something that must come first."""
    at_dead_letter: AtDeadLetter = AtDeadLetter.STOP
    dead_letters_in_a_row: int = 50
    """So many without another outcome between them stop the subscriber: it, or what it speaks to, is broken (`runtime.storm`)."""
    dead_letter_window: int = 200
    """Outcomes over which `dead_letter_share` is taken; fewer say nothing yet."""
    dead_letter_share: float = 0.5
    """From 0 to 1: a larger share of the window stops the subscriber; more than 1 there never is."""
