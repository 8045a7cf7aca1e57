"""`make bench`: the fabric beside a raw loop, Quix Streams, FastStream and Faust, on one topic of one broker, one process at a time."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from integration_fabric.local import kafka
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.errors import UsageProblem
from tests.performance.comparison import OURS, RAW, Aim, Row
from tests.performance.contest import Answer, Work
from tests.performance.filling import BATCH, fill

CHECKOUT = Path(__file__).parents[2]
QUIX_REQUIREMENTS = CHECKOUT / "deploy/requirements/bench-quix.txt"
RUN_WITHIN_S = 120
QUIX, FASTSTREAM, FAUST = "Quix Streams", "FastStream", "Faust"
MODULES = {OURS: "fabric", RAW: "raw_loop", QUIX: "quix_app", FASTSTREAM: "faststream_app", FAUST: "faust_app"}
SLOW = {FASTSTREAM: 0.15, FAUST: 0.2}
"""The part of the events that these are given, so that each run takes a few seconds."""


@dataclass(frozen=True, slots=True)
class Match:
    """One line of the table of aims."""

    name: str
    title: str
    work: Work
    contenders: Sequence[str]
    aims: Sequence[Aim]


MATCHES: Mapping[str, Match] = {
    "P1": Match(
        "P1",
        "consume: typed event into an async handler, lanes on, effect log off",
        Work.CONSUME,
        (OURS, RAW, QUIX, FASTSTREAM, FAUST),
        (Aim(RAW, 0.7), Aim(FASTSTREAM, 4), Aim(FAUST, 3)),
    ),
    "P2": Match(
        "P2",
        "pipe: typed in, typed out, exactly once, activity log on",
        Work.PIPE,
        (OURS, RAW, QUIX, FASTSTREAM, FAUST),
        (Aim(RAW, 0.8), Aim(QUIX, 1.2)),
    ),
    "P5": Match("P5", "publish: typed event, Avro, idempotent", Work.PUBLISH, (OURS, RAW), (Aim(RAW, 0.9),)),
}


def main() -> int:
    """Run it. Returns the exit code: 0 once measured, whatever the figures; 2 where it cannot begin."""
    chosen = _arguments()
    out = Console(highlight=False)
    try:
        with _broker(out) as bootstrap:
            out.print(f"filling the topic with {chosen.events} events")
            asyncio.run(fill(bootstrap, chosen.events))
            pythons = _pythons(out)
            rows = [_measure(MATCHES[name], bootstrap, pythons, chosen=chosen, out=out) for name in chosen.only.split(",")]
    except UsageProblem as error:
        Console(stderr=True).print(f"[bold red]bench:[/] {error}", soft_wrap=True)
        return 2
    _show(rows, out)
    _write(rows, chosen, out)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.bench", description=__doc__)
    parser.add_argument("--only", default=",".join(MATCHES), help="which works, e.g. P1,P2")
    parser.add_argument("--events", type=int, default=100_000, help=f"how many events a run; a multiple of {BATCH}")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run; the median counts")
    parser.add_argument("--json", type=Path, default=Path(".fabric/bench"), help="folder of the JSON files")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.only.split(",") if name not in MATCHES]
    if unknown:
        parser.error(f"no work is called {', '.join(unknown)}; there are {', '.join(MATCHES)}")
    if chosen.events % BATCH:
        parser.error(f"--events must be a multiple of {BATCH}")
    return chosen


@contextmanager
def _broker(out: Console) -> Iterator[str]:
    """A Kafka of its own, forgotten at the end."""
    with tempfile.TemporaryDirectory(prefix="fabric-bench-") as folder:
        settings = LocalSettings(state_dir=Path(folder))
        address = kafka.up(settings, lambda line: out.print(f"[dim]· {line}[/]"))
        try:
            yield address.bootstrap
        finally:
            kafka.down(settings, lambda _: None)


def _pythons(out: Console) -> Mapping[str, str]:
    """The Python of each contender; Quix pins an older Kafka client, so it has one of its own. Who cannot be installed is left out."""
    found = dict.fromkeys(MODULES, sys.executable)
    folder = LocalSettings().cache_dir / "bench-quix"
    python = folder / "bin/python"
    try:
        if not (folder / ".installed").exists():
            out.print("[dim]· installing Quix Streams in an environment of its own (once)[/]")
            venv.create(folder, with_pip=True, clear=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(QUIX_REQUIREMENTS)]
            subprocess.run(install, check=True, capture_output=True, timeout=300)
            (folder / ".installed").touch()
        found[QUIX] = str(python)
    except (subprocess.SubprocessError, OSError) as error:
        out.print(f"[yellow]{QUIX} cannot be installed ({error}): measured without it[/]")
        del found[QUIX]
    return found


def _measure(match: Match, bootstrap: str, pythons: Mapping[str, str], *, chosen: argparse.Namespace, out: Console) -> Row:
    rates: dict[str, list[float]] = {name: [] for name in match.contenders if name in pythons}
    for number in range(1, chosen.rounds + 1):
        for name, measured in rates.items():
            events = max(BATCH, int(chosen.events * SLOW.get(name, 1.0)) // BATCH * BATCH)
            answer = _run(pythons[name], MODULES[name], bootstrap=bootstrap, work=match.work, events=events)
            measured.append(answer.rate)
            out.print(f"[dim]· {match.name} round {number}: {name} {answer.rate:,.0f}/s[/]")
    return Row(match.name, match.title, match.aims, rates)


def _run(python: str, module: str, *, bootstrap: str, work: Work, events: int) -> Answer:
    command = [python, "-m", f"tests.performance.peers.{module}", bootstrap, work.value, str(events)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_WITHIN_S, check=False)
    answers = [line for line in done.stdout.splitlines() if line.startswith('{"events"')]
    if not answers:
        raise UsageProblem(f"{module} {work} did not answer (exit code {done.returncode}): {done.stderr.strip()[-400:]}")
    return Answer(**json.loads(answers[-1]))


def _show(rows: Sequence[Row], out: Console) -> None:
    shown = Table(title="events a second, medians", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in ("", "work", *MODULES, "aims"):
        shown.add_column(column, justify="right" if column in MODULES else "left", overflow="fold")
    for row in rows:
        cells = [_cell(row, name) for name in MODULES]
        shown.add_row(row.name, row.title, *cells, "\n".join(_aim(row, aim) for aim in row.aims))
    out.print(shown)


def _cell(row: Row, name: str) -> str:
    rate = row.rate(name)
    if rate is None:
        return "-"
    ratio = row.ratio(name)
    times = "" if name == OURS or ratio is None else f"\nours: {ratio:.2f} x"
    return f"{rate:,.0f}\n±{row.spread(name) / 2:.0%}{times}"


def _aim(row: Row, aim: Aim) -> str:
    found = row.ratio(aim.contender)
    verdict = "[dim]not known[/]" if found is None else "[green]met[/]" if found >= aim.ratio else "[red]missed[/]"
    return f"≥ {aim.ratio:g} x {aim.contender}: {verdict}"


def _write(rows: Sequence[Row], chosen: argparse.Namespace, out: Console) -> None:
    now = datetime.now(UTC)
    chosen.json.mkdir(parents=True, exist_ok=True)
    path = chosen.json / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {"at": now.isoformat(), "events": chosen.events, "cores": os.cpu_count(), "works": [row.to_json() for row in rows]}
    path.write_text(json.dumps(document, indent=2))
    out.print(f"[dim]{path}[/]")


if __name__ == "__main__":
    sys.exit(main())
