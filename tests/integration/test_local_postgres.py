"""The PostgreSQL of a checkout: a real server, as whoever we are, and as somebody else where we are root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from integration_fabric.local import postgres, postgres_programs, processes, state
from integration_fabric.local.errors import NoPostgres
from integration_fabric.local.postgres import PostgresAddress
from integration_fabric.local.settings import LocalSettings

NOBODY = "nobody"


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    try:
        postgres_programs.find()
        postgres_programs.run_as()
    except NoPostgres as error:
        pytest.skip(f"no PostgreSQL can be started here: {error}")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[LocalSettings]:
    """A checkout of its own, with nothing left of it at the end."""
    settings = LocalSettings(state_dir=tmp_path / "state")
    yield settings
    postgres.forget(settings)


def ask(address: PostgresAddress, question: str) -> object:
    with psycopg.connect(address.url.replace("+psycopg", ""), autocommit=True) as connection:
        answer = connection.execute(question)
        return answer.fetchall() if answer.description else None


def pid_of(settings: LocalSettings) -> int:
    pid = state.read(settings.state_dir).services["postgres"].pid
    assert pid is not None
    return pid


def test_data_port_and_password_outlive_a_stop(settings: LocalSettings) -> None:
    first = postgres.up(settings, quiet)
    ask(first, "CREATE TABLE kept AS SELECT 7 AS number")
    assert postgres.running(settings) == first
    assert postgres.down(settings)
    assert postgres.running(settings) is None
    assert not postgres.down(settings)
    again = postgres.up(settings, quiet)
    assert again == first
    assert ask(again, "SELECT number FROM kept") == [(7,)]


def test_who_asks_twice_gets_the_one_that_runs(settings: LocalSettings) -> None:
    first = postgres.up(settings, quiet)
    pid = pid_of(settings)
    assert postgres.up(settings, quiet) == first
    assert pid_of(settings) == pid


def test_a_killed_server_comes_back_with_what_it_had_promised(settings: LocalSettings) -> None:
    """`kill -9` of the postmaster leaves its lock file, and for a moment its other processes on the same memory."""
    first = postgres.up(settings, quiet)
    ask(first, "CREATE TABLE kept (number int)")
    with psycopg.connect(first.url.replace("+psycopg", ""), autocommit=True) as busy:
        ask(first, "INSERT INTO kept VALUES (7)")
        os.kill(pid_of(settings), signal.SIGKILL)
        again = postgres.up(settings, quiet)
        assert again == first
        assert ask(again, "SELECT number FROM kept") == [(7,)]
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")


def test_a_lock_file_with_the_pid_of_another_program_is_no_obstacle(settings: LocalSettings) -> None:
    """After a restart of a container pids begin anew, and the old one may be anybody's."""
    first = postgres.up(settings, quiet)
    lock_file = first.data / "postmaster.pid"
    lines = lock_file.read_text().splitlines()
    postgres.down(settings)
    user = postgres_programs.run_as()
    other = processes.start("other", ["sleep", "600"], state_dir=settings.state_dir, user=user)
    try:
        lock_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        if user:
            shutil.chown(lock_file, user)
        assert ask(postgres.up(settings, quiet), "SELECT 1") == [(1,)]
    finally:
        os.kill(other.pid, signal.SIGKILL)
        os.waitpid(other.pid, 0)


def test_a_server_that_no_state_file_knows_is_found_by_its_data(settings: LocalSettings) -> None:
    first = postgres.up(settings, quiet)
    pid = pid_of(settings)
    state.forget(settings.state_dir, "postgres")
    assert postgres.up(settings, quiet) == first
    assert pid_of(settings) == pid
    state.forget(settings.state_dir, "postgres")
    assert postgres.down(settings)
    assert not (first.data / "postmaster.pid").exists()


def test_fresh_forgets_everything(settings: LocalSettings) -> None:
    first = postgres.up(settings, quiet)
    ask(first, "CREATE TABLE kept AS SELECT 7 AS number")
    assert postgres.up(settings, quiet, fresh=True).url != first.url
    with pytest.raises(psycopg.errors.UndefinedTable):
        ask(postgres.up(settings, quiet), "SELECT number FROM kept")


