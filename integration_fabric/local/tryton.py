"""The ERP of a developer's machine: a real Tryton with its own data, started and stopped here; the command line and the tests call it.

It starts from the snapshot of `local.tryton_snapshot` and keeps its data between starts, until somebody asks for a fresh one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from integration_fabric.local.settings import LocalSettings
from integration_fabric.local.tryton_snapshot import DATABASE, Snapshot, configuration_text, prepare_snapshot, read_facts, snapshot_of
from integration_fabric.local.vendor_program import Tell
from integration_fabric.local.vendor_server import VendorServer, answers

NAME = "tryton"

# A line for each request would be all that stands in the log, and 250 bytes of it.
_LOGGING = """[loggers]
keys = root, werkzeug
[handlers]
keys = output
[formatters]
keys = line
[logger_root]
level = WARNING
handlers = output
[logger_werkzeug]
level = WARNING
handlers =
qualname = werkzeug
[handler_output]
class = StreamHandler
formatter = line
args = (sys.stderr,)
[formatter_line]
format = %(asctime)s %(levelname)s %(name)s %(message)s
"""


@dataclass(frozen=True, slots=True)
class TrytonAddress:
    """All that a client of the running server must know."""

    url: str
    """Without the database, e.g. `http://127.0.0.1:23456`."""
    database: str
    key: str = field(repr=False)
    """Of the user application for the REST interface; its user sees every company."""
    companies: Mapping[str, int]
    """Company ids by the code of their legal entity."""
    category: int
    """The accounting category that products book through."""


def prepare(settings: LocalSettings, tell: Tell) -> None:
    """Have Tryton and its snapshot in the cache, so that every start is quick. Does nothing where they are there.

    Args:
        settings: Where the cache is.
        tell: Told what takes long.

    Raises:
        NotStarted: A step failed.
    """
    prepare_snapshot(snapshot_of(settings.cache_dir), tell)


def up(settings: LocalSettings, tell: Tell, *, fresh: bool = False) -> TrytonAddress:
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
    snapshot, server = snapshot_of(settings.cache_dir), VendorServer(NAME, settings)
    with server.lock():
        prepare_snapshot(snapshot, tell)
        kept = not fresh and server.has_data_of(snapshot.digest, tell, "Tryton")
        serves = lambda url: _serves(_address(server, url))
        if kept and (joined := server.joined(serves)):
            return _address(server, joined.address)
        server.stop()
        if not kept:
            server.restore(snapshot.digest, snapshot.database, snapshot.facts)
        service = server.start(lambda port: _command(snapshot, server.home, port), serves, details={"database": DATABASE})
        return _address(server, service.address)


def down(settings: LocalSettings) -> bool:
    """Stop the server; its data and its port are kept.

    Returns:
        Whether it ran.
    """
    return VendorServer(NAME, settings).down()


def running(settings: LocalSettings) -> TrytonAddress | None:
    """How to reach the server, or None where it does not run."""
    server = VendorServer(NAME, settings)
    service = server.running()
    return _address(server, service.address) if service else None


def database_file(settings: LocalSettings) -> Path:
    """The file with the data, e.g. to look at it or to hold its lock in a test."""
    return VendorServer(NAME, settings).home / f"{DATABASE}.sqlite"


def _address(server: VendorServer, url: str) -> TrytonAddress:
    facts = read_facts(server.home / "facts.json")
    return TrytonAddress(url=url, database=DATABASE, key=facts.key, companies=facts.companies, category=facts.category)


def _command(snapshot: Snapshot, home: Path, port: int) -> Sequence[str]:
    configuration, logging = home / "trytond.conf", home / "logging.conf"
    configuration.write_text(configuration_text(home, port=port))
    logging.write_text(_LOGGING)
    return [str(snapshot.server), "-d", DATABASE, "--logconf", str(logging), "-c", str(configuration)]


def _serves(address: TrytonAddress) -> bool:
    return answers(f"{address.url}/{address.database}/rest/model/company.company", authorization=f"bearer {address.key}")
