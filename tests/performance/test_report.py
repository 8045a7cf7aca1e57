"""What the benchmark makes of its measurements. The measurements themselves are no part of the test suite."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.performance import bench, quix_home
from tests.performance.contenders import CONTENDERS, Contender, Failed, run
from tests.performance.contest import Answer, Task, Work
from tests.performance.report import DISCIPLINES, FLOOR, OURS, Aim, Discipline, Rate, Verdict, as_json, judge, make_table

PIPE = Discipline("P2", Work.PIPE, "pipe", (Aim(FLOOR, 0.8), Aim("Quix Streams", 1.2)))


def rate(*per_s: float, cpu_seconds: float = 0.5) -> Rate:
    return Rate(tuple(Answer(1000, 1000 / each, cpu_seconds) for each in per_s))


def test_the_median_round_counts() -> None:
    found = rate(100, 400, 200)
    assert found.per_s == pytest.approx(200)
    assert found.spread == pytest.approx(1.5)
    assert found.cpu_us == pytest.approx(500)


def test_aims_are_held_against_ratios_of_medians() -> None:
    rates = {OURS: rate(80, 90, 80), FLOOR: rate(100, 100, 10), "Quix Streams": rate(70)}
    assert [(verdict.met, round(verdict.ratio or 0, 2)) for verdict in judge(PIPE, rates)] == [(True, 0.8), (False, 1.14)]
    assert [str(verdict) for verdict in judge(PIPE, rates)] == ["≥ 0.8 x raw loop: met (0.80)", "≥ 1.2 x Quix Streams: missed (1.14)"]


@pytest.mark.parametrize("rates", [{OURS: rate(80)}, {FLOOR: rate(80)}])
def test_an_aim_against_somebody_who_took_no_part_is_not_known(rates: dict[str, Rate]) -> None:
    assert {verdict.met for verdict in judge(PIPE, rates)} == {None}
    assert str(Verdict(PIPE.aims[0], None)) == "≥ 0.8 x raw loop: not known"


def test_the_table_has_everybody_and_a_dash_for_who_is_missing() -> None:
    out = StringIO()
    names = [OURS, FLOOR, "Quix Streams"]
    Console(file=out, width=150).print(make_table({PIPE: {OURS: rate(9_000, 12_000, 10_000), FLOOR: rate(20_000)}}, names))
    text = out.getvalue()
    for part in (
        "P2",
        "pipe",
        "10,000",
        "± 15 %",
        "20,000",
        "0.50 x",
        "≥ 0.8 x raw loop: missed (0.50)",
        "≥ 1.2 x Quix Streams: not known",
    ):
        assert part in text
    assert "-" in text.split("20,000")[1].split("≥")[0]


def test_the_document_is_json_with_both_columns() -> None:
    rates = {OURS: rate(80, cpu_seconds=0.01), FLOOR: rate(100)}
    document = json.loads(json.dumps(as_json({PIPE: rates}, {"Quix Streams": "cannot be installed"}, {"cores": 2})))
    assert document["missing"] == {"Quix Streams": "cannot be installed"}
    (found,) = document["disciplines"]
    assert found["rates"][OURS] == {"per_s": 80.0, "spread": 0.0, "cpu_us_per_event": 10.0, "rounds_per_s": [80.0], "events": 1000}
    assert found["aims"][0] == {"against": FLOOR, "at_least": 0.8, "ratio": pytest.approx(0.8), "met": True}
    assert found["aims"][1]["met"] is None


def test_every_aim_is_against_somebody_who_does_that_work() -> None:
    for discipline in DISCIPLINES:
        doing = {contender.name for contender in CONTENDERS if discipline.work in contender.shares}
        assert {OURS, *(aim.against for aim in discipline.aims)} <= doing


def test_a_contender_is_given_its_share_in_thousands() -> None:
    contender = Contender("slow", "slow", {Work.PIPE: 0.04})
    assert contender.events(Work.PIPE, 300_000) == 12_000
    assert contender.events(Work.PIPE, 10) == 1_000


def test_a_contender_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    nobody = Contender("Nobody", "nobody", {Work.PIPE: 1.0})
    with pytest.raises(Failed, match=r"Nobody, pipe: ended with 1 and no answer: .*No module named"):
        run(nobody, Task("127.0.0.1:1", Work.PIPE, 1_000), python=None, log=tmp_path / "log")


def test_a_peer_that_cannot_be_installed_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{tmp_path / 'nowhere'}\n")
    monkeypatch.setattr(quix_home, "REQUIREMENTS", requirements)
    with pytest.raises(Failed, match=r"^Quix Streams cannot be installed, so it takes no part: ERROR: [^\n]*$"):
        quix_home.prepare(tmp_path / "cache", lambda _: None)


@pytest.mark.parametrize("arguments", [["--only", "P3"], ["--events", "0"], ["--rounds", "0"]])
def test_wrong_usage_ends_with_2_and_says_what_to_do(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(arguments)
    assert ended.value.code == 2
    assert "name " in capsys.readouterr().err
