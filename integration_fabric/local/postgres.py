"""The PostgreSQL of a developer's machine, for the store: started, found again and stopped here; the command line and the tests call it.

A server of this checkout alone, on the loopback interface, with a password that was drawn when its data folder was made.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg

from integration_fabric.local import locks, ports, postgres_programs as programs, processes, state
from integration_fabric.local.errors import DiedEarly
from integration_fabric.local.postgres_programs import Programs
from integration_fabric.local.settings import LocalSettings, environment
from integration_fabric.local.state import Service

NAME = "postgres"
LOCK_NAME = "postgres.lock"
OWNER = "fabric"
"""The role, and the database."""
DATA = "data"
UNFINISHED = "data.unfinished"
PASSWORD = "password"  # noqa: S105  a file's name

# It takes a third of a second; after a crash in the middle of much work the log is read again first.
_START_WITHIN = timedelta(seconds=60)
_STOP_WITHIN = timedelta(seconds=30)
_FORMAT_WITHIN = timedelta(seconds=120)
# What a killed server leaves behind ends by itself, but not before its present statement does.
_LEFTOVERS_END_WITHIN = timedelta(seconds=20)
# For another process that starts or stops it, which may be making the data folder.
_PATIENCE = timedelta(minutes=5)
_ASK_S = 2
_STILL_THERE = ("is still in use", "already exists")

Tell = Callable[[str], None]

SETTINGS = {
    "listen_addresses": ports.HOST,
    # No socket file: its path would be too long in a deep folder, and whose folder it is in differs.
    "unix_socket_directories": "",
    # The promise that an intent outlives a power cut rests on these two.
    "fsync": "on",
    "synchronous_commit": "on",
    # A laptop's: a tenth of a second to start, 20 MB resident when idle.
    "shared_buffers": "64MB",
    "max_connections": "60",
    "min_wal_size": "64MB",
    "max_wal_size": "512MB",
    # Nobody replicates it, so the log holds what a crash needs, and no more.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Short statements by key: neither compiling nor sharing them out pays.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
}
"""Of the server, each that is not PostgreSQL's own with its reason."""


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """All that a client of the running server must know."""

    url: str = field(repr=False)
    """SQLAlchemy's, with the password."""
    shown: str
    """The same without it, for people."""
    data: Path
    """Where its data is."""


def up(settings: LocalSettings, tell: Tell, *, fresh: bool = False) -> PostgresAddress:
    """Have the server running, on the data of the run before. Blocks; any number of callers at once start one.

    Args:
        settings: Where the state is.
        tell: Told what takes long, and where the data is when it cannot be in the state folder.
        fresh: Whether to begin anew, without what earlier runs left in it.

    Raises:
        LocalError: It is not installed, or cannot be started.
    """
    with _alone(settings):
        home = _home(settings)
        if fresh:
            _forget(settings, home)
        service = _living(settings) or _adopted(settings, home)
        if service is None:
            service = _start(settings, home, tell)
        return _await(settings, home, service)


def down(settings: LocalSettings) -> bool:
    """Stop the server; its data and its port are kept.

    Returns:
        Whether it ran.
    """
    if not (settings.state_dir / LOCK_NAME).exists():
        return False
    with _alone(settings):
        return _stop(settings, _home(settings))


def forget(settings: LocalSettings) -> None:
    """Stop the server and delete its data, wherever it is. Does nothing where there is none."""
    if (settings.state_dir / LOCK_NAME).exists():
        with _alone(settings):
            _forget(settings, _home(settings))


def running(settings: LocalSettings) -> PostgresAddress | None:
    """How to reach the server, or None where it does not run. It waits for nobody."""
    service = _living(settings)
    return None if service is None else _address(Path(service.details["home"]), service)


def _alone(settings: LocalSettings) -> AbstractContextManager[None]:
    return locks.held(settings.state_dir / LOCK_NAME, within=_PATIENCE)


def _home(settings: LocalSettings) -> Path:
    return programs.home(settings.state_dir, programs.run_as())


def _address(home: Path, service: Service) -> PostgresAddress:
    password = (home / PASSWORD).read_text()
    place = f"{service.address}/{OWNER}"
    return PostgresAddress(f"postgresql+psycopg://{OWNER}:{password}@{place}", f"postgresql+psycopg://{OWNER}:***@{place}", home / DATA)


def _living(settings: LocalSettings) -> Service | None:
    service = state.read(settings.state_dir).services.get(NAME)
    return service if service is not None and service.process is not None and processes.is_alive(service.process) else None


def _adopted(settings: LocalSettings, home: Path) -> Service | None:
    """A server that runs on our data and is noted nowhere: who started it was killed in between, or the state file was deleted."""
    lines = _lock_file(home)
    if lines is None:
        return None
    pid, port = int(lines[0]), int(lines[3])
    if not _runs_on(home, pid):
        # After a restart of the machine or the container the pid may be somebody else's, which the server would take for itself.
        (home / DATA / "postmaster.pid").unlink(missing_ok=True)
        return None
    state.remember_port(settings.state_dir, NAME, port)
    return state.record(settings.state_dir, Service(NAME, pid, f"{ports.HOST}:{port}", {"home": str(home)}))


