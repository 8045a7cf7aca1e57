"""The state file: what is recorded is read again, ports outlive services, and writers at once lose nothing of each other."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, wait
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from integration_fabric.local import locks, processes, state
from integration_fabric.local.errors import Busy, StateUnreadable
from integration_fabric.local.state import LocalState, Service


def write_many(state_dir: Path, writer: str) -> None:
    """Runs in a process of its own."""
    for number in range(25):
        state.record(state_dir, Service(f"{writer}-{number}", None, f"127.0.0.1:{number}"))
        state.remember_port(state_dir, f"{writer}-{number}", 20_000 + number)


def test_nothing_was_ever_started(tmp_path: Path) -> None:
    assert state.read(tmp_path / "not there") == LocalState()


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    noted = state.record(tmp_path, Service("tryton", os.getpid(), "http://127.0.0.1:8000", {"database": "fabric"}))

    assert state.read(tmp_path).services == {"tryton": noted}
    assert noted.process is not None
    assert processes.is_alive(noted.process)


def test_the_record_of_a_container_has_no_process(tmp_path: Path) -> None:
    assert state.record(tmp_path, Service("kafka", None, "127.0.0.1:9092")).process is None


def test_a_later_record_replaces_the_one_of_the_same_name(tmp_path: Path) -> None:
    state.record(tmp_path, Service("worker", None, "a"))
    state.record(tmp_path, Service("worker", None, "b"))

    assert [service.address for service in state.read(tmp_path).services.values()] == ["b"]


def test_a_forgotten_service_leaves_its_port(tmp_path: Path) -> None:
    state.remember_port(tmp_path, "kafka", 23_456)
    state.record(tmp_path, Service("kafka", None, "127.0.0.1:23456"))
    state.forget(tmp_path, "kafka")
    state.forget(tmp_path, "kafka")

    assert state.read(tmp_path) == LocalState(ports={"kafka": 23_456})


def test_two_writers_at_once_lose_nothing_and_a_reader_sees_whole_files(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        writers = [pool.submit(write_many, tmp_path, name) for name in ("a", "b")]
        while wait(writers, timeout=0.001).not_done:
            state.read(tmp_path)
        for writer in writers:
            writer.result()

    written = state.read(tmp_path)
    assert len(written.services) == 50
    assert len(written.ports) == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local.json", "local.lock"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"services": {"kafka": {"pid": "x"}}}'])
def test_a_file_that_is_not_ours_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / state.FILE_NAME).write_text(content)

    with pytest.raises(StateUnreadable) as failure:
        state.read(tmp_path)

    assert str(tmp_path / state.FILE_NAME) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_lock_that_is_not_given_back_is_named(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "x.lock"
    with (
        locks.held(path, within=timedelta(seconds=1)),
        pytest.raises(Busy, match=r"x\.lock"),
        locks.held(path, within=timedelta(0), waiting=lambda: said.append("waiting")),
    ):
        pass

    assert said == ["waiting"]
    with locks.held(path, within=timedelta(0)):
        pass