def test_a_data_folder_that_was_left_half_made_is_made_anew(settings: LocalSettings) -> None:
    home = postgres_programs.home(settings.state_dir, postgres_programs.run_as())
    (home / "data.unfinished").mkdir(parents=True)
    (home / "data.unfinished" / "PG_VERSION").write_text("15\n")
    assert ask(postgres.up(settings, quiet), "SELECT 1") == [(1,)]


def test_what_is_promised_is_on_disk_and_nobody_else_gets_in(settings: LocalSettings) -> None:
    address = postgres.up(settings, quiet)
    assert ask(address, "SHOW fsync") == ask(address, "SHOW synchronous_commit") == [("on",)]
    assert ask(address, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert "***" in address.shown
    password = address.url.split(":")[2].split("@")[0]
    assert password not in repr(address)
    assert password not in (settings.state_dir / "local.json").read_text()
    assert (address.data.parent / "password").stat().st_mode & 0o077 == 0
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(address.url.replace("+psycopg", "").replace(password, "guessed"))


def test_data_of_a_version_that_is_not_installed_is_said_so(settings: LocalSettings) -> None:
    address = postgres.up(settings, quiet)
    postgres.down(settings)
    (address.data / "PG_VERSION").write_text("9999\n")
    with pytest.raises(NoPostgres, match=r"PostgreSQL 9999 is not installed.*apt-get install postgresql-9999.*--fresh"):
        postgres.up(settings, quiet)


ELSEWHERE = """
import json, os, pathlib, sys
from integration_fabric.local import postgres, state
from integration_fabric.local.processes import identity
from integration_fabric.local.settings import LocalSettings
import psycopg

def told(settings):
    address = postgres.up(settings, lambda _: None)
    with psycopg.connect(address.url.replace("+psycopg", "")) as connection:
        (who,) = connection.execute("SELECT current_user").fetchone()
    owner = os.stat(f"/proc/{state.read(settings.state_dir).services['postgres'].pid}").st_uid
    postgres.forget(settings)
    return {"role": who, "uid": owner, "data": str(address.data)}

told(LocalSettings(state_dir=pathlib.Path(sys.argv[1])))  # whoever we become may not read our modules, so all are loaded before
become = identity(sys.argv[3])
os.setgroups([]), os.setgid(become["group"]), os.setuid(become["user"])
print(json.dumps(told(LocalSettings(state_dir=pathlib.Path(sys.argv[2])))))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="we are nobody special, so every other test of this file says it")
def test_whoever_is_not_root_runs_it_as_themselves(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"fabric-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    shutil.chown(folder, NOBODY)
    try:
        command = [sys.executable, "-c", ELSEWHERE, str(tmp_path), str(folder / "state"), NOBODY]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stderr
        uid = processes.identity(NOBODY)["user"]
        assert json.loads(done.stdout) == {"role": "fabric", "uid": uid, "data": f"{folder}/state/postgres/data"}
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
def test_root_keeps_the_data_where_the_servers_user_may_go(tmp_path: Path) -> None:
    """A state folder below /root, or in a private one, is closed to that user: the data is then in its home, and we say so."""
    closed, open_to_all = tmp_path / "closed", Path("/tmp") / f"fabric-test-{os.getpid()}"
    closed.mkdir(mode=0o700)
    open_to_all.mkdir(mode=0o755)
    try:
        assert postgres_programs.home(open_to_all, "postgres") == open_to_all / "postgres"
        said: list[str] = []
        settings = LocalSettings(state_dir=closed / "state")
        address = postgres.up(settings, said.append)
        assert not address.data.is_relative_to(tmp_path)
        assert any(str(address.data.parent) in line for line in said)
        postgres.forget(settings)
        assert not address.data.exists()
    finally:
        shutil.rmtree(open_to_all)


def test_a_machine_without_it_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres_programs, "DEBIAN", tmp_path)
    monkeypatch.setattr(postgres_programs, "OTHERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoPostgres, match=r"PostgreSQL is not installed.*apt-get install postgresql") as failure:
        postgres.up(LocalSettings(state_dir=tmp_path), quiet)
    assert failure.value.exit_code == 3
