"""A vendor's program in a virtual environment of its own, in the user's cache: installed once, and found ready by every checkout.

Its folder carries a digest of all that it is made from, so that another version lies beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from integration_fabric.local import locks, processes
from integration_fabric.local.errors import NotStarted
from integration_fabric.local.settings import environment

Tell = Callable[[str], None]
"""Says to a person what is going on; one line a call."""

# How long to wait for another process that makes the same: many times what it takes on a slow machine with a slow network.
_PATIENCE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class VendorProgram:
    """One version of a vendor's program, in a folder of its own."""

    title: str
    """As people call it, e.g. `Tryton`."""
    digest: str
    folder: Path
    requirements: Path
    """All packages, each with its hash."""

    @property
    def binaries(self) -> Path:
        """Where its programs are."""
        return self.folder / "venv" / "bin"

    @property
    def python(self) -> Path:
        """The Python that runs it."""
        return self.binaries / "python"

    def run(self, command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
        """Run one step of its making to the end, with its messages in a log; returns its standard output.

        Raises:
            NotStarted: It failed.
        """
        log = self.folder / "prepare.log"
        with log.open("a") as messages:
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=messages, text=True, env=variables or environment())
        if done.returncode != 0:
            step = f"{Path(command[0]).name} {' '.join(command[1:4])}"
            raise NotStarted(
                f"{self.title} cannot be prepared: {step} … failed: {processes.last_words(log)}",
                remedy=f"See {log}, mend it, and run this again.",
            )
        return done.stdout

    def prepare(self, marker: Path, make: Callable[[], None], tell: Tell) -> None:
        """Make it if it is not there. Processes that ask at once wait for the one that makes it.

        Args:
            marker: A file that is there once everything is whole.
            make: Does what is to be done after the installation, and writes the marker last.
            tell: Told what takes long.

        Raises:
            NotStarted: A step failed; the message names its log.
            Busy: Another process has been making it for too long.
        """
        if marker.exists():
            return
        waiting = lambda: tell(f"{self.title}: another process prepares it; waiting for that")
        with locks.held(self.folder.with_suffix(".lock"), within=_PATIENCE, waiting=waiting):
            if marker.exists():
                return
            began_s = time.monotonic()
            self._install(tell)
            make()
            tell(f"{self.title}: prepared in {time.monotonic() - began_s:.0f} s")

    def _install(self, tell: Tell) -> None:
        """In its final place, since a virtual environment cannot be moved; what an interrupted run left goes first."""
        shutil.rmtree(self.folder, ignore_errors=True)
        # What is made here holds a key.
        self.folder.mkdir(mode=0o700, parents=True)
        tell(f"{self.title}: installing it (once; about 10 s)")
        self.run([sys.executable, "-m", "venv", str(self.folder / "venv")])
        self.run([str(self.python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(self.requirements)])


def program_of(title: str, name: str, cache: Path, requirements: Path, *, made_from: Iterable[bytes] = ()) -> VendorProgram:
    """Where the version that is made from this, by this Python on this machine, is or would be.

    Args:
        title: As people call it.
        name: Of its folder.
        cache: The user's cache folder of this project.
        requirements: All packages, each with its hash.
        made_from: What else decides what comes out.
    """
    machine = (part.encode() for part in (sys.version, sys.base_prefix, platform.machine()))
    digest = hashlib.sha256(b"\0".join((requirements.read_bytes(), *made_from, *machine))).hexdigest()[:16]
    return VendorProgram(title, digest, cache / f"{name}-{digest}", requirements)


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database with everything that was committed, the part in its write-ahead log too, into one file."""
    unfinished = target.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as read, contextlib.closing(sqlite3.connect(unfinished)) as written:
        read.backup(written)
        written.execute("PRAGMA journal_mode = DELETE")
    unfinished.replace(target)
