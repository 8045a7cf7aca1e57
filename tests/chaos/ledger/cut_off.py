"""A wire to the broker that can be cut: whoever uses it is cut off from Kafka while SQL and vendors stay reachable."""

from __future__ import annotations

import asyncio
from contextlib import suppress

HOST = "127.0.0.1"


class BrokerWire:
    """Passes everything on, and puts its own port where the broker tells its address."""

    def __init__(self, bootstrap: str) -> None:
        self._port = int(bootstrap.rpartition(":")[2])
        self._passes = asyncio.Event()
        self._passes.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Begin. Returns the address for clients."""
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        port = self._server.sockets[0].getsockname()[1]
        self._theirs, self._ours = (HOST.encode() + number.to_bytes(4, "big") for number in (self._port, port))
        return f"{HOST}:{port}"

    def cut(self) -> None:
        """Nothing passes, and nobody is told."""
        self._passes.clear()

    def mend(self) -> None:
        """Everything passes, also what waited."""
        self._passes.set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, self._port)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Frame by frame: four bytes of length, then the request or the answer."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = await source.readexactly(4)
                frame = await source.readexactly(int.from_bytes(size, "big"))
                await self._passes.wait()
                sink.write(size + frame.replace(self._theirs, self._ours))
                await sink.drain()
        sink.close()
