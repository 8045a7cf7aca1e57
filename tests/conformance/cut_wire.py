"""A wire to a PostgreSQL that can be cut at a commit, before the server has it or before its answer is heard."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from sqlalchemy.engine import make_url


class Cut(Enum):
    """Where the next commit is cut off."""

    BEFORE = "the server never has it"
    AFTER = "the server has carried it out, and its answer is lost"


class Wire:
    """Passes everything on, until it is told to cut."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._cut: Cut | None = None
        self._deaf = False
        self._committed = threading.Event()
        self.cuts = 0
        self.url = self._target.set(port=self._listener.getsockname()[1]).render_as_string(hide_password=False)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at_commit(self, cut: Cut) -> None:
        """The next commit that comes by is cut off, once."""
        self._cut = cut

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((self._target.host or "", self._target.port or 0))
                threading.Thread(target=self._to_server, args=(near, far), daemon=True).start()
                threading.Thread(target=self._to_client, args=(near, far), daemon=True).start()

    def _to_server(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                if self._cut is None or b"COMMIT\0" not in data:
                    far.sendall(data)
                    continue
                cut, self._cut = self._cut, None
                if cut is Cut.AFTER:
                    self._deaf = True
                    far.sendall(data)
                    assert self._committed.wait(10)
                self.cuts += 1
                break
        _end(near, far)

    def _to_client(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                if self._deaf and b"COMMIT\0" in data:
                    self._deaf = False
                    self._committed.set()
                    return
                near.sendall(data)
        _end(near, far)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def wire_to(url: str) -> Iterator[Wire]:
    """A wire, gone at the end."""
    wire = Wire(url)
    try:
        yield wire
    finally:
        wire.close()
