"""Calls that one thread makes for others: the consumer's and the producer's threads take them from a queue."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """One call, and where its answer goes. Whoever asked may have stopped waiting by then."""

    call: Callable[[], Any]
    answer: Future[Any] = field(default_factory=Future)

    def carry_out(self) -> None:
        """Make the call, on the thread that owns what it is about. What it raises belongs to whoever asked."""
        if self.answer.set_running_or_notify_cancel():
            try:
                self.answer.set_result(self.call())
            except BaseException as error:  # noqa: BLE001  as above
                self.answer.set_exception(error)

    def refuse(self, error: Exception) -> None:
        """It is not made."""
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)
