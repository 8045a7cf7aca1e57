"""django-helpdesk installed, and a snapshot of a seeded database: made once, then copied; `local.helpdesk` starts from it.

Both lie in the user's cache folder under a digest of what they are made from, so that a second checkout finds them ready.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter

from integration_fabric.local import locks, processes
from integration_fabric.local.errors import NotStarted
from integration_fabric.local.settings import environment
from integration_fabric.local.tryton_snapshot import Tell, copy_database

DATABASE = "helpdesk.sqlite"

_HERE = Path(__file__).parent
REQUIREMENTS = _HERE / "helpdesk-requirements.txt"
SITE = _HERE / "helpdesk_site"

# How long to wait for another process that makes the same snapshot: many times what it takes on a slow machine with a slow network.
_PATIENCE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the seed decided, and whoever uses the database must know."""

    key: str
    """Token of the integration user."""


_FACTS = TypeAdapter(Facts)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of django-helpdesk with its site and its seeded database, in a folder of its own."""

    digest: str
    folder: Path

    @property
    def python(self) -> Path:
        """The Python that runs it."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def site(self) -> Path:
        """Where the site is imported from: a copy, so that what runs is what the digest says, and nothing is written beside our code."""
        return self.folder / "site"

    @property
    def database(self) -> Path:
        """The seeded database: one file, never opened, only copied."""
        return self.folder / DATABASE

    @property
    def facts(self) -> Path:
        """What the seed decided, as JSON. Written last, so its presence says that everything beside it is whole."""
        return self.folder / "facts.json"

    def command(self, program: str, *arguments: str) -> Sequence[str]:
        """A program of the site; nothing is imported from the current folder."""
        return [str(self.python), "-P", "-m", f"{SITE.name}.{program}", *arguments]

    def variables(self, **more: str) -> Mapping[str, str]:
        """The environment of such a program."""
        return environment(PYTHONPATH=str(self.site), **more)


def snapshot_of(cache: Path) -> Snapshot:
    """Where the snapshot of this version of the requirements, the site, the Python and the machine is, or would be.

    Args:
        cache: The user's cache folder of this project.
    """
    files = [REQUIREMENTS, *sorted(SITE.glob("*.py"))]
    parts = (*(path.read_bytes() for path in files), *(part.encode() for part in (sys.version, sys.base_prefix, platform.machine())))
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return Snapshot(digest, cache / f"helpdesk-{digest}")


def read_facts(path: Path) -> Facts:
    """What the seed decided, from its file."""
    return _FACTS.validate_json(path.read_bytes())


def prepare_snapshot(snapshot: Snapshot, tell: Tell) -> None:
    """Make the snapshot if it is not there; about a quarter of a minute. Processes that ask at once wait for the one that makes it.

    Raises:
        NotStarted: A step failed; the message names its log.
        Busy: Another process has been making it for too long.
    """
    if snapshot.facts.exists():
        return
    lock = snapshot.folder.with_suffix(".lock")
    with locks.held(lock, within=_PATIENCE, waiting=lambda: tell("django-helpdesk: another process prepares it; waiting for that")):
        if not snapshot.facts.exists():
            _make(snapshot, tell)


def _make(snapshot: Snapshot, tell: Tell) -> None:
    """In its final place, since a virtual environment cannot be moved; what an interrupted run left goes first."""
    began_s = time.monotonic()
    shutil.rmtree(snapshot.folder, ignore_errors=True)
    # It holds a key.
    snapshot.folder.mkdir(mode=0o700)
    tell("django-helpdesk: installing it (once; about 10 s)")
    _install(snapshot)
    tell("django-helpdesk: initialising a database (once; about 5 s)")
    unfinished = snapshot.folder / "facts.new"
    unfinished.write_text(_initialise(snapshot))
    unfinished.replace(snapshot.facts)
    tell(f"django-helpdesk: prepared in {time.monotonic() - began_s:.0f} s")


def _install(snapshot: Snapshot) -> None:
    _run(snapshot, [sys.executable, "-m", "venv", str(snapshot.folder / "venv")], environment())
    options = ["--quiet", "--require-hashes", "--no-deps", "-r", str(REQUIREMENTS)]
    _run(snapshot, [str(snapshot.python), "-m", "pip", "install", *options], environment())
    shutil.copytree(SITE, snapshot.site / SITE.name, ignore=shutil.ignore_patterns("__pycache__"))


def _initialise(snapshot: Snapshot) -> str:
    """Let Django make its tables, seed them, and pack the database into one file; returns the facts as JSON."""
    work = snapshot.folder / "work"
    work.mkdir()
    facts = _run(snapshot, snapshot.command("seed"), snapshot.variables(HELPDESK_HOME=str(work)))
    copy_database(work / DATABASE, snapshot.database)
    shutil.rmtree(work)
    return facts


def _run(snapshot: Snapshot, command: Sequence[str], variables: Mapping[str, str]) -> str:
    """Run one step to its end with its messages in a log; returns its standard output."""
    log = snapshot.folder / "prepare.log"
    with log.open("a") as messages:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=messages, text=True, env=variables)
    if done.returncode != 0:
        raise NotStarted(
            f"django-helpdesk cannot be prepared: {' '.join(command[1:5])} … failed: {processes.last_words(log)}",
            remedy=f"See {log}, mend it, and run this again.",
        )
    return done.stdout
