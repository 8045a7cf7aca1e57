"""`make bench`: the fabric beside a raw loop, Quix Streams, FastStream, Faust and the Parallel Consumer, on one Kafka of its own.

One process at a time, in rounds that are interleaved. Ends with 2 where somebody could not take part. What it prints stands in a JSON
document, as Markdown beside it, and as a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from integration_fabric.local import jars, kafka, postgres
from integration_fabric.local.errors import LocalError
from integration_fabric.local.settings import LocalSettings
from integration_fabric.runtime.clock import SystemClock
from tests.performance import chart, downstream, filling
from tests.performance.contenders import CONTENDERS, ROOT
from tests.performance.race import Contest
from tests.performance.report import as_json, as_markdown, make_table
from tests.performance.trials import CURVES, DISCIPLINES, Discipline, Log

DEFAULT_EVENTS = 300_000
DEFAULT_ROUNDS = 2
FAILED = 2

_people = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it.

    Returns:
        0 where everybody took part, else 2. Whether aims are met is for people to look at: a machine's bad hour is no failure.
    """
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left running
    disciplines = [found for found in DISCIPLINES if found.number in options.only]
    before = os.getloadavg()[0]
    with TemporaryDirectory(prefix="fabric-bench-") as name, ExitStack() as stack:
        folder, missing = Path(name), dict[str, str]()
        bootstrap = stack.enter_context(_broker(folder))
        if bootstrap is None:
            return FAILED
        needs_effects = any(trial.log is not Log.OFF for discipline in disciplines for trial in discipline.variants.values())
        stores = stack.enter_context(_stores(folder, missing)) if needs_effects else {}
        url = stack.enter_context(downstream.running(5.0)) if needs_effects else ""
        contest = Contest(bootstrap, url, stores, folder, options.events, options.rounds, _people.print, missing=missing)
        contest.fill(disciplines)
        contest.measure(disciplines)
        if CURVES in options.only:
            contest.sweep()
    ran_on = {**machine(), "load_before": round(before, 2), "events": options.events, "rounds": options.rounds}
    _tell(contest, disciplines, ran_on, options)
    return FAILED if contest.missing else 0


def _tell(contest: Contest, disciplines: Sequence[Discipline], ran_on: Mapping[str, Any], options: argparse.Namespace) -> None:
    rows, names = contest.rows(disciplines), [contender.name for contender in CONTENDERS]
    Console(width=max(190, Console().width)).print(make_table(rows, names))
    document = as_json(rows, contest.missing, ran_on)
    path: Path = options.json or ROOT / ".fabric" / "bench" / f"{SystemClock().now():%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if CURVES in options.only:
        by_in_flight, by_latency = contest.curves()
        document["curves"] = {"by_in_flight": by_in_flight, "by_latency_ms": by_latency}
        picture = path.with_suffix(".svg")
        picture.write_text(chart.draw(by_in_flight, by_latency))
        _people.print(f"drawn in {picture}")
    path.with_suffix(".md").write_text(as_markdown(rows, names))
    path.write_text(json.dumps(document, indent=2) + "\n")
    _people.print(f"written to {path}")
    for why in contest.missing.values():
        _people.print(f"bench: {why}")


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


@contextmanager
def _stores(folder: Path, missing: dict[str, str]) -> Iterator[Mapping[Log, Callable[[], str]]]:
    """A new SQLite file each time, and a PostgreSQL of its own."""
    settings, numbers = LocalSettings(state_dir=folder / "state", kafka_port=None), count()
    found: dict[Log, Callable[[], str]] = {Log.SQLITE: lambda: f"sqlite:///{folder / f'effects-{next(numbers)}.db'}"}
    try:
        url = postgres.up(settings, _people.print).url
    except LocalError as error:
        missing[Log.POSTGRESQL] = f"{Log.POSTGRESQL} takes no part: {error}"
        yield found
        return
    try:
        yield found | {Log.POSTGRESQL: lambda: url}
    finally:
        postgres.forget(settings)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0] if __doc__ else None)
    numbers = [*(discipline.number for discipline in DISCIPLINES), CURVES]
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


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "at": SystemClock().now().isoformat(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "system": platform.platform(),
        "kafka": jars.VERSION,
        "load": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    sys.exit(main())
