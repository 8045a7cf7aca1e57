"""Who takes part in the benchmark, how much of the events each is given, and how its process is run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from tests.performance.contest import Answer, Task, Work
from tests.performance.report import FLOOR, OURS
from tests.performance.trials import JAVA, STEADY_IN_FLIGHT, Trial

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0
"""For one measurement, starting up included; the slowest takes 15 s on a quiet machine."""
ROUND_EVENTS = 1_000
WAITING_S = 4.0
"""How long one measures that waits for a downstream, where it keeps up with it."""
WAITING_ALONE_S = 3.0
"""The same of one that takes one event after the other: its rate is no surprise."""
MOST_PER_S = 8_000
"""What is expected at the most of one that waits."""


class Failed(Exception):
    """A contender gave no answer; in one line, why."""


class Home(Enum):
    """Where a contender runs."""

    HERE = auto()
    APART = auto()
    """In a virtual environment of its own."""
    JAVA = auto()


@dataclass(frozen=True, slots=True)
class Contender:
    """One library, doing the work as its users would."""

    name: str
    module: str
    """Below `tests.performance.peers`."""
    shares: Mapping[Work, float]
    """Which part of the events it is given, so that each measurement takes 3 to 8 s. What is not here it does not do."""
    home: Home = Home.HERE
    one_by_one: bool = False
    """Whether it handles one event after the other, however long each waits."""

    def does(self, trial: Trial) -> bool:
        """Whether it takes part. What handles one event after the other is not asked again how it does so with more in flight."""
        return trial.work in self.shares and not (self.one_by_one and trial.in_flight > STEADY_IN_FLIGHT)

    def is_asked(self, trial: Trial, number: int) -> bool:
        """Whether it takes part in this round."""
        return self.does(trial) and (number == 1 or not (self.one_by_one and trial.work is Work.WAIT))

    def events(self, trial: Trial, filled: int) -> int:
        """How many events it is given."""
        if trial.events is not None:
            return trial.events
        if trial.work is Work.WAIT:
            return self._waiting(trial)
        return max(ROUND_EVENTS, round(self.shares[trial.work] * filled / ROUND_EVENTS) * ROUND_EVENTS)

    def _waiting(self, trial: Trial) -> int:
        limit_per_s = 1000 / trial.latency_ms * (1 if self.one_by_one else trial.in_flight)
        return round(min(limit_per_s, MOST_PER_S) * (WAITING_ALONE_S if self.one_by_one else WAITING_S))


CONTENDERS = (
    Contender(OURS, "fabric", {Work.CONSUME: 0.6, Work.PIPE: 0.25, Work.PUBLISH: 1.0, Work.WAIT: 1.0, Work.EFFECT: 1.0}),
    Contender(FLOOR, "raw_loop", {Work.CONSUME: 1.0, Work.PIPE: 0.4, Work.PUBLISH: 0.8, Work.WAIT: 1.0}, one_by_one=True),
    Contender("Quix Streams", "quix_app", {Work.CONSUME: 0.8, Work.PIPE: 0.3, Work.WAIT: 1.0}, Home.APART, one_by_one=True),
    Contender("FastStream", "faststream_app", {Work.CONSUME: 0.06, Work.PIPE: 0.03, Work.WAIT: 1.0}, one_by_one=True),
    Contender("Faust", "faust_app", {Work.CONSUME: 0.12, Work.PIPE: 0.04, Work.WAIT: 1.0}, one_by_one=True),
    Contender(JAVA, "ParallelConsumerPeer", {Work.CONSUME: 0.6, Work.WAIT: 1.0}, Home.JAVA),
)


def run(contender: Contender, task: Task, *, command: Sequence[str], log: Path) -> Answer:
    """Run one contender's process and wait for its answer.

    Args:
        contender: Which.
        task: What it is to do.
        command: Runs it.
        log: Takes what it says besides.

    Raises:
        Failed: It died, or gave no answer in time.
    """
    with log.open("w") as said:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                input=task.to_json() + "\n",
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{contender.name}, {task.work}: no answer within {PATIENCE_S:g} s") from None
    answer = next((line for line in done.stdout.splitlines() if line.startswith('{"events"')), None)
    if answer is None:
        last = (log.read_text().strip().splitlines() or ["it said nothing"])[-1]
        raise Failed(f"{contender.name}, {task.work}: ended with {done.returncode} and no answer: {last}")
    return Answer(**json.loads(answer))
