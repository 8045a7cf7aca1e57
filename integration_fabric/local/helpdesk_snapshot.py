"""django-helpdesk installed, and a snapshot of a seeded database: made once, then copied; `local.helpdesk` starts from it.

Both lie in the user's cache folder under a digest of what they are made from, so that a second checkout finds them ready.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from integration_fabric.local.settings import environment
from integration_fabric.local.vendor_program import Tell, VendorProgram, copy_database, program_of

DATABASE = "helpdesk.sqlite"

_HERE = Path(__file__).parent
REQUIREMENTS = _HERE / "helpdesk-requirements.txt"
SITE = _HERE / "helpdesk_site"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the seed decided, and whoever uses the database must know."""

    key: str
    """Token of the integration user."""


_FACTS = TypeAdapter(Facts)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of django-helpdesk with its site and its seeded database, in a folder of its own."""

    program: VendorProgram

    @property
    def digest(self) -> str:
        """Of all that it is made from."""
        return self.program.digest

    @property
    def folder(self) -> Path:
        """Where all of it is."""
        return self.program.folder

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

    def command(self, name: str, *arguments: str) -> Sequence[str]:
        """A program of the site; nothing is imported from the current folder."""
        return [str(self.program.python), "-P", "-m", f"{SITE.name}.{name}", *arguments]

    def variables(self, **more: str) -> Mapping[str, str]:
        """The environment of such a program."""
        return environment(PYTHONPATH=str(self.site), **more)


def snapshot_of(cache: Path) -> Snapshot:
    """Where the snapshot of this version of the requirements, the site, the Python and the machine is, or would be.

    Args:
        cache: The user's cache folder of this project.
    """
    site = (path.read_bytes() for path in sorted(SITE.glob("*.py")))
    return Snapshot(program_of("django-helpdesk", "helpdesk", cache, REQUIREMENTS, made_from=site))


def read_facts(path: Path) -> Facts:
    """What the seed decided, from its file."""
    return _FACTS.validate_json(path.read_bytes())


def prepare_snapshot(snapshot: Snapshot, tell: Tell) -> None:
    """Make the snapshot if it is not there; about a quarter of a minute. Processes that ask at once wait for the one that makes it.

    Raises:
        NotStarted: A step failed; the message names its log.
        Busy: Another process has been making it for too long.
    """
    snapshot.program.prepare(snapshot.facts, lambda: _make(snapshot, tell), tell)


def _make(snapshot: Snapshot, tell: Tell) -> None:
    shutil.copytree(SITE, snapshot.site / SITE.name, ignore=shutil.ignore_patterns("__pycache__"))
    tell("django-helpdesk: initialising a database (once; about 5 s)")
    unfinished = snapshot.folder / "facts.new"
    unfinished.write_text(_initialise(snapshot))
    unfinished.replace(snapshot.facts)


def _initialise(snapshot: Snapshot) -> str:
    """Let Django make its tables, seed them, and pack the database into one file; returns the facts as JSON."""
    work = snapshot.folder / "work"
    work.mkdir()
    facts = snapshot.program.run(snapshot.command("seed"), snapshot.variables(HELPDESK_HOME=str(work)))
    copy_database(work / DATABASE, snapshot.database)
    shutil.rmtree(work)
    return facts
