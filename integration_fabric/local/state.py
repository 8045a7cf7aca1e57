"""What runs on this machine for this checkout: `.fabric/local.json`. Every command finds the services there; who starts one notes it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from integration_fabric.local import locks, processes
from integration_fabric.local.errors import StateUnreadable

FILE_NAME = "local.json"
LOCK_NAME = "local.lock"

# A change is a few milliseconds; whoever holds the lock for this long is stopped in a debugger or on a dead disk.
PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Service:
    """One local service that was started.

    Attributes:
        name: `kafka`, `tryton`, `worker-1` ...; one service of a name per checkout.
        pid: Its process; None where it is not one of ours to signal, e.g. a container.
        address: Where it is reached, e.g. `127.0.0.1:23456` or `http://127.0.0.1:8000`.
        details: Whatever else its own starter and users need: further addresses, a container's name.
        birthmark: What tells its process from a later one of the same pid; `record` fills it in.
        started_at: When it was recorded.
    """

    name: str
    pid: int | None
    address: str
    details: Mapping[str, str] = field(default_factory=dict)
    birthmark: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def process(self) -> processes.Process | None:
        """The process, to ask whether it is alive or to stop it; None without a pid."""
        return None if self.pid is None else processes.Process(self.pid, self.birthmark)


@dataclass(frozen=True, slots=True)
class LocalState:
    """The whole file.

    Attributes:
        services: By name. That one stands here does not mean that it is alive: ask `processes.is_alive(service.process)`.
        ports: The ports that were chosen, by what listens there. They outlive their service, so that its address stays the same.
    """

    services: Mapping[str, Service] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


_FORMAT = TypeAdapter(LocalState)


def read(state_dir: Path) -> LocalState:
    """The state of a checkout; empty where nothing was ever started.

    Raises:
        StateUnreadable: The file is not what this program writes.
    """
    path = state_dir / FILE_NAME
    try:
        return _FORMAT.validate_json(path.read_bytes())
    except FileNotFoundError:
        return LocalState()
    except ValidationError as error:
        first = error.errors()[0]
        raise StateUnreadable(
            f"{path} cannot be read: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}",
            remedy="Stop the services that still run, delete the file, and start them again; their data is not in it.",
        ) from None


def record(state_dir: Path, service: Service) -> Service:
    """Note a service that was started, in place of one of the same name.

    Returns:
        The service as noted, with its process's birthmark.
    """
    if service.pid is not None and not service.birthmark:
        service = replace(service, birthmark=processes.birthmark(service.pid) or "")
    _change(state_dir, lambda state: replace(state, services={**state.services, service.name: service}))
    return service


def forget(state_dir: Path, name: str) -> None:
    """Note that a service is stopped; its ports are kept. Forgetting twice does nothing."""
    _change(state_dir, lambda state: replace(state, services={key: value for key, value in state.services.items() if key != name}))


def remember_port(state_dir: Path, name: str, port: int) -> None:
    """Note the port that was chosen for `name`."""
    _change(state_dir, lambda state: replace(state, ports={**state.ports, name: port}))


def _change(state_dir: Path, change: Callable[[LocalState], LocalState]) -> None:
    """Read, change and write under a lock, so that two writers at once lose nothing of each other."""
    with locks.held(state_dir / LOCK_NAME, within=PATIENCE):
        _write(state_dir / FILE_NAME, _FORMAT.dump_json(change(read(state_dir)), indent=2))


def _write(path: Path, content: bytes) -> None:
    """Put the new file in the old one's place in one step: a reader sees the one or the other, whole."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
