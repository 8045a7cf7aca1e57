"""Tryton installed, and a snapshot of a database that it has initialised and seeded: made once, then copied; `local.tryton` starts from it.

Both lie in the user's cache folder under a digest of what they are made from, so that a second checkout finds them ready.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter

from integration_fabric.local import locks, processes
from integration_fabric.local.errors import NotStarted
from integration_fabric.local.settings import environment

Tell = Callable[[str], None]
"""Says to a person what is going on; one line a call."""

DATABASE = "tryton"
# What quote-to-cash touches: orders, invoices, what was collected, and dunning. Whatever they depend on comes with them.
MODULES = (
    "party",
    "product",
    "account",
    "account_invoice",
    "account_payment",
    "account_payment_clearing",
    "account_statement",
    "account_dunning",
    "sale",
)

_HERE = Path(__file__).parent
REQUIREMENTS = _HERE / "tryton-requirements.txt"
SEED = _HERE / "tryton_seed.py"

# How long to wait for another process that makes the same snapshot: many times what it takes on a slow machine with a slow network.
_PATIENCE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the seed decided, and whoever uses the database must know."""

    companies: Mapping[str, int]
    """Company ids by the code of their legal entity."""
    category: int
    """The accounting category of products."""
    key: str
    """Of the user application for the REST interface."""


_FACTS = TypeAdapter(Facts)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of Tryton with its seeded database, in a folder of its own."""

    digest: str
    folder: Path

    @property
    def program(self) -> Path:
        """The server."""
        return self.folder / "venv" / "bin" / "trytond"

    @property
    def database(self) -> Path:
        """The seeded database: one file, never opened, only copied."""
        return self.folder / f"{DATABASE}.sqlite"

    @property
    def facts(self) -> Path:
        """What the seed decided, as JSON. Written last, so its presence says that everything beside it is whole."""
        return self.folder / "facts.json"


def snapshot_of(cache: Path) -> Snapshot:
    """Where the snapshot of this version of the requirements, the seed, the Python and the machine is, or would be.

    Args:
        cache: The user's cache folder of this project.
    """
    parts = (REQUIREMENTS.read_bytes(), SEED.read_bytes(), " ".join(MODULES), sys.version, sys.base_prefix, platform.machine())
    digest = hashlib.sha256(b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)).hexdigest()[:16]
    return Snapshot(digest, cache / f"tryton-{digest}")


def read_facts(path: Path) -> Facts:
    """What the seed decided, from its file."""
    return _FACTS.validate_json(path.read_bytes())


def prepare_snapshot(snapshot: Snapshot, tell: Tell) -> None:
    """Make the snapshot if it is not there; about half a minute. Processes that ask at once wait for the one that makes it.

    Raises:
        NotStarted: A step failed; the message names its log.
        Busy: Another process has been making it for too long.
    """
    if snapshot.facts.exists():
        return
    lock = snapshot.folder.with_suffix(".lock")
    with locks.held(lock, within=_PATIENCE, waiting=lambda: tell("Tryton: another process prepares it; waiting for that")):
        if not snapshot.facts.exists():
            _make(snapshot, tell)


def _make(snapshot: Snapshot, tell: Tell) -> None:
    """In its final place, since a virtual environment cannot be moved; what an interrupted run left goes first."""
    began_s = time.monotonic()
    shutil.rmtree(snapshot.folder, ignore_errors=True)
    # It holds a key.
    snapshot.folder.mkdir(mode=0o700)
    tell("Tryton: installing it (once; about 10 s)")
    _install(snapshot)
    tell(f"Tryton: initialising a database with {', '.join(MODULES)} (once; about 20 s)")
    unfinished = snapshot.folder / "facts.new"
    unfinished.write_text(_initialise(snapshot))
    unfinished.replace(snapshot.facts)
    tell(f"Tryton: prepared in {time.monotonic() - began_s:.0f} s")


def _install(snapshot: Snapshot) -> None:
    _run(snapshot, [sys.executable, "-m", "venv", str(snapshot.folder / "venv")])
    python = str(snapshot.folder / "venv" / "bin" / "python")
    _run(snapshot, [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(REQUIREMENTS)])


def _initialise(snapshot: Snapshot) -> str:
    """Let Tryton make its tables, seed them, and pack the database into one file; returns the facts as JSON."""
    work = snapshot.folder / "work"
    work.mkdir()
    (work / f"{DATABASE}.sqlite").touch()
    configuration = work / "trytond.conf"
    configuration.write_text(configuration_text(work))
    # The administrator's password is forgotten at once: the seed works in process, everyone else has the key.
    password = work / "password"
    password.write_text(secrets.token_urlsafe(24))
    binaries = snapshot.folder / "venv" / "bin"
    common = ["-c", str(configuration), "-d", DATABASE]
    modules = ["--all", "--activate-dependencies", "--email", "admin@localhost", "-u", *MODULES]
    _run(snapshot, [str(binaries / "trytond-admin"), *common, *modules], TRYTONPASSFILE=str(password))
    facts = _run(snapshot, [str(binaries / "python"), str(SEED), str(configuration), DATABASE])
    copy_database(work / f"{DATABASE}.sqlite", snapshot.database)
    shutil.rmtree(work)
    return facts


def configuration_text(folder: Path, *, port: int = 0) -> str:
    """The server's configuration.

    Args:
        folder: Where the database is.
        port: Where it listens, on the loopback address.
    """
    # Tryton waits five seconds for another writer, and that `retry` times more. Longer than that helps nobody who waits at the other end.
    return f"""[database]
uri = sqlite://
path = {folder}
retry = 1

[web]
listen = 127.0.0.1:{port}
"""


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database with everything that was committed, the part in its write-ahead log too, into one file."""
    unfinished = target.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as read, contextlib.closing(sqlite3.connect(unfinished)) as written:
        read.backup(written)
        written.execute("PRAGMA journal_mode = DELETE")
    unfinished.replace(target)


def _run(snapshot: Snapshot, command: Sequence[str], **variables: str) -> str:
    """Run one step to its end with its messages in a log; returns its standard output."""
    log = snapshot.folder / "prepare.log"
    with log.open("a") as messages:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=messages, text=True, env=environment(**variables))
    if done.returncode != 0:
        raise NotStarted(
            f"Tryton cannot be prepared: {Path(command[0]).name} {' '.join(command[1:4])} … failed: {processes.last_words(log)}",
            remedy=f"See {log}, mend it, and run this again.",
        )
    return done.stdout
