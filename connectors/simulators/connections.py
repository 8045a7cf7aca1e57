"""Ends a connection without an answer, which no web framework offers: a client then sees what it sees when a server vanishes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_EXTENSION = "simulators.transport"
_RESET_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends a reset


class VanishingProtocol(H11Protocol):
    """HTTP/1.1 whose requests carry their connection, as an ASGI extension, so that `hang_up` can end it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Remember the connection for every request on it."""
        super().connection_made(transport)
        application = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[_EXTENSION] = transport
            await application(scope, receive, send)

        self.app = with_transport


async def hang_up(scope: Scope, receive: Receive) -> None:
    """End the request's connection without an answer, with a reset, and wait until it is gone; the client may have gone before."""
    transport: asyncio.Transport = scope["extensions"][_EXTENSION]
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
        transport.abort()
    await _until_gone(receive)


async def hang(receive: Receive, *, limit_s: float, stopping: asyncio.Event) -> None:
    """Do nothing until the client has gone, the server stops, or the time is over."""
    waits = [asyncio.ensure_future(_until_gone(receive)), asyncio.ensure_future(stopping.wait())]
    _, pending = await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
