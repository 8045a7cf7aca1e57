"""The sockets of HTTP clients: as httpcore's own, but between asking whether it is too late and writing there is no turn of the event loop.

A process that was stopped goes on exactly where it stood. What had asked in time, and then let the loop have a turn before it wrote, would
write long after a successor has asked the vendor and gone on (protocol.md, I8).
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiohappyeyeballs
import httpcore
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream

from integration_fabric.delivery.deadline import refuse_if_late

NEXT_ADDRESS_AFTER_S = 0.25
"""A host that has several addresses is tried at the next one after that (RFC 8305, 5)."""
Option = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class Sockets(httpcore.AsyncNetworkBackend):
    """Give it to httpcore as `network_backend`. Failures are those of httpcore, and UnknownOutcome where it is too late to write."""

    async def connect_tcp(  # noqa: PLR0917 as httpcore has it
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 as httpcore has it
        local_address: str | None = None,
        socket_options: Iterable[Option] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the address of a host that answers first. No local address can be chosen: none of the clients does."""
        assert local_address is None
        with _named(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
                opened = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option in socket_options or ():
            opened.setsockopt(*option)
        return Stream(plain := Plain(opened), plain)


class Plain(ByteStream):
    """What goes through a socket as it is: HTTP, or the records of TLS."""

    def __init__(self, connected: socket.socket) -> None:
        """Take a socket that is connected and does not block; it is closed with this."""
        self.socket = connected
        self._is_closed = False
        self._readers = 0

    async def send(self, item: bytes) -> None:
        """Write, unless it is too late: what fits into the buffer of the operating system is written before anybody else has a turn."""
        refuse_if_late()
        await asyncio.get_running_loop().sock_sendall(self.socket, item)

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        """Read what is there, or wait for it. Raises EndOfStream where nothing comes any more."""
        self._readers += 1
        try:
            received = await asyncio.get_running_loop().sock_recv(self.socket, max_bytes)
        finally:
            self._readers -= 1
            if self._is_closed:
                self.socket.close()
        if not received:
            raise EndOfStream
        if len(received) == max_bytes:
            await asyncio.sleep(0)  # there is more: others have a turn before it is read
        return received

    async def send_eof(self) -> None:
        """Nothing more is written."""
        self.socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close it; whoever is reading is told so."""
        if not self._is_closed:
            self._is_closed = True
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            if not self._readers:
                self.socket.close()


class Stream(httpcore.AsyncNetworkStream):
    """A socket, through TLS or as it is, as httpcore wants it."""

    def __init__(self, way: ByteStream, plain: Plain) -> None:
        """Read and write this way, which goes through that socket."""
        self._way, self._plain = way, plain

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 as httpcore has it
        """What has come, nothing at the end."""
        with _named(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                try:
                    return await self._way.receive(max_bytes)
                except EndOfStream:
                    return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 as httpcore has it
        """Write all of it. Raises UnknownOutcome where it is too late."""
        if buffer:
            with _named(httpcore.WriteTimeout, httpcore.WriteError):
                async with asyncio.timeout(timeout):
                    await self._way.send(buffer)

    async def aclose(self) -> None:
        """Close the socket."""
        await self._way.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 as httpcore has it
    ) -> httpcore.AsyncNetworkStream:
        """Go on through TLS, once the other side has shown who it is."""
        try:
            with _named(httpcore.ConnectTimeout, httpcore.ConnectError):
                async with asyncio.timeout(timeout):
                    secret = await TLSStream.wrap(
                        self._plain, hostname=server_hostname, ssl_context=ssl_context, standard_compatible=False, server_side=False
                    )
        except BaseException:
            await self.aclose()
            raise
        return Stream(secret, self._plain)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks for: above all whether the other side has closed, or said something unasked, before it writes on."""
        connected = self._plain.socket
        match info:
            case "is_readable":
                return _is_readable(connected)
            case "ssl_object":
                return self._way.extra(TLSAttribute.ssl_object, None)  # noqa: S610 no SQL
            case "socket":
                return connected
        return None


@contextmanager
def _named(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """Failures as httpcore names them."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except EndOfStream as error:
        raise broken("the other side closed the connection") from error
    except (OSError, BrokenResourceError) as error:
        raise broken(str(error)) from error


def _is_readable(connected: socket.socket) -> bool:
    if connected.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))
