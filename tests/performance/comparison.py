"""What the benchmark's figures mean: medians, spreads, ratios and aims. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

OURS = "fabric"
RAW = "raw loop"


@dataclass(frozen=True, slots=True)
class Aim:
    """At least so many times as fast as somebody."""

    contender: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Row:
    """One work with its aims and the rates of all contenders."""

    name: str
    title: str
    aims: Sequence[Aim]
    rates: Mapping[str, Sequence[float]]
    """Events a second in each run, by contender; those that could not run are missing."""

    def rate(self, contender: str) -> float | None:
        """The median."""
        found = self.rates.get(contender)
        return median(found) if found else None

    def spread(self, contender: str) -> float:
        """Between the slowest and the fastest run, as a part of the median."""
        found = self.rates[contender]
        return (max(found) - min(found)) / median(found)

    def ratio(self, contender: str) -> float | None:
        """Ours to theirs; None where one of them could not run."""
        ours, theirs = self.rate(OURS), self.rate(contender)
        return ours / theirs if ours and theirs else None

    def missed(self) -> Sequence[Aim]:
        """The aims that are known to be missed."""
        return [aim for aim in self.aims if (found := self.ratio(aim.contender)) is not None and found < aim.ratio]

    def to_json(self) -> dict[str, Any]:
        """The row as tools read it."""
        return {
            "work": self.name,
            "title": self.title,
            "rates_per_s": {name: [round(rate) for rate in rates] for name, rates in self.rates.items()},
            "ratios": {name: round(ratio, 3) for name in self.rates if name != OURS and (ratio := self.ratio(name)) is not None},
            "aims": [{"contender": aim.contender, "at_least": aim.ratio, "met": aim not in self.missed()} for aim in self.aims],
        }
