"""What the benchmark makes of its measurements: medians, ratios, aims, one table, one JSON document. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any

from rich.table import Table

from tests.performance.contest import Answer

OURS = "fabric"
FLOOR = "raw loop"
LIMIT = "the limit"
"""What a row's downstream and concurrency allow at the most: beside the rates as if somebody had reached it."""


class Unit(StrEnum):
    """Of a figure."""

    PER_S = "/s"
    MB = " MB"
    S = " s"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured, over all rounds."""

    rounds: tuple[float, ...]
    unit: Unit = Unit.PER_S
    cpu_us: float | None = None
    """CPU time of all threads for one event, in microseconds: it moves less with what else the machine does."""
    events: int | None = None

    @property
    def median(self) -> float:
        """Of the rounds."""
        return median(self.rounds)

    @property
    def spread(self) -> float:
        """From the lowest round to the highest, as a part of the median."""
        return (max(self.rounds) - min(self.rounds)) / self.median if self.median else 0.0

    def __str__(self) -> str:
        """For people."""
        digits = 2 if self.unit is Unit.S else 0
        return f"{self.median:,.{digits}f}{self.unit}"


def rate(answers: Sequence[Answer]) -> Figure:
    """Events a second."""
    cpu_us = median(answer.cpu_seconds / answer.events for answer in answers) * 1_000_000
    return Figure(tuple(answer.rate for answer in answers), Unit.PER_S, cpu_us, answers[0].events)


def memory(answers: Sequence[Answer]) -> Figure:
    """The most that was resident."""
    return Figure(tuple(answer.peak_mb for answer in answers), Unit.MB, None, answers[0].events)


Figures = Mapping[str, Figure]
"""By the contender's name, or by the variant's."""


@dataclass(frozen=True, slots=True)
class Aim:
    """One figure is to be at least this many times another."""

    against: str
    at_least: float
    of: str = OURS

    def judge(self, figures: Figures) -> Verdict:
        """Hold it against what was measured."""
        found = ratio(figures, self.against, of=self.of)
        subject = "" if self.of == OURS else f"{self.of} "
        met = None if found is None else found >= self.at_least
        return Verdict(f"{subject}≥ {self.at_least:g} x {self.against}", "" if found is None else f"{found:.2f}", met)


@dataclass(frozen=True, slots=True)
class AtMost:
    """One figure is to be no more than so much."""

    bound: float
    of: str

    def judge(self, figures: Figures) -> Verdict:
        """Hold it against what was measured."""
        found = figures.get(self.of)
        unit = found.unit if found else ""
        return Verdict(f"{self.of} ≤ {self.bound:g}{unit}", str(found or ""), None if found is None else found.median <= self.bound)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one aim was met."""

    aim: str
    measured: str
    met: bool | None
    """None where it is not known, as one of those that it is about took no part."""

    def __str__(self) -> str:
        """For people."""
        word = {True: "met", False: "missed", None: "not known"}[self.met]
        return f"{self.aim}: {word}" + (f" ({self.measured})" if self.measured else "")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table of aims."""

    number: str
    title: str
    aims: tuple[Aim | AtMost, ...]
    figures: Figures
    is_race: bool
    """Whether the figures are of contenders; else they are variants of ours."""

    def verdicts(self) -> list[Verdict]:
        """Hold the figures against the aims."""
        return [aim.judge(self.figures) for aim in self.aims]


def ratio(figures: Figures, against: str, *, of: str = OURS) -> float | None:
    """One figure as a multiple of another; None where one of them is missing."""
    if of not in figures or against not in figures:
        return None
    return figures[of].median / figures[against].median


def make_table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """The table for people.

    Args:
        rows: What was measured.
        names: The contenders in the order of their columns.
    """
    table = Table(title="median of the rounds, spread, and how many times the fabric's rate is of it", show_lines=True)
    for heading in ("", "work", *names, "aim"):
        table.add_column(heading, justify="right" if heading in names else "left", overflow="fold")
    for row in rows:
        cells = [_cell(row.figures, name) for name in names] if row.is_race else [_variants(row.figures), *["" for _ in names[1:]]]
        table.add_row(row.number, row.title, *cells, "\n".join(str(verdict) for verdict in row.verdicts()))
    return table


def _cell(figures: Figures, name: str) -> str:
    figure = figures.get(name)
    if figure is None:
        return "-"
    times = ratio(figures, name)
    lines = [str(figure), f"± {figure.spread * 50:.0f} %"]
    return "\n".join(lines if name == OURS or times is None else [*lines, f"{times:.2f} x"])


def _variants(figures: Figures) -> str:
    return "\n".join(f"{name}: {figure}" for name, figure in figures.items())


def as_markdown(rows: Sequence[Row], names: Sequence[str]) -> str:
    """The table for the README."""
    lines = [f"| | work | {' | '.join(names)} | aim |", "|---" * (len(names) + 3) + "|"]
    for row in rows:
        if row.is_race:
            cells = [str(row.figures.get(name, "")) for name in names]
        else:
            cells = ["; ".join(f"{name} {figure}" for name, figure in row.figures.items()), *["" for _ in names[1:]]]
        aims = "; ".join(str(verdict) for verdict in row.verdicts())
        lines.append(f"| {row.number} | {row.title} | {' | '.join(cells)} | {aims} |")
    return "\n".join(lines) + "\n"


def as_json(rows: Sequence[Row], missing: Mapping[str, str], machine: Mapping[str, Any]) -> dict[str, Any]:
    """The document for tools.

    Args:
        rows: What was measured.
        missing: Who could not take part, and why.
        machine: What it ran on.
    """
    return {
        "machine": dict(machine),
        "missing": dict(missing),
        "rows": [
            {
                "number": row.number,
                "title": row.title,
                "figures": {name: figure_json(figure) for name, figure in row.figures.items()},
                "aims": [{"aim": verdict.aim, "measured": verdict.measured, "met": verdict.met} for verdict in row.verdicts()],
            }
            for row in rows
        ],
    }


def figure_json(figure: Figure) -> dict[str, Any]:
    """One figure for tools."""
    return {
        "median": round(figure.median, 3),
        "unit": figure.unit.strip(),
        "spread": round(figure.spread, 3),
        "rounds": [round(each, 3) for each in figure.rounds],
        "cpu_us_per_event": None if figure.cpu_us is None else round(figure.cpu_us, 2),
        "events": figure.events,
    }
