"""Serves the simulators on one port until a signal; used by `__main__` and by tests that need real connections."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from connectors.simulators.application import Options, build_application
from connectors.simulators.connections import VanishingProtocol

# Longer than any client's pool keeps an idle connection: a connection that we close while a request is on its way looks like a lost answer.
_KEEP_ALIVE_S = 120
_DRAIN_S = 2


class SimulatorServer(uvicorn.Server):
    """A server that leaves signals to its owner, who calls `stop`."""

    def __init__(self, options: Options) -> None:
        self._stopping = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                build_application(options, stopping=self._stopping),
                http=VanishingProtocol,
                ws="none",
                lifespan="on",
                loop="asyncio",
                log_level="error",
                access_log=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_DRAIN_S,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none; uvicorn's own way ends the process by the signal that it got, with a traceback for SIGINT."""
        yield

    def stop(self) -> None:
        """Answer what is being answered, end what hangs, and leave."""
        self._stopping.set()
        self.should_exit = True


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback address.

    Args:
        port: 0 for any free one.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    # Inherited by every connection. asyncio sets it only on sockets that name their protocol, which this one does not; without it each
    # answer waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def serve(options: Options, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = SimulatorServer(options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve(sockets=[listener])
