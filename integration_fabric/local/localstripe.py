"""The billing of a developer's machine: a real localstripe with its own data, started and stopped here; the command line and tests call it.

It is installed once into the user's cache, and keeps its data between starts, until somebody asks for a fresh one.
"""

from __future__ import annotations

import hashlib
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from integration_fabric.local import locks, ports, processes, state
from integration_fabric.local.errors import LocalError, NotStarted
from integration_fabric.local.settings import LocalSettings, environment

Tell = Callable[[str], None]
"""Says to a person what is going on; one line a call."""

NAME = "localstripe"

_HERE = Path(__file__).parent
REQUIREMENTS = _HERE / "localstripe-requirements.txt"
SERVER = _HERE / "localstripe_server.py"

# A start takes half a second alone; this is for a machine that does much else.
_START_WITHIN = timedelta(seconds=30)
_STOP_WITHIN = timedelta(seconds=10)
# For another process that starts or stops it, which may have to install it first.
_PATIENCE = timedelta(minutes=10)
_ASK_S = 1.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where its events go, and the secret that signs them."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LocalstripeAddress:
    """All that a client of the running server must know."""

    url: str
    """Without `/v1`, e.g. `http://127.0.0.1:23456`."""
    key: str = field(repr=False)
    """It takes every key that begins with `sk_`; this one is the checkout's own."""


def prepare(settings: LocalSettings, tell: Tell) -> None:
    """Have it installed in the cache, so that every start is quick. Does nothing where it is there.

    Raises:
        NotStarted: It cannot be installed.
    """
    folder = _installation(settings)
    if (folder / "whole").exists():
        return
    with locks.held(folder.with_suffix(".lock"), within=_PATIENCE):
        if not (folder / "whole").exists():
            _install(folder, tell)


def up(settings: LocalSettings, tell: Tell, *, fresh: bool = False, webhook: Webhook | None = None) -> LocalstripeAddress:
    """Have the server running; install it first where that was not done.

    Args:
        settings: Where state and cache are.
        tell: Told what takes long.
        fresh: Whether to start without data; otherwise those of the last run are there.
        webhook: Where its events go; another one than that of the running server restarts it.

    Returns:
        How to reach it.

    Raises:
        LocalError: It cannot be installed or started.
    """
    with locks.held(_home(settings) / "lock", within=_PATIENCE):
        prepare(settings, tell)
        address = running(settings)
        if address is not None and not fresh and _tells(settings) == (webhook.url if webhook else ""):
            return address
        _stop(settings)
        if fresh:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{data_file(settings)}{suffix}").unlink(missing_ok=True)
        return _start(settings, webhook)


def down(settings: LocalSettings) -> bool:
    """Stop the server; its data and its port are kept.

    Returns:
        Whether it ran.
    """
    with locks.held(_home(settings) / "lock", within=_PATIENCE):
        return _stop(settings)


def running(settings: LocalSettings) -> LocalstripeAddress | None:
    """How to reach the server, or None where it does not run."""
    service = state.read(settings.state_dir).services.get(NAME)
    if service is None or service.process is None or not processes.is_alive(service.process):
        return None
    return LocalstripeAddress(service.address, _key(settings))


def data_file(settings: LocalSettings) -> Path:
    """The file with the data."""
    return _home(settings) / "objects.sqlite"


def _home(settings: LocalSettings) -> Path:
    return settings.state_dir / NAME


def _installation(settings: LocalSettings) -> Path:
    parts = (REQUIREMENTS.read_bytes(), sys.version.encode(), sys.base_prefix.encode(), platform.machine().encode())
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return settings.cache_dir / f"localstripe-{digest}"


def _install(folder: Path, tell: Tell) -> None:
    """In its final place, since a virtual environment cannot be moved; what an interrupted run left goes first."""
    began_s = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tell("localstripe: installing it (once; about 10 s)")
    python = str(folder / "venv" / "bin" / "python")
    _run(folder, [sys.executable, "-m", "venv", str(folder / "venv")])
    _run(folder, [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(REQUIREMENTS)])
    (folder / "whole").touch()
    tell(f"localstripe: installed in {time.monotonic() - began_s:.0f} s")


def _run(folder: Path, command: list[str]) -> None:
    log = folder / "install.log"
    with log.open("a") as messages:
        done = subprocess.run(command, check=False, stdout=messages, stderr=subprocess.STDOUT, env=environment())
    if done.returncode != 0:
        raise NotStarted(f"localstripe cannot be installed: {processes.last_words(log)}", remedy=f"See {log}.")


def _start(settings: LocalSettings, webhook: Webhook | None) -> LocalstripeAddress:
    port = ports.claim(settings.state_dir, NAME)
    told = ["--webhook-url", webhook.url, "--webhook-secret", webhook.secret] if webhook else []
    python = _installation(settings) / "venv" / "bin" / "python"
    # -P, or our module of the same name, which lies beside the server, would be taken for localstripe
    command = [str(python), "-P", str(SERVER), "--port", str(port), *told, str(data_file(settings))]
    process = processes.start(NAME, command, state_dir=settings.state_dir)
    details = {"webhook": webhook.url if webhook else ""}
    state.record(settings.state_dir, state.Service(NAME, process.pid, f"http://{ports.HOST}:{port}", details))
    address = LocalstripeAddress(f"http://{ports.HOST}:{port}", _key(settings))
    try:
        processes.await_ready(process, lambda: _serves(address), within=_START_WITHIN, log=processes.log_path(settings.state_dir, NAME))
    except LocalError:
        _stop(settings)
        raise
    return address


def _key(settings: LocalSettings) -> str:
    """Made at the first start, and kept."""
    path = _home(settings) / "key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"sk_test_{secrets.token_hex(12)}")
    return path.read_text()


def _tells(settings: LocalSettings) -> str:
    service = state.read(settings.state_dir).services.get(NAME)
    return service.details.get("webhook", "") if service else ""


def _serves(address: LocalstripeAddress) -> bool:
    try:
        response = httpx.get(f"{address.url}/v1/plans", headers={"Authorization": f"Bearer {address.key}"}, timeout=_ASK_S, trust_env=False)
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
    """Let the system take the port back, so that the address stays the same."""
    deadline_s = time.monotonic() + _STOP_WITHIN.total_seconds()
    while not ports.is_free(port) and time.monotonic() < deadline_s:
        time.sleep(processes.PAUSE_S)
