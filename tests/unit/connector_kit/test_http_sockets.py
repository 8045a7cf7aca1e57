"""Sockets of HTTP clients: nobody has a turn between the question whether it is too late and the write; otherwise as httpcore's own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import httpx
import pytest
import trustme

from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.connector_kit.http_connections import Connections
from integration_fabric.connector_kit.http_sockets import Sockets
from integration_fabric.delivery.deadline import sending_until
from integration_fabric.messages.errors import UnknownOutcome

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BIG = 64 * 1024 * 1024


@asynccontextmanager
async def server(handler: Handler, *, secret: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Its port; what its handlers leave open is closed with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=secret)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def keeps(into: bytearray) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65_536):
            into.extend(part)

    return handler


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


class Certificates:
    """Of a server on this machine, and who trusts it."""

    def __init__(self, host: str) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("secret", [None, Certificates("127.0.0.1")], ids=["plain", "TLS"])
async def test_nobody_has_a_turn_between_the_question_and_the_write(secret: Certificates | None) -> None:
    seen = bytearray()
    async with server(keeps(seen), secret=secret and secret.server) as port:
        stream = await Sockets().connect_tcp("127.0.0.1", port, timeout=5)
        if secret is not None:
            stream = await stream.start_tls(secret.client, "127.0.0.1", timeout=5)
        writing = stream.write(b"POST", timeout=5)
        with pytest.raises(StopIteration):  # it ends without giving the loop a turn
            writing.send(None)  # type: ignore[attr-defined]
        await until(lambda: bytes(seen) == b"POST")
        with sending_until(FakeClock(), -1), pytest.raises(UnknownOutcome):
            await stream.write(b"too late", timeout=5)
        await stream.aclose()
    assert seen == b"POST"


async def test_through_tls_as_through_none() -> None:
    certificates = Certificates("127.0.0.1")
    transport = Connections(1)
    transport._tls = certificates.client
    async with server(answers, secret=certificates.server) as port, httpx.AsyncClient(transport=transport, trust_env=False) as client:
        for _ in range(3):
            assert (await client.get(f"https://127.0.0.1:{port}/")).text == "ok"


async def test_a_certificate_of_another_host_is_refused_before_anything_is_sent() -> None:
    certificates = Certificates("elsewhere.example")
    transport = Connections(1)
    transport._tls = certificates.client
    seen = bytearray()
    async with server(keeps(seen), secret=certificates.server) as port, httpx.AsyncClient(transport=transport, trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post(f"https://127.0.0.1:{port}/", content=b"secret")
    assert not seen


async def test_what_came_unasked_is_nobodys_answer() -> None:
    """A server says 408 to a connection that was idle too long, and closes it: the next request must not take that for its answer."""
    answered, said = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await answered.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 4\r\n\r\nidle")
        await writer.drain()
        said.set()

    async with server(handler) as port, httpx.AsyncClient(transport=Connections(1), trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200
        answered.set()
        await said.wait()
        answer = await client.get(f"http://127.0.0.1:{port}/")
        assert (answer.status_code, answer.text) == (200, "ok")


async def test_what_is_larger_than_every_buffer_arrives_whole() -> None:
    seen = bytearray()
    async with server(keeps(seen)) as port:
        stream = await Sockets().connect_tcp("127.0.0.1", port, timeout=5)
        await stream.write(b"x" * BIG, timeout=30)
        await until(lambda: len(seen) == BIG)
        await stream.aclose()


async def test_a_server_that_does_not_read_ends_the_write_in_time() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with server(handler) as port:
        stream = await Sockets().connect_tcp("127.0.0.1", port, timeout=5)
        with pytest.raises(httpcore.WriteTimeout):
            await stream.write(b"x" * BIG, timeout=0.2)
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(10, timeout=0.05)
        await stream.aclose()


async def test_closing_tells_whoever_reads() -> None:
    async with server(keeps(bytearray())) as port:
        stream = await Sockets().connect_tcp("127.0.0.1", port, timeout=5)
        reading = asyncio.create_task(stream.read(10, timeout=30))
        await asyncio.sleep(0.05)
        await stream.aclose()
        assert await asyncio.wait_for(reading, 5) == b""
        assert stream.get_extra_info("is_readable")
        assert stream.get_extra_info("socket").fileno() < 0


async def test_a_host_is_reached_at_the_address_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    refusing = closed.getsockname()
    closed.close()
    async with server(answers) as port:
        loop = asyncio.get_running_loop()
        as_it_is = loop.getaddrinfo

        async def two(host: str, port: int, **rest: Any) -> Any:
            [found, *_] = await as_it_is("127.0.0.1", port, **rest)
            return [(*found[:4], refusing), found]

        monkeypatch.setattr(loop, "getaddrinfo", two)
        stream = await Sockets().connect_tcp("two.example", port, timeout=5)
        await stream.write(b"GET / HTTP/1.1\r\n\r\n", timeout=5)
        assert (await stream.read(1_000, timeout=5)).startswith(b"HTTP/1.1 200")
        await stream.aclose()


@pytest.mark.parametrize("host", ["127.0.0.1", "does-not-exist.invalid"])
async def test_nobody_there_is_a_connection_that_failed(host: str) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    with pytest.raises(httpcore.ConnectError):
        await Sockets().connect_tcp(host, port, timeout=5)
