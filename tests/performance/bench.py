"""`make bench`: the fabric beside a raw loop, Quix Streams, FastStream and Faust, on one Kafka of its own, one process at a time.

Rounds are interleaved: what else the machine does meanwhile hits all contenders alike. Ends with 2 where somebody could not take part.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from integration_fabric.local import jars, kafka
from integration_fabric.local.errors import LocalError
from integration_fabric.local.settings import LocalSettings
from integration_fabric.runtime.clock import SystemClock
from tests.performance import filling, quix_home
from tests.performance.contenders import CONTENDERS, ROOT, Contender, Failed, run
from tests.performance.contest import Answer, Task
from tests.performance.report import DISCIPLINES, Discipline, Rate, Rates, as_json, make_table

DEFAULT_EVENTS = 300_000
DEFAULT_ROUNDS = 3
FAILED = 2

_people = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0 where everybody took part, else 2. Whether aims are met is for people to look at: a machine's bad hour is no failure.
    """
    options = _options(arguments)
    with TemporaryDirectory(prefix="fabric-bench-") as folder, _broker(Path(folder)) as bootstrap:
        if bootstrap is None:
            return FAILED
        contest = Contest(bootstrap, Path(folder), options.events, options.rounds)
        contest.fill()
        contest.measure([found for found in DISCIPLINES if found.number in options.only])
    results = contest.results()
    Console(width=max(150, Console().width)).print(make_table(results, contest.names))
    document = as_json(results, contest.missing, {**machine(), "events": options.events, "rounds": options.rounds})
    path = _write(options.json, document)
    _people.print(f"written to {path}")
    for why in contest.missing.values():
        _people.print(f"bench: {why}")
    return FAILED if contest.missing else 0


@dataclass(slots=True)
class Contest:
    """One run of the benchmark."""

    bootstrap: str
    folder: Path
    events: int
    rounds: int
    answers: dict[Discipline, dict[str, list[Answer]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Who could not take part, and why."""

    @property
    def names(self) -> list[str]:
        """Those that take part, as columns."""
        return [contender.name for contender in CONTENDERS]

    def fill(self) -> None:
        """Make topics and events."""
        _people.print(f"publishing {self.events:,} events ...")
        asyncio.run(filling.fill(self.bootstrap, self.events))

    def measure(self, disciplines: Sequence[Discipline]) -> None:
        """Let everybody do everything, round by round."""
        pythons = {contender.name: self._python(contender) for contender in CONTENDERS}
        for discipline in disciplines:
            self.answers[discipline] = defaultdict(list)
            for number in range(1, self.rounds + 1):
                for contender in CONTENDERS:
                    if contender.name not in self.missing and discipline.work in contender.shares:
                        self._measure_one(discipline, contender, pythons[contender.name], number)

    def results(self) -> dict[Discipline, Rates]:
        """What was measured."""
        return {discipline: {name: Rate(tuple(answers)) for name, answers in found.items()} for discipline, found in self.answers.items()}

    def _measure_one(self, discipline: Discipline, contender: Contender, python: Path | None, number: int) -> None:
        task = Task(self.bootstrap, discipline.work, contender.events(discipline.work, self.events))
        try:
            answer = run(contender, task, python=python, log=self.folder / "contender.log")
        except Failed as failure:
            self.missing[contender.name] = str(failure)
            _people.print(f"bench: {failure}")
            return
        self.answers[discipline][contender.name].append(answer)
        _people.print(f"{discipline.number}, round {number}: {contender.name}: {answer.rate:,.0f}/s in {answer.seconds:.1f} s")

    def _python(self, contender: Contender) -> Path | None:
        if not contender.apart:
            return None
        try:
            return quix_home.prepare(LocalSettings().cache_dir, _people.print)
        except Failed as failure:
            self.missing[contender.name] = str(failure)
            return None


@contextmanager
def _broker(folder: Path) -> Iterator[str | None]:
    """A Kafka of its own, so that nothing else that runs on this checkout is measured or disturbed."""
    settings = LocalSettings(state_dir=folder / "state", kafka_port=None)
    try:
        address = kafka.up(settings, _people.print)
    except LocalError as error:
        _people.print(f"bench: {error}")
        yield None
        return
    try:
        yield address.bootstrap
    finally:
        kafka.down(settings, _people.print)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0] if __doc__ else None)
    numbers = [discipline.number for discipline in DISCIPLINES]
    parser.add_argument("--only", type=lambda text: text.split(","), default=numbers, help=f"of {','.join(numbers)}, separated by commas")
    parser.add_argument("--events", type=int, default=DEFAULT_EVENTS, help="in the topic that is consumed, rounded up to 10,000")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, help="of which the median counts")
    parser.add_argument("--json", type=Path, default=None, help="where the document goes; .fabric/bench/<time>.json by default")
    options = parser.parse_args(arguments)
    if unknown := set(options.only) - set(numbers):
        parser.error(f"--only: {', '.join(sorted(unknown))} is not measured here; name some of {', '.join(numbers)}")
    if options.events < 1 or options.rounds < 1:
        parser.error("--events and --rounds: name at least 1")
    options.events = -(-options.events // filling.BATCH) * filling.BATCH
    return options


def machine() -> dict[str, str | int]:
    """What it ran on."""
    return {
        "at": SystemClock().now().isoformat(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "system": platform.platform(),
        "kafka": jars.VERSION,
    }


def _write(path: Path | None, document: dict[str, object]) -> Path:
    if path is None:
        path = ROOT / ".fabric" / "bench" / f"{SystemClock().now():%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