def _lock_file(home: Path) -> Sequence[str] | None:
    """The server's own: pid, data folder, start time, port; None where it is not there or not whole."""
    try:
        lines = (home / DATA / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return lines if len(lines) > 3 and lines[3].isdigit() else None  # noqa: PLR2004  the port is its fourth line


def _runs_on(home: Path, pid: int) -> bool:
    """Whether this process is a server on our data: that is the last word of its command line."""
    return (processes.birthmark(pid) or "").endswith(f" {home / DATA}")


def _start(settings: LocalSettings, home: Path, tell: Tell) -> Service:
    user = programs.run_as()
    if home.parent != settings.state_dir:
        tell(f"PostgreSQL keeps its data in {home}: it runs as the user `{user}`, who may not enter {settings.state_dir}")
    if not (home / DATA).exists():
        tell("making PostgreSQL's data folder ...")
        _format(programs.find(), home, user)
    installed = programs.find(int((home / DATA / "PG_VERSION").read_text()))
    tell(f"starting PostgreSQL {installed.major} ...")
    deadline_s = time.monotonic() + _LEFTOVERS_END_WITHIN.total_seconds()
    while True:
        service = _launch(settings, installed, home, user)
        try:
            _await(settings, home, service)
        except DiedEarly as died:
            state.forget(settings.state_dir, NAME)
            if time.monotonic() > deadline_s or not any(words in str(died) for words in _STILL_THERE):
                raise
            time.sleep(processes.PAUSE_S)
        except BaseException:
            _stop(settings, home)
            raise
        else:
            return service


def _launch(settings: LocalSettings, installed: Programs, home: Path, user: str | None) -> Service:
    """Start it. It is noted before it is waited for: if we are killed meanwhile, the next `up` finds it."""
    port = ports.claim(settings.state_dir, NAME)
    options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    command = [installed.path("postgres"), *options, "-p", str(port), "-D", str(home / DATA)]
    process = processes.start(NAME, command, state_dir=settings.state_dir, cwd=home, environment=_environment(), user=user)
    return state.record(settings.state_dir, Service(NAME, process.pid, f"{ports.HOST}:{port}", {"home": str(home)}, process.birthmark))


def _await(settings: LocalSettings, home: Path, service: Service) -> PostgresAddress:
    assert service.process is not None
    address = _address(home, service)
    log = processes.log_path(settings.state_dir, NAME)
    processes.await_ready(service.process, lambda: _serves(address), within=_START_WITHIN, log=log)
    return address


def _serves(address: PostgresAddress) -> bool:
    """Whether it lets us in: another's server on our port would not know the password."""
    try:
        with psycopg.connect(address.url.replace("+psycopg", "", 1), connect_timeout=_ASK_S, autocommit=True) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _format(installed: Programs, home: Path, user: str | None) -> None:
    """Make the data folder beside, with its database, and put it in its place in one step: a half made one is never started on."""
    programs.make(home, user)
    shutil.rmtree(home / UNFINISHED, ignore_errors=True)
    password = home / PASSWORD
    password.unlink(missing_ok=True)
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24))
    if user is not None:
        shutil.chown(password, user)
    locale = ("--encoding=UTF8", "--locale=C", "--no-instructions")
    access = (f"--username={OWNER}", f"--pwfile={password}", "--auth=scram-sha-256")
    _run([installed.path("initdb"), *locale, *access, "-D", str(home / UNFINISHED)], home, user)
    single = [installed.path("postgres"), "--single", "-D", str(home / UNFINISHED), "postgres"]
    _run(single, home, user, script=f"CREATE DATABASE {OWNER}\n")
    (home / UNFINISHED).rename(home / DATA)


def _run(command: Sequence[str], home: Path, user: str | None, *, script: str = "") -> None:
    """Run one of PostgreSQL's tools. Raises DiedEarly with its last words where it fails."""
    try:
        done = subprocess.run(
            command,
            input=script.encode(),
            cwd=home,
            env=_environment(),
            capture_output=True,
            check=False,
            timeout=_FORMAT_WITHIN.total_seconds(),
            **processes.identity(user),
        )
    except subprocess.TimeoutExpired:
        raise _unformatted(home, f"no end after {_FORMAT_WITHIN.total_seconds():g} s") from None
    except OSError as error:
        raise _unformatted(home, f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise _unformatted(home, processes.condensed(done.stderr + done.stdout))


def _unformatted(home: Path, why: str) -> DiedEarly:
    return DiedEarly(f"PostgreSQL's data folder {home / DATA} cannot be made: {why}", remedy="Is the disk full, or the folder not ours?")


def _environment() -> dict[str, str]:
    """Ours in a plain locale, so that its words are English, and without what would point its tools elsewhere."""
    return {name: value for name, value in environment(LC_ALL="C").items() if not name.startswith("PG")}


def _stop(settings: LocalSettings, home: Path) -> bool:
    service = _living(settings) or _adopted(settings, home)
    if service is not None and service.process is not None:
        # Its way of ending at once and clean: what is under way is rolled back, and nothing needs to be recovered at the next start.
        processes.stop(service.process, within=_STOP_WITHIN, by=signal.SIGINT)
    state.forget(settings.state_dir, NAME)
    return service is not None


def _forget(settings: LocalSettings, home: Path) -> None:
    _stop(settings, home)
    with suppress(FileNotFoundError):
        shutil.rmtree(home)
