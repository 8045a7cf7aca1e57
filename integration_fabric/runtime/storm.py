"""When a subscriber dead-letters too much (guarantee G4): a bad deployment must not drain a topic into the dead-letter topic. Pure.

The subscriber loop notes each outcome and stands still once a limit is reached.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from integration_fabric.runtime.policy import Policy


class Limit(StrEnum):
    """Which limit of the policy was reached."""

    IN_A_ROW = "in_a_row"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Storm:
    """Too many dead letters."""

    limit: Limit
    dead_letters: int
    outcomes: int
    """The last so many, of which they are."""

    def __str__(self) -> str:
        """For people."""
        if self.limit is Limit.IN_A_ROW:
            return f"{self.dead_letters} dead letters in a row"
        return f"{self.dead_letters} of the last {self.outcomes} messages are dead letters"


class StormWatch:
    """Counts the outcomes of one subscriber in one worker, in the order in which they come about.

    A limit is only looked at with a dead letter: a subscriber that has just done its work is not stopped. Numbers of dead letters are kept,
    not outcomes, as almost every outcome is none.
    """

    __slots__ = ("_dead", "_in_a_row", "_noted", "_policy", "storm")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.storm: Storm | None = None
        """What was reached first; it stays."""
        self._noted = self._in_a_row = 0
        self._dead: deque[int] = deque()
        """The dead letters of the window, by their number among the outcomes."""

    def note(self, *, dead_lettered: bool) -> None:
        """Note one outcome."""
        self._noted += 1
        if not dead_lettered:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._dead.append(self._noted)
        while self._dead[0] <= self._noted - self._policy.dead_letter_window:
            self._dead.popleft()
        self.storm = self.storm or self._reached()

    def _reached(self) -> Storm | None:
        policy, dead = self._policy, len(self._dead)
        if self._in_a_row >= policy.dead_letters_in_a_row:
            return Storm(Limit.IN_A_ROW, self._in_a_row, self._in_a_row)
        is_full = self._noted >= policy.dead_letter_window
        if is_full and dead > policy.dead_letter_share * policy.dead_letter_window:
            return Storm(Limit.SHARE, dead, policy.dead_letter_window)
        return None
