"""Real child processes: started, awaited, known again, never confused with another of the same pid, and stopped."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from integration_fabric.local import ports, processes
from integration_fabric.local.errors import DiedEarly, NotReady
from integration_fabric.local.processes import Process

SOON = timedelta(seconds=20)
AT_ONCE = timedelta(milliseconds=200)

SLEEPER = "import signal, sys; print('up', flush=True); signal.pause()"
STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("child", child.pid, flush=True)
signal.pause()
"""
SERVER = """
import signal, socket, threading
listener = socket.create_server(("127.0.0.1", 0))
for _ in range(8):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
memory = bytearray(b"x") * 200_000_000
print(listener.getsockname()[1], flush=True)
signal.pause()
"""
DYING = """
import sys
print("reading settings", flush=True)
raise ValueError("no such database: fabric")
"""

Start = Callable[[str], Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def run(code: str) -> Process:
        started.append(processes.start("sleeper", [sys.executable, "-c", code, "mark"], state_dir=tmp_path))
        return started[-1]

    yield run
    for process in started:
        processes.stop(process, within=SOON)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return processes.log_path(tmp_path, "sleeper")


def said(log: Path, word: str) -> Callable[[], bool]:
    return lambda: word in log.read_text()


def await_end(process: Process) -> None:
    assert processes.wait(lambda: False, alive=lambda: processes.is_alive(process), within=SOON) is processes.Wait.ENDED


def test_a_program_is_started_awaited_and_stopped(start: Start, log: Path) -> None:
    process = start(SLEEPER)
    processes.await_ready(process, said(log, "up"), within=SOON, log=log)

    assert processes.is_alive(process)
    assert os.getsid(process.pid) == process.pid
    assert processes.stop(process, within=SOON)
    assert not processes.is_alive(process)
    assert not processes.stop(process, within=SOON)


@pytest.mark.parametrize("other", ["1 mark", "{start} another", ""])
def test_another_program_under_a_recycled_pid_is_neither_ours_nor_stopped(start: Start, log: Path, other: str) -> None:
    process = start(SLEEPER)
    processes.await_ready(process, said(log, "up"), within=SOON, log=log)
    ours_before = Process(process.pid, other.format(start=process.birthmark.split()[0]))

    assert not processes.is_alive(ours_before)
    assert not processes.stop(ours_before, within=SOON)
    assert processes.is_alive(process)


def test_an_early_death_is_noticed_and_the_last_words_stand_in_the_error(start: Start, log: Path) -> None:
    process = start(DYING)

    with pytest.raises(DiedEarly) as failure:
        processes.await_ready(process, lambda: False, within=SOON, log=log)

    line = str(failure.value)
    assert "reading settings" in line
    assert "ValueError: no such database: fabric" in line
    assert str(log) in line
    assert "\n" not in line


def test_another_that_answers_in_the_place_of_a_dead_one_does_not_count(start: Start, log: Path) -> None:
    process = start(DYING)
    await_end(process)

    with pytest.raises(DiedEarly):
        processes.await_ready(process, lambda: True, within=SOON, log=log)


def test_a_program_that_is_late_is_left_running(start: Start, log: Path) -> None:
    process = start(SLEEPER)

    with pytest.raises(NotReady, match="does not serve"):
        processes.await_ready(process, lambda: False, within=AT_ONCE, log=log)

    assert processes.is_alive(process)


def test_a_program_that_does_not_heed_is_killed_with_its_children(start: Start, log: Path) -> None:
    process = start(STUBBORN)
    processes.await_ready(process, said(log, "child"), within=SOON, log=log)
    pid = int(log.read_text().split()[1])
    child = Process(pid, processes.birthmark(pid) or "")
    assert processes.is_alive(child)

    assert processes.stop(process, within=AT_ONCE)

    assert not processes.is_alive(process)
    await_end(child)


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiedEarly, match="/no/such/program: No such file"):
        processes.start("nothing", ["/no/such/program"], state_dir=tmp_path)


def test_the_log_of_the_run_before_is_kept(start: Start, log: Path) -> None:
    first = start("print('first')")
    await_end(first)
    second = start("print('second')")
    await_end(second)

    assert log.read_text() == "second\n"
    assert log.with_name("sleeper.previous.log").read_text() == "first\n"


@pytest.mark.parametrize("look", [processes._from_proc, processes._from_ps], ids=["proc", "ps"])
def test_both_ways_to_look_at_a_process_agree(start: Start, log: Path, look: Callable[[int], str | None]) -> None:
    if look is processes._from_proc and not Path("/proc/self/stat").exists():
        look = processes.birthmark
    process = start(SLEEPER)
    processes.await_ready(process, said(log, "up"), within=SOON, log=log)
    mark = look(process.pid)

    assert mark is not None
    assert mark.endswith(" mark")
    assert look(process.pid) == mark
    assert look(os.getpid()) != mark

    processes.stop(process, within=SOON)
    assert look(process.pid) is None


def test_a_program_that_is_ending_is_alive_until_it_has_given_back_its_ports(tmp_path: Path) -> None:
    """Killed while it holds much memory, which takes the system a while to take back, and only then the port."""
    for _ in range(5):
        process = processes.start("server", [sys.executable, "-c", SERVER, "mark"], state_dir=tmp_path)
        log = processes.log_path(tmp_path, "server")
        processes.await_ready(process, said(log, "\n"), within=SOON, log=log)
        port = int(log.read_text())
        assert not ports.is_free(port)

        os.kill(process.pid, signal.SIGKILL)
        await_end(process)

        assert ports.is_free(port)


@pytest.mark.parametrize("look", [processes.birthmark, processes._from_ps])
def test_a_zombie_is_dead(start: Start, look: Callable[[int], str | None]) -> None:
    process = start("pass")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert look(process.pid) is None


def test_last_words_leave_out_the_frames_of_a_trace() -> None:
    output = b"one\nERROR it broke\n\tat a.B(C.java:1)\n  File x\nCaused by: no disk\n\n"

    assert processes.condensed(output) == "one | ERROR it broke | Caused by: no disk"
    assert processes.condensed(b"") == "none"
