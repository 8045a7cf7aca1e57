"""A vendor's real server on a developer's machine: one process with its data, started, joined and stopped alike for every vendor."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from integration_fabric.local import locks, ports, processes, state
from integration_fabric.local.errors import LocalError
from integration_fabric.local.settings import LocalSettings
from integration_fabric.local.vendor_program import Tell

# A start takes one to two seconds alone; this is for a machine that does much else.
_START_WITHIN = timedelta(seconds=60)
_STOP_WITHIN = timedelta(seconds=10)
# For another process that starts or stops it, which may have to install it first.
_PATIENCE = timedelta(minutes=15)
_ASK_S = 1.0


@dataclass(frozen=True, slots=True)
class VendorServer:
    """One server of one checkout. Its home, its log, its port and its entry in the local state carry its name."""

    name: str
    settings: LocalSettings

    @property
    def home(self) -> Path:
        """Where its data is."""
        return self.settings.state_dir / self.name

    def lock(self) -> AbstractContextManager[None]:
        """Held by whoever starts or stops it. Raises Busy where another process has held it for too long."""
        return locks.held(self.home / "lock", within=_PATIENCE)

    def running(self) -> state.Service | None:
        """What is known of it while its process lives."""
        service = state.read(self.settings.state_dir).services.get(self.name)
        if service is None or service.process is None or not processes.is_alive(service.process):
            return None
        return service

    def joined(self, serves: Callable[[str], bool]) -> state.Service | None:
        """What is known of it where it runs and serves; None too where it was killed just now, or hangs.

        Args:
            serves: Whether the server at this URL answers.
        """
        service = self.running()
        if service is None:
            return None
        ending = processes.wait(lambda: serves(service.address), alive=lambda: self.running() is not None, within=_STOP_WITHIN)
        return service if ending is processes.Wait.READY else None

    def start(
        self,
        command: Callable[[int], Sequence[str]],
        serves: Callable[[str], bool],
        *,
        details: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> state.Service:
        """Start it and wait until it serves.

        Args:
            command: What serves on this port.
            serves: Whether the server at this URL answers.
            details: To remember of it.
            variables: Its environment; by default ours.

        Raises:
            LocalError: It ended, or did not serve in time; the message names its log.
        """
        port = ports.claim(self.settings.state_dir, self.name)
        process = processes.start(self.name, command(port), state_dir=self.settings.state_dir, environment=variables)
        service = state.Service(self.name, process.pid, f"http://{ports.HOST}:{port}", dict(details or {}))
        state.record(self.settings.state_dir, service)
        log = processes.log_path(self.settings.state_dir, self.name)
        try:
            processes.await_ready(process, lambda: serves(service.address), within=_START_WITHIN, log=log)
        except LocalError:
            self.stop()
            raise
        return service

    def stop(self) -> bool:
        """Stop it; its data and its port are kept. Returns whether it ran."""
        service = state.read(self.settings.state_dir).services.get(self.name)
        if service is None or service.process is None:
            return False
        stopped = processes.stop(service.process, within=_STOP_WITHIN)
        if stopped:
            _await_free(urlsplit(service.address).port or 0)
        state.forget(self.settings.state_dir, self.name)
        return stopped

    def down(self) -> bool:
        """As `stop`, alone: waits for whoever starts it just now."""
        with self.lock():
            return self.stop()

    def has_data_of(self, digest: str, tell: Tell, title: str) -> bool:
        """Whether its home holds a whole database that came from the snapshot with this digest."""
        made_from = self.home / "digest"
        if not made_from.exists():
            return False
        if made_from.read_text() != digest:
            tell(f"{title}: its version or its seed has changed, so its local data starts anew")
            return False
        return True

    def restore(self, digest: str, database: Path, facts: Path) -> None:
        """Put a snapshot in the place of whatever data is there. `digest` goes first and comes last: it says that the rest is whole."""
        # It holds a key.
        self.home.chmod(0o700)
        (self.home / "digest").unlink(missing_ok=True)
        remove_database(self.home / database.name, keep=True)
        shutil.copyfile(database, self.home / database.name)
        shutil.copyfile(facts, self.home / facts.name)
        (self.home / "digest").write_text(digest)


def remove_database(path: Path, *, keep: bool = False) -> None:
    """Remove an SQLite database, or only its write-ahead log, which would be applied to the one that takes its place."""
    for suffix in ("-wal", "-shm", *(() if keep else ("",))):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def answers(url: str, *, authorization: str) -> bool:
    """Whether a server answers a real question, which also makes it load what a first call would wait for."""
    try:
        response = httpx.get(url, headers={"Authorization": authorization}, timeout=_ASK_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return response.is_success


def _await_free(port: int) -> None:
    """Let the system take the port back, some milliseconds after a process counts as ended, so that the address stays the same."""
    deadline_s = time.monotonic() + _STOP_WITHIN.total_seconds()
    while not ports.is_free(port) and time.monotonic() < deadline_s:
        time.sleep(processes.PAUSE_S)
