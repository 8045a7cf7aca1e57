"""The connections to one system: as httpx's own pool, but whose price does not rise with their number.

httpx's pool looks at every connection, several times, for each request and again for each answer, and asks the operating system about the
idle ones: with 32 of them that is 2 of the 3 milliseconds of CPU that a call takes. Here each connection is a pool of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import httpcore
import httpx

from integration_fabric.connector_kit.http_sockets import Sockets

KEPT_S = 5.0
"""How long a connection that nobody uses is kept, as with httpx."""


class Connections(httpx.AsyncBaseTransport):
    """Give it to `httpx.AsyncClient` as `transport`. Failures, timeouts and deadlines are those of httpx."""

    def __init__(self, most: int) -> None:
        """Open none yet.

        Args:
            most: How many there may be; a request for which there is none waits, and raises PoolTimeout, as with httpx: nothing was sent.
        """
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._free = asyncio.Semaphore(most)
        self._idle: list[httpx.AsyncHTTPTransport] = []
        """The one that was used last comes first: those that are not needed grow old together and are closed by the server."""
        self._all: set[httpx.AsyncHTTPTransport] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on a connection that nobody else has; it is given back when the answer is closed."""
        connection = await self._take(request)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            self._throw_away(connection)
            raise
        answer = cast("httpx.AsyncByteStream", response.stream)
        response.stream = _Lent(answer, lambda: self._give_back(connection), lambda: self._throw_away(connection))
        return response

    async def aclose(self) -> None:
        """Close all of them."""
        for connection in list(self._all):
            await connection.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _take(self, request: httpx.Request) -> httpx.AsyncHTTPTransport:
        within_s: float | None = request.extensions.get("timeout", {}).get("pool")
        try:
            async with asyncio.timeout(within_s):
                await self._free.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("every connection is in use", request=request) from None
        if self._idle:
            return self._idle.pop()
        made = httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False)
        # httpx has no word for the sockets of its pool, httpcore has
        made._pool = httpcore.AsyncConnectionPool(  # noqa: SLF001
            ssl_context=self._tls, max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEPT_S, network_backend=Sockets()
        )
        self._all.add(made)
        return made

    def _give_back(self, connection: httpx.AsyncHTTPTransport) -> None:
        self._idle.append(connection)
        self._free.release()

    def _throw_away(self, connection: httpx.AsyncHTTPTransport) -> None:
        """A call that is cancelled at certain moments leaves httpcore's pool so that every later call waits for it in vain."""
        self._all.discard(connection)
        self._free.release()
        task = asyncio.create_task(connection.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled():
            task.exception()  # it was broken anyway


class _Lent(httpx.AsyncByteStream):
    """An answer's bytes, and what to do once, when nobody reads them any more."""

    def __init__(self, answer: httpx.AsyncByteStream, give_back: Callable[[], None], throw_away: Callable[[], None]) -> None:
        self._answer = answer
        self._give_back: Callable[[], None] | None = give_back
        self._throw_away = throw_away

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer:
            yield part

    async def aclose(self) -> None:
        """Let the connection go."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            try:
                await self._answer.aclose()
            except BaseException:
                self._throw_away()
                raise
            give_back()
