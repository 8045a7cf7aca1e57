"""What the benchmark makes of its measurements: medians, ratios, aims, one table, one JSON document. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.table import Table

from tests.performance.contest import Answer, Work

OURS = "fabric"
FLOOR = "raw loop"


@dataclass(frozen=True, slots=True)
class Aim:
    """Our rate is to be at least this many times another's."""

    against: str
    at_least: float


@dataclass(frozen=True, slots=True)
class Discipline:
    """One row of the table of aims."""

    number: str
    work: Work
    title: str
    aims: tuple[Aim, ...]


DISCIPLINES = (
    Discipline(
        "P1",
        Work.CONSUME,
        "consume: typed event into an async handler, in order of its key, activity log on",
        (Aim(FLOOR, 0.7), Aim("FastStream", 4.0), Aim("Faust", 3.0)),
    ),
    Discipline(
        "P2",
        Work.PIPE,
        "pipe: typed in, typed out, exactly once, activity log on",
        (Aim(FLOOR, 0.8), Aim("Quix Streams", 1.2)),
    ),
    Discipline("P5", Work.PUBLISH, "publish: typed event, Avro, idempotent", (Aim(FLOOR, 0.9),)),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """What one contender reached in one discipline, over all rounds."""

    answers: tuple[Answer, ...]

    @property
    def per_s(self) -> float:
        """The median of the rounds."""
        return median(answer.rate for answer in self.answers)

    @property
    def spread(self) -> float:
        """From the slowest round to the fastest, as a part of the median."""
        rates = [answer.rate for answer in self.answers]
        return (max(rates) - min(rates)) / self.per_s

    @property
    def cpu_us(self) -> float:
        """CPU time of all threads for one event, in microseconds: it moves less with what else the machine does."""
        return median(answer.cpu_seconds / answer.events for answer in self.answers) * 1_000_000


Rates = Mapping[str, Rate]
"""By the contender's name."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one aim was met."""

    aim: Aim
    ratio: float | None
    """None where one of the two has no rate."""

    @property
    def met(self) -> bool | None:
        """None where it is not known."""
        return None if self.ratio is None else self.ratio >= self.aim.at_least

    def __str__(self) -> str:
        word = {True: "met", False: "missed", None: "not known"}[self.met]
        ratio = "" if self.ratio is None else f" ({self.ratio:.2f})"
        return f"≥ {self.aim.at_least:g} x {self.aim.against}: {word}{ratio}"


def ratio(rates: Rates, against: str) -> float | None:
    """Our rate as a multiple of another's."""
    if OURS not in rates or against not in rates:
        return None
    return rates[OURS].per_s / rates[against].per_s


def judge(discipline: Discipline, rates: Rates) -> list[Verdict]:
    """Hold the rates against the aims."""
    return [Verdict(aim, ratio(rates, aim.against)) for aim in discipline.aims]


def make_table(results: Mapping[Discipline, Rates], names: Sequence[str]) -> Table:
    """The table for people.

    Args:
        results: What was measured.
        names: The contenders in the order of their columns.
    """
    table = Table(title="events a second: median of the rounds, spread, and how many times the fabric's rate is of it", show_lines=True)
    for heading in ("", "work", *names, "aim"):
        table.add_column(heading, justify="right" if heading in names else "left", overflow="fold")
    for discipline, rates in results.items():
        cells = [_cell(rates, name) for name in names]
        table.add_row(discipline.number, discipline.title, *cells, "\n".join(str(verdict) for verdict in judge(discipline, rates)))
    return table


def _cell(rates: Rates, name: str) -> str:
    rate = rates.get(name)
    if rate is None:
        return "-"
    times = ratio(rates, name)
    lines = [f"{rate.per_s:,.0f}", f"± {rate.spread * 50:.0f} %"]
    return "\n".join(lines if name == OURS or times is None else [*lines, f"{times:.2f} x"])


def as_json(results: Mapping[Discipline, Rates], missing: Mapping[str, str], machine: Mapping[str, str | int]) -> dict[str, Any]:
    """The document for tools.

    Args:
        results: What was measured.
        missing: Who could not take part, and why.
        machine: What it ran on.
    """
    return {
        "machine": dict(machine),
        "missing": dict(missing),
        "disciplines": [
            {
                "number": discipline.number,
                "work": discipline.work.value,
                "rates": {name: _rate_json(rate) for name, rate in rates.items()},
                "aims": [
                    {"against": verdict.aim.against, "at_least": verdict.aim.at_least, "ratio": verdict.ratio, "met": verdict.met}
                    for verdict in judge(discipline, rates)
                ],
            }
            for discipline, rates in results.items()
        ],
    }


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {
        "per_s": round(rate.per_s, 1),
        "spread": round(rate.spread, 3),
        "cpu_us_per_event": round(rate.cpu_us, 2),
        "rounds_per_s": [round(answer.rate, 1) for answer in rate.answers],
        "events": rate.answers[0].events,
    }
