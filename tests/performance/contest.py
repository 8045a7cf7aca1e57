"""What one contender's process is told and what it answers. The benchmark starts it, one at a time."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from uuid import uuid4


class Work(StrEnum):
    """What is measured, each with its number in the table of aims."""

    CONSUME = "consume"
    PIPE = "pipe"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class Task:
    """What a contender is to do."""

    bootstrap: str
    work: Work
    events: int

    @property
    def name(self) -> str:
        """A name that nobody has had, for groups and transactions."""
        return f"bench-{uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a contender did."""

    events: int
    seconds: float
    cpu_seconds: float
    """Of all threads of its process, in that time."""

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


class Stopwatch:
    """Runs from the first event to the last: starting up and joining a group are not measured."""

    def __init__(self) -> None:
        self.began = False
        self._wall_s = self._cpu_s = 0.0

    def begin(self) -> None:
        """The first event is there."""
        self.began = True
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def end(self, events: int) -> None:
        """The last is done: answer the benchmark. Some libraries take `sys.stdout` for their logs, so not there."""
        answer = Answer(events, time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s)
        assert sys.__stdout__ is not None
        print(json.dumps(asdict(answer)), file=sys.__stdout__, flush=True)


def read_task() -> Task:
    """The task, from the command line: BOOTSTRAP WORK EVENTS."""
    bootstrap, work, events = sys.argv[1:4]
    return Task(bootstrap, Work(work), int(events))
