"""What the quote benchmark makes of its measurements: rates, percentiles, aims, one table, one JSON document. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

AIM_PER_S = 100.0
AIM_P99_S = 1.5
AIMED_STORE = "postgresql"
"""On which the rate is to be reached."""


@dataclass(frozen=True, slots=True)
class Sustained:
    """As many quotes as go through, a fixed number of them open at any time."""

    completed: int
    seconds: float
    cores: Mapping[str, float]
    """How many cores each process kept busy meanwhile."""
    load: float
    """The machine's load average at the end: what else it did counts against us."""

    @property
    def per_s(self) -> float:
        """Quotes a second."""
        return self.completed / self.seconds


@dataclass(frozen=True, slots=True)
class Steady:
    """Quotes approved at a fixed rate, whatever becomes of them."""

    asked_per_s: float
    took_s: Sequence[float]
    """From the approval at the CPQ to the completed process, one for each quote that was completed."""
    approved: int
    cores: Mapping[str, float]
    load: float
    not_taken: int = 0
    """Approvals that the CPQ did not answer, the warm-up's included."""

    @property
    def completed(self) -> int:
        """All, unless it could not keep up."""
        return len(self.took_s)

    def percentile(self, share: float) -> float:
        """The time within which this share was through."""
        return percentile(self.took_s, share)


@dataclass(frozen=True, slots=True)
class Measured:
    """One store, one round."""

    store: str
    sustained: Sustained
    steady: Steady


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that `share` of them do not exceed. Infinite where there is none."""
    if not values:
        return math.inf
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def make_table(found: Sequence[Measured]) -> Table:
    """The table for people."""
    table = Table(title="quote to activation: five simulated systems at 5 ms, workers in processes of their own", show_lines=True)
    for heading in ("store", "quotes/s", "p50", "p99", "most CPU (cores) at full rate", "load"):
        table.add_column(heading, justify="left" if heading in {"store", "most CPU (cores) at full rate"} else "right", overflow="fold")
    for item in found:
        busiest = ", ".join(f"{name} {cores:.2f}" for name, cores in list(item.sustained.cores.items())[:6])
        table.add_row(
            item.store,
            f"{item.sustained.per_s:.1f}",
            f"{item.steady.percentile(0.5):.2f} s",
            f"{item.steady.percentile(0.99):.2f} s",
            busiest,
            f"{item.sustained.load:.1f} / {item.steady.load:.1f}",
        )
    return table


def as_json(found: Sequence[Measured], machine: Mapping[str, str | int]) -> dict[str, Any]:
    """The document for tools."""
    aims = {"per_s": AIM_PER_S, "on": AIMED_STORE, "p99_s": AIM_P99_S}
    return {"machine": dict(machine), "aims": aims, "rounds": [_round(each) for each in found]}


def _round(found: Measured) -> dict[str, Any]:
    sustained, steady = found.sustained, found.steady
    return {
        "store": found.store,
        "sustained": {
            "per_s": round(sustained.per_s, 1),
            "completed": sustained.completed,
            "seconds": round(sustained.seconds, 1),
            "cores": {name: round(cores, 3) for name, cores in sustained.cores.items()},
            "load_average": round(sustained.load, 2),
        },
        "steady": {
            "asked_per_s": steady.asked_per_s,
            "approved": steady.approved,
            "completed": steady.completed,
            "not_taken": steady.not_taken,
            "p50_s": round(steady.percentile(0.5), 3),
            "p90_s": round(steady.percentile(0.9), 3),
            "p99_s": round(steady.percentile(0.99), 3),
            "max_s": round(steady.percentile(1.0), 3),
            "cores": {name: round(cores, 3) for name, cores in steady.cores.items()},
            "load_average": round(steady.load, 2),
        },
    }
