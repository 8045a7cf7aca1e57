"""Who takes part in the benchmark, at what and with how much; what its helpers read; and its command line. Nothing is measured here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.performance import bench, java_home, quix_home
from tests.performance.contenders import CONTENDERS, Contender, Failed, run
from tests.performance.contest import Task, Work
from tests.performance.downstream import request_size
from tests.performance.filling import fillings
from tests.performance.report import LIMIT, OURS, Aim
from tests.performance.trials import BEHIND, DISCIPLINES, GROWN, Discipline, Log, Measure, Trial, waiting

PIPE = Trial(Work.PIPE)


def discipline(number: str) -> Discipline:
    return next(found for found in DISCIPLINES if found.number == number)


def test_every_aim_is_about_what_is_measured() -> None:
    for each in DISCIPLINES:
        if each.measure is Measure.HANDOVER:
            continue
        doing = {contender.name for contender in CONTENDERS if each.race and contender.does(each.race)} | set(each.variants)
        named = {aim.of for aim in each.aims} | {aim.against for aim in each.aims if isinstance(aim, Aim)}
        assert named <= doing | ({LIMIT} if each.race and each.race.latency_ms else set()), each.number


def test_a_contender_is_given_its_share_in_thousands() -> None:
    contender = Contender("slow", "slow", {Work.PIPE: 0.04})
    assert contender.events(PIPE, 300_000) == 12_000
    assert contender.events(PIPE, 10) == 1_000
    assert contender.events(Trial(Work.PIPE, events=7), 300_000) == 7


@pytest.mark.parametrize(
    ("one_by_one", "latency_ms", "in_flight", "events"),
    [(False, 50.0, 100, 8_000), (False, 50.0, 1000, 32_000), (False, 1.0, 100, 32_000), (False, 50.0, 1, 80), (True, 50.0, 100, 60)],
)
def test_who_waits_is_given_what_a_few_seconds_take(one_by_one: bool, latency_ms: float, in_flight: int, events: int) -> None:
    contender = Contender("waiting", "waiting", {Work.WAIT: 1.0}, one_by_one=one_by_one)
    assert contender.events(waiting(latency_ms, in_flight), 10) == events


def test_who_takes_one_event_after_the_other_waits_in_the_first_round_alone() -> None:
    alone = Contender("alone", "alone", {Work.WAIT: 1.0, Work.PIPE: 1.0}, one_by_one=True)
    assert [alone.is_asked(waiting(50.0, 100), number) for number in (1, 2)] == [True, False]
    assert [alone.is_asked(PIPE, number) for number in (1, 2)] == [True, True]
    assert not alone.does(waiting(50.0, 1000))


def test_effects_are_measured_on_both_stores_with_http_and_without() -> None:
    found = discipline("P6").variants
    assert {(trial.log, trial.over_http) for trial in found.values()} == {(log, over) for log in Log for over in (True, False)}
    assert found["HTTP, SQLite"].log is Log.SQLITE
    assert found["bare, log off"] == Trial(Work.EFFECT, found["HTTP, SQLite"].topic, latency_ms=5.0, in_flight=200, events=25_000)


def test_only_what_is_measured_is_filled() -> None:
    assert [found.events for found in fillings([discipline("P1")], 20_000)] == [20_000]
    behind = fillings([discipline("P9")], 20_000)
    assert [found.events for found in behind] == [BEHIND, 10_000]
    grown = fillings([discipline("P10")], 20_000)[1:]
    assert [(found.keys, found.partitions, found.kind.topic) for found in grown] == [(g.keys, g.partitions, g.topic) for g in GROWN]
    assert len({found.kind.topic for found in grown}) == len(GROWN)


@pytest.mark.parametrize(
    ("received", "size"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 41),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST", 41),
        (b"GET / HTTP/1.1\r\n\r\n", 18),
        (b"POST / HTTP/1.1\r\nContent-Len", None),
    ],
)
def test_the_downstream_knows_where_a_request_ends(received: bytes, size: int | None) -> None:
    assert request_size(received) == size


def test_a_contender_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    nobody = Contender("Nobody", "nobody", {Work.PIPE: 1.0})
    command = (sys.executable, "-m", "tests.performance.peers.nobody")
    with pytest.raises(Failed, match=r"Nobody, pipe: ended with 1 and no answer: .*No module named"):
        run(nobody, Task("127.0.0.1:1", Work.PIPE, 1_000), command=command, log=tmp_path / "log")


def test_a_contender_reads_its_task_and_is_heard(tmp_path: Path) -> None:
    program = (
        "from tests.performance.contest import Stopwatch, read_task\n"
        "task, watch = read_task(), Stopwatch()\n"
        "assert (task.work.name, task.latency_ms, task.store) == ('WAIT', 2.5, 'sqlite://')\n"
        "watch.begin()\nheld = b'x' * 64_000_000\ndel held\nprint('something else')\nwatch.end(task.events)\n"
    )
    task = Task("127.0.0.1:1", Work.WAIT, 12, latency_ms=2.5, store="sqlite://")
    answer = run(Contender(OURS, "", {}), task, command=(sys.executable, "-c", program), log=tmp_path / "log")
    assert answer.events == 12
    assert answer.seconds > 0
    assert 64 < answer.peak_mb < 200  # what it had for a moment


def test_a_peer_that_cannot_be_installed_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{tmp_path / 'nowhere'}\n")
    monkeypatch.setattr(quix_home, "REQUIREMENTS", requirements)
    with pytest.raises(Failed, match=r"^Quix Streams cannot be installed, so it takes no part: ERROR: [^\n]*$"):
        quix_home.prepare(tmp_path / "cache", lambda _: None)


def test_without_a_compiler_the_peer_in_java_takes_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failed, match="takes no part: no `javac` on the PATH"):
        java_home.prepare("ParallelConsumerPeer", cache_dir=tmp_path, folder=tmp_path, tell=print)


def test_the_pins_of_the_peer_in_java_are_whole() -> None:
    pins = java_home.JARS.pinned()
    assert {f"parallel-consumer-core-{java_home.VERSION}.jar", "avro-1.12.0.jar", "slf4j-nop-2.0.13.jar"} <= pins.keys()
    assert all(len(digest) == 64 for digest in pins.values())


@pytest.mark.parametrize("arguments", [["--only", "P7"], ["--events", "0"], ["--rounds", "0"]])
def test_wrong_usage_ends_with_2_and_says_what_to_do(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(arguments)
    assert ended.value.code == 2
    assert "name " in capsys.readouterr().err
