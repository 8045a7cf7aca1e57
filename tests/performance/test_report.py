"""What the benchmark makes of its measurements. The measurements themselves are no part of the test suite."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from tests.performance.contest import Answer
from tests.performance.report import FLOOR, LIMIT, OURS, Aim, AtMost, Figure, Row, Unit, as_json, as_markdown, make_table, memory, rate

AIMS = (Aim(FLOOR, 0.8), Aim("Quix Streams", 1.2))


def figure(*per_s: float, cpu_seconds: float = 0.5) -> Figure:
    return rate([Answer(1000, 1000 / each, cpu_seconds) for each in per_s])


def row(figures: dict[str, Figure], *aims: Aim | AtMost, is_race: bool = True) -> Row:
    return Row("P2", "pipe", aims, figures, is_race)


def test_the_median_round_counts() -> None:
    found = figure(100, 400, 200)
    assert found.median == pytest.approx(200)
    assert found.spread == pytest.approx(1.5)
    assert found.cpu_us == pytest.approx(500)


def test_aims_are_held_against_ratios_of_medians() -> None:
    found = row({OURS: figure(80, 90, 80), FLOOR: figure(100, 100, 10), "Quix Streams": figure(70)}, *AIMS)
    assert [verdict.met for verdict in found.verdicts()] == [True, False]
    assert [str(verdict) for verdict in found.verdicts()] == ["≥ 0.8 x raw loop: met (0.80)", "≥ 1.2 x Quix Streams: missed (1.14)"]


def test_a_variant_is_held_against_another() -> None:
    found = row({"SQLite": figure(75), "log off": figure(100)}, Aim("log off", 0.8, of="SQLite"), is_race=False)
    assert [str(verdict) for verdict in found.verdicts()] == ["SQLite ≥ 0.8 x log off: missed (0.75)"]


@pytest.mark.parametrize(("seconds", "word"), [(0.95, "met"), (1.05, "missed")])
def test_a_figure_is_held_against_a_bound(seconds: float, word: str) -> None:
    found = row({"drained": Figure((seconds,), Unit.S)}, AtMost(1.0, "drained"), is_race=False)
    assert [str(verdict) for verdict in found.verdicts()] == [f"drained ≤ 1 s: {word} ({seconds} s)"]


def test_the_limit_is_what_all_are_held_against() -> None:
    found = row({OURS: figure(1_900), LIMIT: Figure((2_000,))}, Aim(LIMIT, 0.95))
    assert [str(verdict) for verdict in found.verdicts()] == ["≥ 0.95 x the limit: met (0.95)"]


@pytest.mark.parametrize("figures", [{OURS: figure(80)}, {FLOOR: figure(80)}])
def test_an_aim_against_somebody_who_took_no_part_is_not_known(figures: dict[str, Figure]) -> None:
    found = row(figures, *AIMS)
    assert {verdict.met for verdict in found.verdicts()} == {None}
    assert str(found.verdicts()[0]) == "≥ 0.8 x raw loop: not known"


def test_a_bound_of_what_was_not_measured_is_not_known() -> None:
    assert [str(verdict) for verdict in row({}, AtMost(250, "far behind")).verdicts()] == ["far behind ≤ 250: not known"]


def test_memory_is_the_highest_of_each_round() -> None:
    found = memory([Answer(10, 1.0, 1.0, 180.0), Answer(10, 1.0, 1.0, 200.0)])
    assert (found.median, str(found)) == (190.0, "190 MB")


def shown(*rows: Row) -> str:
    out = StringIO()
    Console(file=out, width=170).print(make_table(rows, [OURS, FLOOR, "Quix Streams"]))
    return out.getvalue()


def test_the_table_has_everybody_and_a_dash_for_who_is_missing() -> None:
    text = shown(row({OURS: figure(9_000, 12_000, 10_000), FLOOR: figure(20_000)}, *AIMS))
    for part in (
        "P2",
        "pipe",
        "10,000/s",
        "± 15 %",
        "20,000/s",
        "0.50 x",
        "≥ 0.8 x raw loop: missed (0.50)",
        "≥ 1.2 x Quix Streams: not known",
    ):
        assert part in text
    assert "-" in text.split("20,000")[1].split("≥")[0]


def test_variants_of_ours_stand_in_our_column() -> None:
    text = shown(row({"drained": Figure((0.5,), Unit.S), "killed": Figure((6.25,), Unit.S)}, is_race=False))
    assert "drained: 0.50 s" in text
    assert "killed: 6.25 s" in text


def test_the_table_for_the_readme_has_a_cell_for_everybody() -> None:
    race = row({OURS: figure(90), FLOOR: figure(100)}, Aim(FLOOR, 0.8))
    own = row({"drained": Figure((0.5,), Unit.S)}, AtMost(1.0, "drained"), is_race=False)
    heading, rule, *written = as_markdown([race, own], [OURS, FLOOR, "Faust"]).splitlines()
    assert heading == "| | work | fabric | raw loop | Faust | aim |"
    assert [line.count("|") for line in (rule, *written)] == [heading.count("|")] * 3
    assert written == [
        "| P2 | pipe | 90/s | 100/s |  | ≥ 0.8 x raw loop: met (0.90) |",
        "| P2 | pipe | drained 0.50 s |  |  | drained ≤ 1 s: met (0.50 s) |",
    ]


def test_the_document_is_json_with_all_columns() -> None:
    found = row({OURS: figure(80, cpu_seconds=0.01), FLOOR: figure(100)}, *AIMS)
    document = json.loads(json.dumps(as_json([found], {"Quix Streams": "cannot be installed"}, {"cores": 2})))
    assert document["missing"] == {"Quix Streams": "cannot be installed"}
    (written,) = document["rows"]
    assert written["figures"][OURS] == {
        "median": 80.0,
        "unit": "/s",
        "spread": 0.0,
        "rounds": [80.0],
        "cpu_us_per_event": 10.0,
        "events": 1000,
    }
    assert written["aims"][0] == {"aim": "≥ 0.8 x raw loop", "measured": "0.80", "met": True}
    assert written["aims"][1]["met"] is None
