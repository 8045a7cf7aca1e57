"""Ports of local services on the loopback interface: chosen free, as two checkouts may run at once, and kept, so that addresses last."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection
from pathlib import Path

from integration_fabric.local import state
from integration_fabric.local.errors import PortTaken

HOST = "127.0.0.1"

# Below the ports that operating systems hand out to outgoing connections (from 32768 on Linux, from 49152 on macOS): one of those is
# soon taken by somebody's connection while the service is down, and the address would change.
CHOICE = range(20_000, 32_000)

CONNECT_S = 0.2


def is_free(port: int) -> bool:
    """Whether a service may listen on `port` of the loopback interface now."""
    with socket.socket() as listener, socket.socket() as caller:
        # As servers set it: what is left of an earlier server's connections does not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        # With that option macOS also lets us bind where somebody listens on all interfaces.
        caller.settimeout(CONNECT_S)
        return caller.connect_ex((HOST, port)) != 0


def choose(*, avoid: Collection[int] = ()) -> int:
    """A free port that is not among `avoid`."""
    while True:
        port = secrets.choice(CHOICE)
        if port not in avoid and is_free(port):
            return port


def claim(state_dir: Path, name: str) -> int:
    """The port that `name` had before, or a new one if it had none or somebody else has taken it; kept for the next time.

    The caller makes sure that its own service does not run, and that no second one claims for the same name at once.
    """
    known = state.read(state_dir).ports
    if name in known and is_free(known[name]):
        return known[name]
    port = choose(avoid=known.values())
    state.remember_port(state_dir, name, port)
    return port


def demand(port: int, *, setting: str, service: str) -> int:
    """The port that a setting fixes.

    Args:
        port: The port.
        setting: The environment variable that says so.
        service: Who wants to listen there, for people to read.

    Raises:
        PortTaken: Somebody else listens there.
    """
    if not is_free(port):
        raise PortTaken(
            f"port {port} for {service} is in use by another program, or may not be used",
            setting=setting,
            remedy=f"End that program, give {setting} another port, or unset it and a free one is chosen.",
        )
    return port
