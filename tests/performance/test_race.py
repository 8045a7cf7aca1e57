"""Who is asked again in a run of the benchmark, and what becomes of the answers. Contenders here answer at once, or die."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.performance.contenders import CONTENDERS, Contender, Home
from tests.performance.contest import Work
from tests.performance.race import Contest
from tests.performance.report import LIMIT, OURS, Aim
from tests.performance.trials import Discipline, Log, Trial, waiting

ANSWERS = """
from tests.performance.contest import Stopwatch, read_task
task, watch = read_task(), Stopwatch()
watch.begin()
watch.end(task.events)
"""
WORKS = {Work.WAIT: 1.0, Work.EFFECT: 1.0}
ALIVE, DEAD, HOMELESS = Contender(OURS, "", WORKS), Contender("dead", "", WORKS), Contender("homeless", "Nobody", WORKS, Home.JAVA)
WAITING = waiting(50.0, 10)


def make_contest(tmp_path: Path, told: list[str], *logs: Log) -> Contest:
    stores = {log: lambda: "sqlite://" for log in logs}
    found = Contest("127.0.0.1:1", "http://downstream", stores, tmp_path, 10, 1, told.append)
    found.commands = {OURS: (sys.executable, "-c", ANSWERS), "dead": (sys.executable, "-c", "raise SystemExit('out of memory')")}
    return found


def test_who_dies_at_one_work_is_asked_once_and_the_others_go_on(tmp_path: Path) -> None:
    told: list[str] = []
    contest = make_contest(tmp_path, told)
    for number in (1, 2):
        contest._race(WAITING, (DEAD, ALIVE), number, "P3")
    assert contest.missing == {"dead, wait": "dead, wait: ended with 1 and no answer: out of memory"}
    assert len(told) == 3
    assert {name: len(answers) for name, answers in contest.answers[WAITING].items()} == {OURS: 2}
    contest._race(waiting(5.0, 10), (DEAD,), 1, "picture")
    assert len(told) == 4  # another trial is another chance


def test_who_cannot_be_made_ready_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[str] = []
    contest = make_contest(tmp_path, told)
    for trial in (WAITING, waiting(5.0, 10)):
        contest._race(trial, (HOMELESS,), 1, "P3")
    assert list(contest.missing) == ["homeless"]
    assert len(told) == 1


def test_what_was_measured_for_the_table_is_not_measured_again_for_the_picture(tmp_path: Path) -> None:
    told: list[str] = []
    contest = make_contest(tmp_path, told)
    contest._race(WAITING, (ALIVE,), 1, "P3")
    contest._race(WAITING, (ALIVE,), 1, "picture")
    assert len(told) == 1


def test_variants_on_a_store_that_is_not_there_are_left_out(tmp_path: Path) -> None:
    contest = make_contest(tmp_path, [], Log.SQLITE)
    variants = {str(log): Trial(Work.EFFECT, log=log, events=10) for log in Log}
    discipline = Discipline("P6", "effects", (Aim("off", 0.8, of="SQLite"), Aim("off", 0.8, of="PostgreSQL")), variants=variants)
    for trial in variants.values():
        contest._race(trial, (ALIVE,), 1, "P6")
    (row,) = contest.rows([discipline])
    assert set(row.figures) == {"off", "SQLite"}
    assert [verdict.met is None for verdict in row.verdicts()] == [False, True]


def test_a_race_with_a_downstream_has_its_limit_beside_it(tmp_path: Path) -> None:
    contest = make_contest(tmp_path, [])
    contest._race(WAITING, (ALIVE,), 1, "P3")
    (row,) = contest.rows([Discipline("P3", "waiting", (), WAITING)])
    assert row.figures[LIMIT].median == 200
    assert row.figures[OURS].events == 800


def test_ours_comes_first() -> None:
    assert CONTENDERS[0].name == OURS
