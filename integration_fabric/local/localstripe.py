"""The billing of a developer's machine: a real localstripe with its own data, started and stopped here; the command line and tests call it.

It is installed once into the user's cache, and keeps its data between starts, until somebody asks for a fresh one.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from integration_fabric.local.settings import LocalSettings
from integration_fabric.local.vendor_program import Tell, VendorProgram, program_of
from integration_fabric.local.vendor_server import VendorServer, answers, remove_database

NAME = "localstripe"

_HERE = Path(__file__).parent
REQUIREMENTS = _HERE / "localstripe-requirements.txt"
SERVER = _HERE / "localstripe_server.py"


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
    program, whole = _program(settings), _program(settings).folder / "whole"
    program.prepare(whole, whole.touch, tell)


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
    server = VendorServer(NAME, settings)
    with server.lock():
        prepare(settings, tell)
        key, told = _key(server), webhook.url if webhook else ""
        serves = lambda url: answers(f"{url}/v1/plans", authorization=f"Bearer {key}")
        joined = None if fresh else server.joined(serves)
        if joined is not None and joined.details.get("webhook", "") == told:
            return LocalstripeAddress(joined.address, key)
        server.stop()
        if fresh:
            remove_database(data_file(settings))
        service = server.start(lambda port: _command(settings, port, webhook), serves, details={"webhook": told})
        return LocalstripeAddress(service.address, key)


def down(settings: LocalSettings) -> bool:
    """Stop the server; its data and its port are kept.

    Returns:
        Whether it ran.
    """
    return VendorServer(NAME, settings).down()


def running(settings: LocalSettings) -> LocalstripeAddress | None:
    """How to reach the server, or None where it does not run."""
    server = VendorServer(NAME, settings)
    service = server.running()
    return LocalstripeAddress(service.address, _key(server)) if service else None


def data_file(settings: LocalSettings) -> Path:
    """The file with the data."""
    return VendorServer(NAME, settings).home / "objects.sqlite"


def _program(settings: LocalSettings) -> VendorProgram:
    return program_of("localstripe", NAME, settings.cache_dir, REQUIREMENTS)


def _command(settings: LocalSettings, port: int, webhook: Webhook | None) -> Sequence[str]:
    told = ["--webhook-url", webhook.url, "--webhook-secret", webhook.secret] if webhook else []
    # -P, or our module of the same name, which lies beside the server, would be taken for localstripe
    return [str(_program(settings).python), "-P", str(SERVER), "--port", str(port), *told, str(data_file(settings))]


def _key(server: VendorServer) -> str:
    """Made at the first start, and kept."""
    path = server.home / "key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"sk_test_{secrets.token_hex(12)}")
    return path.read_text()
