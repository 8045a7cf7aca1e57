"""Calls that one thread makes for others: the consumer's and the producer's threads take them from a queue."""

from __future__ import annotations

import queue
import threading
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


class CallThread:
    """Makes calls one after the other. A daemon: one of an executor would keep the process from ending while a broker does not answer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._is_begun = self._is_ended = False

    def run(self, call: Callable[[], Any]) -> Future[Any]:
        """Have it made. Raises RuntimeError after the end."""
        if self._is_ended:
            raise RuntimeError(f"{self._name} has ended")
        if not self._is_begun:
            self._is_begun = True
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        self._commands.put(command := Command(call))
        return command.answer

    def end(self) -> None:
        """Make no call that has not begun."""
        self._is_ended = True
        self._commands.put(None)

    def _work(self) -> None:
        while (command := self._commands.get()) is not None:
            if self._is_ended:
                command.answer.cancel()
            else:
                command.carry_out()
