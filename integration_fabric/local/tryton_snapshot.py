"""Tryton installed, and a snapshot of a database that it has initialised and seeded: made once, then copied; `local.tryton` starts from it.

Both lie in the user's cache folder under a digest of what they are made from, so that a second checkout finds them ready.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from integration_fabric.local.settings import environment
from integration_fabric.local.vendor_program import Tell, VendorProgram, copy_database, program_of

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
    def server(self) -> Path:
        """The program that serves."""
        return self.program.binaries / "trytond"

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
    made_from = (SEED.read_bytes(), " ".join(MODULES).encode())
    return Snapshot(program_of("Tryton", "tryton", cache, REQUIREMENTS, made_from=made_from))


def read_facts(path: Path) -> Facts:
    """What the seed decided, from its file."""
    return _FACTS.validate_json(path.read_bytes())


def prepare_snapshot(snapshot: Snapshot, tell: Tell) -> None:
    """Make the snapshot if it is not there; about half a minute. Processes that ask at once wait for the one that makes it.

    Raises:
        NotStarted: A step failed; the message names its log.
        Busy: Another process has been making it for too long.
    """
    snapshot.program.prepare(snapshot.facts, lambda: _make(snapshot, tell), tell)


def _make(snapshot: Snapshot, tell: Tell) -> None:
    tell(f"Tryton: initialising a database with {', '.join(MODULES)} (once; about 20 s)")
    unfinished = snapshot.folder / "facts.new"
    unfinished.write_text(_initialise(snapshot))
    unfinished.replace(snapshot.facts)


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
    binaries, run = snapshot.program.binaries, snapshot.program.run
    common = ["-c", str(configuration), "-d", DATABASE]
    modules = ["--all", "--activate-dependencies", "--email", "admin@localhost", "-u", *MODULES]
    run([str(binaries / "trytond-admin"), *common, *modules], environment(TRYTONPASSFILE=str(password)))
    facts = run([str(snapshot.program.python), str(SEED), str(configuration), DATABASE])
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
