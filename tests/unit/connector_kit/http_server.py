"""A real HTTP server on a free port, which answers, hangs or hangs up as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

HANG_UP = b""
"""Close the connection without an answer."""
HANG = b"..."
"""Read the request and never answer."""


def answer(status: str, body: bytes = b"{}", **headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [
        f"HTTP/1.1 {status}",
        f"content-length: {len(body)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@dataclass
class Vendor:
    """What it got, and what it answers next."""

    port: int = 0
    answers: list[bytes] = field(default_factory=list)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Method, path, body."""
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                length = next((int(line.split(":")[1]) for line in head.lower().splitlines() if line.startswith("content-length:")), 0)
                self.requests.append((method, path, await reader.readexactly(length)))
                answered = self.answers.pop(0) if self.answers else answer("200 OK")
                if answered == HANG:
                    await reader.read()
                if answered in {HANG, HANG_UP}:
                    break
                writer.write(answered)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Vendor]:
    """A vendor that listens; afterwards nothing does on its port."""
    vendor = Vendor()
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    vendor.port = server.sockets[0].getsockname()[1]
    yield vendor
    server.close()
    for connection in vendor.connections:
        connection.cancel()
    await asyncio.gather(*vendor.connections)
    await server.wait_closed()
