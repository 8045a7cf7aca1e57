"""A pool of connections that costs the same however many there are: reused, bounded, and given back whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from integration_fabric.connector_kit.http_connections import Connections

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


@dataclass(slots=True)
class Vendor:
    """Answers when it may, or hangs up."""

    url: str = ""
    connections: int = 0
    under_way: int = 0
    most_under_way: int = 0
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    hang_up: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.under_way += 1
                self.most_under_way = max(self.most_under_way, self.under_way)
                await self.may_answer.wait()
                self.under_way -= 1
                if self.hang_up:
                    break
                writer.write(HEAD + b"ok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def client_of(vendor: Vendor, *, most: int, wait_s: float = 5.0) -> AsyncIterator[httpx.AsyncClient]:
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    bounds = httpx.Timeout(5.0, pool=wait_s)
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", transport=Connections(most), timeout=bounds, trust_env=False) as client:
        yield client
    server.close()


async def reach(vendor: Vendor, under_way: int) -> None:
    async with asyncio.timeout(5):
        while vendor.under_way != under_way:
            await asyncio.sleep(0)


async def test_one_after_the_other_needs_one_connection() -> None:
    vendor = Vendor()
    vendor.may_answer.set()
    async with client_of(vendor, most=8) as client:
        for _ in range(5):
            assert (await client.get("/")).text == "ok"
    assert vendor.connections == 1


async def test_there_are_never_more_than_that() -> None:
    vendor = Vendor()
    async with client_of(vendor, most=3) as client:
        calls = [asyncio.create_task(client.get("/")) for _ in range(10)]
        await reach(vendor, 3)
        vendor.may_answer.set()
        assert [(await call).status_code for call in calls] == [200] * 10
    assert vendor.most_under_way == vendor.connections == 3


async def test_who_waits_too_long_for_one_is_told_that_nothing_was_sent() -> None:
    vendor = Vendor()
    async with client_of(vendor, most=1, wait_s=0.05) as client:
        first = asyncio.create_task(client.get("/"))
        await reach(vendor, 1)
        with pytest.raises(httpx.PoolTimeout):
            await client.get("/")
        vendor.may_answer.set()
        assert (await first).text == "ok"
        assert (await client.get("/")).text == "ok"


async def test_a_call_that_is_given_up_gives_its_connection_back() -> None:
    vendor = Vendor()
    async with client_of(vendor, most=1) as client:
        for _ in range(3):
            call = asyncio.create_task(client.get("/"))
            await reach(vendor, 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            vendor.under_way = 0
        vendor.may_answer.set()
        assert (await client.get("/")).text == "ok"


@pytest.mark.parametrize("is_warm", [False, True], ids=["a new connection", "one that was used"])
async def test_whenever_a_call_is_given_up_the_next_one_goes_through(*, is_warm: bool) -> None:
    """At each step of the event loop from its beginning to its end."""
    vendor = Vendor()
    vendor.may_answer.set()
    for steps in range(40):
        async with client_of(vendor, most=1, wait_s=1.0) as client:
            if is_warm:
                await client.get("/")
            call = asyncio.create_task(client.get("/"))
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait({call})
            assert (await client.get("/")).text == "ok", f"after {steps} steps"


async def test_a_vendor_that_hangs_up_costs_one_call_and_no_connection() -> None:
    vendor = Vendor(hang_up=True)
    vendor.may_answer.set()
    async with client_of(vendor, most=1) as client:
        for _ in range(3):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/")
        vendor.hang_up = False
        assert (await client.get("/")).text == "ok"


async def test_an_answer_that_is_not_read_gives_its_connection_back() -> None:
    vendor = Vendor()
    vendor.may_answer.set()
    async with client_of(vendor, most=1) as client:
        for _ in range(3):
            async with client.stream("GET", "/") as answer:
                assert answer.status_code == 200
        assert (await client.get("/")).text == "ok"


async def test_a_vendor_that_is_not_there_is_said_so_each_time() -> None:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9", transport=Connections(1), trust_env=False) as client:
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await client.get("/")
