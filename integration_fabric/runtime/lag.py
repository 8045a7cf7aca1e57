"""What a subscriber loop says of itself: what it is doing, and what is left to do. Workers and tools ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LoopState(StrEnum):
    """What a subscriber is doing in this worker."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    """At a dead letter, or after too many, until a person decides."""
    DRAINING = "draining"
    PAUSED = "paused"
    """By a person's order, as is draining without an end of the worker."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Lag:
    """What is left to do for a subscriber in this worker."""

    state: LoopState
    behind: int
    """Offsets that stand in its partitions and were not taken; transaction markers at the end of a partition may count."""
    open: int
    """Messages that were taken and have no outcome."""
    settling: bool
    """Whether something is being handled, committed or taken over."""

    @property
    def nothing(self) -> bool:
        """Whether nothing is left."""
        return self.state is LoopState.RUNNING and not (self.behind or self.open or self.settling)
