"""The support system of a developer's machine: a real django-helpdesk with its own data, started and stopped here.

It starts from the snapshot of `local.helpdesk_snapshot` and keeps its data between starts, until somebody asks for a fresh one. The command
line and the tests call it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from integration_fabric.local.helpdesk_snapshot import DATABASE, prepare_snapshot, read_facts, snapshot_of
from integration_fabric.local.settings import LocalSettings
from integration_fabric.local.vendor_program import Tell
from integration_fabric.local.vendor_server import VendorServer, answers

NAME = "helpdesk"


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
    snapshot, server = snapshot_of(settings.cache_dir), VendorServer(NAME, settings)
    with server.lock():
        prepare_snapshot(snapshot, tell)
        kept = not fresh and server.has_data_of(snapshot.digest, tell, "django-helpdesk")
        serves = lambda url: answers(f"{url}/fabric/queues/", authorization=f"Token {_key(server)}")
        if kept and (joined := server.joined(serves)):
            return HelpdeskAddress(joined.address, _key(server))
        server.stop()
        if not kept:
            server.restore(snapshot.digest, snapshot.database, snapshot.facts)
        command = lambda port: snapshot.command("serve", str(port), str(server.home))
        service = server.start(command, serves, variables=snapshot.variables())
        return HelpdeskAddress(service.address, _key(server))


def down(settings: LocalSettings) -> bool:
    """Stop the server; its data and its port are kept.

    Returns:
        Whether it ran.
    """
    return VendorServer(NAME, settings).down()


def running(settings: LocalSettings) -> HelpdeskAddress | None:
    """How to reach the server, or None where it does not run."""
    server = VendorServer(NAME, settings)
    service = server.running()
    return HelpdeskAddress(service.address, _key(server)) if service else None


def database_file(settings: LocalSettings) -> Path:
    """The file with the data, e.g. to look at it or to hold its lock in a test."""
    return VendorServer(NAME, settings).home / DATABASE


def _key(server: VendorServer) -> str:
    return read_facts(server.home / "facts.json").key
