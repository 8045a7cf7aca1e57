"""The support system of a developer's machine: a real django-helpdesk with its own data, started and stopped here.

It starts from the snapshot of `local.helpdesk_snapshot` and keeps its data between starts, until somebody asks for a fresh one. The command
line and the tests call it.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from integration_fabric.local import locks, ports, processes, state
from integration_fabric.local.errors import LocalError
from integration_fabric.local.helpdesk_snapshot import DATABASE, Snapshot, prepare_snapshot, read_facts, snapshot_of
from integration_fabric.local.settings import LocalSettings
from integration_fabric.local.tryton_snapshot import Tell

NAME = "helpdesk"

# A start takes one to two seconds alone; this is for a machine that does much else.
_START_WITHIN = timedelta(seconds=60)
_STOP_WITHIN = timedelta(seconds=10)
# For another process that starts or stops it, which may have to prepare the snapshot first.
_PATIENCE = timedelta(minutes=15)
_ASK_S = 1.0


@dataclass(frozen=True, slots=True)
class HelpdeskAddress:
    """All that a client of the running server must know."""

    url: str
    """E.g. `http://127.0.0.1:23456`."""
    key: str = field(repr=False)
    """Token of the integration user."""


def prepare(settings: LocalSettings, tell: Tell) -> None:
    """Have django-helpdesk and its snapshot in the cache, so that every start is quick. Does nothing where they are there.

    Args:
        settings: Where the cache is.
        tell: Told what takes long.

    Raises:
        NotStarted: A step failed.
    """
    prepare_snapshot(snapshot_of(settings.cache_dir), tell)


def up(settings: LocalSettings, tell: Tell, *, fresh: bool = False) -> HelpdeskAddress:
    """Have the server running; prepare it first where that was not done.

    Args:
        settings: Where state and cache are.
        tell: Told what takes long, and when data is given up.
        fresh: Whether to start anew from the snapshot; otherwise the data of the last run is there.

    Returns:
        How to reach it.

    Raises:
        LocalError: It cannot be prepared or started.
    """
    snapshot = snapshot_of(settings.cache_dir)
    with locks.held(_home(settings) / "lock", within=_PATIENCE):
        prepare_snapshot(snapshot, tell)
        kept = not fresh and _has_data_of(snapshot, settings, tell)
        if kept and (address := _joined(settings)):
            return address
        _stop(settings)
        if not kept:
            _restore(snapshot, _home(settings))
        return _start(snapshot, settings)


def down(settings: LocalSettings) -> bool:
    """Stop the server; its data and its port are kept.

    Returns:
        Whether it ran.
    """
    with locks.held(_home(settings) / "lock", within=_PATIENCE):
        return _stop(settings)


def running(settings: LocalSettings) -> HelpdeskAddress | None:
    """How to reach the server, or None where it does not run."""
    service = state.read(settings.state_dir).services.get(NAME)
    if service is None or service.process is None or not processes.is_alive(service.process):
        return None
    return HelpdeskAddress(service.address, read_facts(_home(settings) / "facts.json").key)


def database_file(settings: LocalSettings) -> Path:
    """The file with the data, e.g. to look at it or to hold its lock in a test."""
    return _home(settings) / DATABASE


def _joined(settings: LocalSettings) -> HelpdeskAddress | None:
    """How to reach a server that runs and serves; None too where it was killed just now, or hangs."""
    address = running(settings)
    if address is None:
        return None
    ending = processes.wait(lambda: _serves(address), alive=lambda: running(settings) is not None, within=_STOP_WITHIN)
    return address if ending is processes.Wait.READY else None


def _home(settings: LocalSettings) -> Path:
    return settings.state_dir / NAME


def _has_data_of(snapshot: Snapshot, settings: LocalSettings, tell: Tell) -> bool:
    """Whether this checkout has a whole database that came from this snapshot."""
    made_from = _home(settings) / "digest"
    if not made_from.exists():
        return False
    if made_from.read_text() != snapshot.digest:
        tell("django-helpdesk: its version or its site has changed, so its local data starts anew")
        return False
    return True


def _restore(snapshot: Snapshot, home: Path) -> None:
    """Put the snapshot in the place of whatever data is there. `digest` goes first and comes last: it says that the rest is whole."""
    # It holds a key.
    home.chmod(0o700)
    # A write-ahead log that outlives its database would be applied to the next one.
    for leftover in ("digest", f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (home / leftover).unlink(missing_ok=True)
    shutil.copyfile(snapshot.database, home / DATABASE)
    shutil.copyfile(snapshot.facts, home / "facts.json")
    (home / "digest").write_text(snapshot.digest)


def _start(snapshot: Snapshot, settings: LocalSettings) -> HelpdeskAddress:
    home = _home(settings)
    port = ports.claim(settings.state_dir, NAME)
    command = snapshot.command("serve", str(port), str(home))
    process = processes.start(NAME, command, state_dir=settings.state_dir, environment=snapshot.variables())
    service = state.Service(NAME, process.pid, f"http://{ports.HOST}:{port}")
    state.record(settings.state_dir, service)
    address = HelpdeskAddress(service.address, read_facts(home / "facts.json").key)
    log = processes.log_path(settings.state_dir, NAME)
    try:
        processes.await_ready(process, lambda: _serves(address), within=_START_WITHIN, log=log)
    except LocalError:
        _stop(settings)
        raise
    return address


def _serves(address: HelpdeskAddress) -> bool:
    """Whether it answers a real question, which also makes it load what a first call would wait for."""
    try:
        response = httpx.get(
            f"{address.url}/fabric/queues/", headers={"Authorization": f"Token {address.key}"}, timeout=_ASK_S, trust_env=False
        )
    except httpx.HTTPError:
        return False
    return response.is_success


def _stop(settings: LocalSettings) -> bool:
    service = state.read(settings.state_dir).services.get(NAME)
    if service is None or service.process is None:
        return False
    stopped = processes.stop(service.process, within=_STOP_WITHIN)
    if stopped:
        _await_free(urlsplit(service.address).port or 0)
    state.forget(settings.state_dir, NAME)
    return stopped


def _await_free(port: int) -> None:
    """Let the system take the port back, some milliseconds after a process counts as ended, so that the address stays the same."""
    deadline_s = time.monotonic() + _STOP_WITHIN.total_seconds()
    while not ports.is_free(port) and time.monotonic() < deadline_s:
        time.sleep(processes.PAUSE_S)
