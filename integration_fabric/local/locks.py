"""One process at a time: a file lock, which the operating system frees when its holder dies. For state files, downloads and starts."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from integration_fabric.local.errors import Busy

PAUSE_S = 0.05


@contextmanager
def held(path: Path, *, within: timedelta, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock `path` for the block; another thread or process that asks for it waits.

    Args:
        path: The lock file; it and its folder are made if they are not there. It stays: removing a lock file lets two holders in.
        within: How long to wait for another holder.
        waiting: Called once if there is another holder.

    Raises:
        Busy: The other holder kept it for longer than `within`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if not _taken(file.fileno()):
            if waiting is not None:
                waiting()
            _wait(file.fileno(), path, within)
        yield


def _wait(descriptor: int, path: Path, within: timedelta) -> None:
    deadline = time.monotonic() + within.total_seconds()
    while not _taken(descriptor):
        if time.monotonic() > deadline:
            raise Busy(
                f"another process has held {path} for more than {within.total_seconds():g} s",
                remedy="See what it does with `fuser` or `lsof` on that file, end it, and try again.",
            )
        time.sleep(PAUSE_S)


def _taken(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
