"""Who takes part in the benchmark, how much of the events each is given, and how its process is run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.performance.contest import Answer, Task, Work
from tests.performance.report import FLOOR, OURS

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0
"""For one measurement, starting up included; the slowest takes 15 s."""
ROUND_EVENTS = 1_000


class Failed(Exception):
    """A contender gave no answer; in one line, why."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One library, doing the work as its users would."""

    name: str
    module: str
    """Below `tests.performance.peers`."""
    shares: Mapping[Work, float]
    """Which part of the events it is given, so that each measurement takes 3 to 8 s. What is not here it does not do."""
    apart: bool = False
    """Whether it needs a virtual environment of its own."""

    def events(self, work: Work, filled: int) -> int:
        """How many events it is given."""
        return max(ROUND_EVENTS, round(self.shares[work] * filled / ROUND_EVENTS) * ROUND_EVENTS)


CONTENDERS = (
    Contender(OURS, "fabric", {Work.CONSUME: 0.6, Work.PIPE: 0.25, Work.PUBLISH: 1.0}),
    Contender(FLOOR, "raw_loop", {Work.CONSUME: 1.0, Work.PIPE: 0.4, Work.PUBLISH: 0.8}),
    Contender("Quix Streams", "quix_app", {Work.CONSUME: 0.8, Work.PIPE: 0.3}, apart=True),
    Contender("FastStream", "faststream_app", {Work.CONSUME: 0.06, Work.PIPE: 0.03}),
    Contender("Faust", "faust_app", {Work.CONSUME: 0.12, Work.PIPE: 0.04}),
)


def run(contender: Contender, task: Task, *, python: Path | None, log: Path) -> Answer:
    """Run one contender's process and wait for its answer.

    Args:
        contender: Which.
        task: What it is to do.
        python: The interpreter; this one if None.
        log: Takes what it says besides.

    Raises:
        Failed: It died, or gave no answer in time.
    """
    command = [str(python or sys.executable), "-m", f"tests.performance.peers.{contender.module}"]
    with log.open("w") as said:
        try:
            done = subprocess.run(
                [*command, task.bootstrap, task.work, str(task.events)],
                cwd=ROOT,
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
