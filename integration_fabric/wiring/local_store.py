"""The store of the local landscape: a SQLite file, or a PostgreSQL of this checkout. `local_systems` calls it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from integration_fabric.local import postgres
from integration_fabric.local.postgres import Tell
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.errors import UsageProblem
from integration_fabric.wiring.settings import LOCAL_CONFIG


class Store(StrEnum):
    """Where effects, leases, cross-references and processes are kept."""

    SQLITE = "sqlite"
    """A file in the state folder."""
    POSTGRESQL = "postgresql"
    """A PostgreSQL server of this checkout."""


def choose(settings: LocalSettings, wanted: Store | None, *, fresh: bool) -> Store:
    """The store to start: the wanted one, else the one that the landscape here was made with, else SQLite.

    Raises:
        UsageProblem: Another one than the wanted is in use: what Kafka's offsets rest on stands there.
    """
    kept = made_with(settings)
    if wanted is None or wanted is kept or kept is None or fresh:
        return wanted or kept or Store.SQLITE
    raise UsageProblem(
        f"the landscape here was made with its store on {kept}, and what it did and its processes are not on {wanted}: "
        f"leave out `--store {wanted}`, or begin anew with `--store {wanted} --fresh`"
    )


def made_with(settings: LocalSettings) -> Store | None:
    """The store of the landscape here; None where there is none."""
    path = settings.state_dir / LOCAL_CONFIG.name
    try:
        found: Mapping[str, Any] = tomllib.loads(path.read_text())
        with_broker, url = bool(found["kafka"]["bootstrap"]), str(found["store"]["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not with_broker:
        return None
    return Store.POSTGRESQL if url.startswith(Store.POSTGRESQL) else Store.SQLITE


def up(settings: LocalSettings, store: Store, tell: Tell) -> str:
    """Have it running. Returns its URL, with the password that it may need. Raises LocalError."""
    return postgres.up(settings, tell).url if store is Store.POSTGRESQL else f"sqlite:///{_file(settings)}"


def down(settings: LocalSettings) -> bool:
    """Stop it; its data stays. Whether a server ran."""
    return postgres.down(settings)


def forget(settings: LocalSettings) -> None:
    """Delete whatever either store holds. Nothing uses it any more."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{_file(settings)}{suffix}").unlink(missing_ok=True)
    postgres.forget(settings)


def _file(settings: LocalSettings) -> Path:
    return settings.state_dir / "store.db"
