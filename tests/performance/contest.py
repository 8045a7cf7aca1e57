"""What one contender's process is told and what it answers. The benchmark starts it, one at a time."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from tests.performance.workload import ISSUED_TOPIC


class Work(StrEnum):
    """What is measured."""

    CONSUME = "consume"
    PIPE = "pipe"
    PUBLISH = "publish"
    WAIT = "wait"
    """As consume, but the handler waits for a downstream."""
    EFFECT = "effect"
    """A command, a call to the outside, a reply."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a contender is to do: one line of JSON on its standard input."""

    bootstrap: str
    work: Work
    events: int
    topic: str = ISSUED_TOPIC
    latency_ms: float = 0.0
    """Of the downstream."""
    in_flight: int = 100
    store: str = ""
    """URL of the store that has the effect log; without one it is off."""
    downstream: str = ""
    """URL of the downstream; without one the handler waits by itself."""
    group: str = ""
    """The consumer group, where several are to share one."""
    whole_worker: bool = False
    """Whether to load all that a worker has in it, for its memory."""

    @property
    def name(self) -> str:
        """A name that nobody has had, for groups and transactions."""
        return f"bench-{uuid4().hex[:12]}"

    def to_json(self) -> str:
        """In one line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a contender did."""

    events: int
    seconds: float
    cpu_seconds: float
    """Of all threads of its process, in that time."""
    peak_mb: float = 0.0
    """The most memory that was resident, from its start on, in millions of bytes."""

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
        answer = Answer(events, time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s, peak_mb())
        assert sys.__stdout__ is not None
        print(json.dumps(asdict(answer)), file=sys.__stdout__, flush=True)


def peak_mb() -> float:
    """The most memory of this process that was resident. Linux's own figure where there is one: getrusage's has the parent's in it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def read_task() -> Task:
    """The task, from standard input."""
    found = json.loads(sys.stdin.readline())
    return Task(**{**found, "work": Work(found["work"])})
