"""A system as the benchmark calls it: answers every request after a while, in a process of its own. `python -m … LATENCY_MS` says its port.

Written on asyncio's protocols, so that it takes little of the CPU that is measured.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.performance.contenders import ROOT, Failed

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Answering(asyncio.Protocol):
    """One connection: a request, an answer, and so on."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s, self._received, self._answered = latency_s, b"", 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some bytes; a request, once its body is whole."""
        self._received += data
        while (size := request_size(self._received)) is not None and len(self._received) >= size:
            self._received = self._received[size:]
            asyncio.get_running_loop().call_later(self._latency_s, self._answer)

    def _answer(self) -> None:
        self._answered += 1
        body = b'{"id": "B-%d"}' % self._answered
        assert self._transport is not None
        self._transport.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def request_size(received: bytes) -> int | None:
    """How long the request is that begins here; None where its headers are not whole yet."""
    head, end, _ = received.partition(_END)
    if not end:
        return None
    lengths = [int(line[len(_LENGTH) :]) for line in head.lower().split(b"\r\n") if line.startswith(_LENGTH)]
    return len(head) + len(_END) + sum(lengths)


@contextmanager
def running(latency_ms: float) -> Iterator[str]:
    """Have one run; its URL.

    Raises:
        Failed: It did not start.
    """
    command = [sys.executable, "-m", "tests.performance.downstream", str(latency_ms)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise Failed("the downstream of the benchmark did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def serve(latency_ms: float) -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Answering(latency_ms / 1000), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
