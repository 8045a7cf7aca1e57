"""Attack of a zombie: a worker that stood still in the middle of an action of two calls must not make the second one when it wakes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from http_server import serving

from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.connector_kit.http_client import http_client
from integration_fabric.delivery.deadline import sending_until
from integration_fabric.messages.errors import UnknownOutcome


async def test_nothing_is_sent_after_the_deadline_of_the_intent() -> None:
    """The answer of the first call is seen before the timeout is; a successor has asked the vendor meanwhile, and gone on."""
    clock = FakeClock()
    async with serving() as vendor, http_client(system="v", base_url=vendor.url, headers={}, answer_within=timedelta(seconds=5)) as client:

        async def action() -> str:
            await client.call("POST", "/first")
            await clock.advance(30)
            await client.call("POST", "/second")
            return "done"

        outcome = ""
        with sending_until(clock, clock.monotonic_s() + 11):
            try:
                outcome = await action()
            except UnknownOutcome as error:
                outcome = error.code
        assert outcome == "unknown-outcome"
        assert [path for _, path, _ in vendor.requests] == ["/first"]
        await client.call("POST", "/outside")
        assert len(vendor.requests) == 2


class Stops(FakeClock):
    """Its process stands still after it was asked so often."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.asked, self.after = 0, after

    def monotonic_s(self) -> float:
        self.asked += 1
        return 0.0 if self.asked <= self.after else 1_000.0


@pytest.mark.parametrize(("asked", "arrives"), [(1, b""), (2, b"POST /first"), (3, b'POST /first {"a": 1}')])
async def test_a_process_that_stands_still_before_it_writes_writes_nothing_more(asked: int, arrives: bytes) -> None:
    """It is asked before the request begins, before its first line, and before its body, without which no vendor does anything."""
    seen = bytearray()

    async def vendor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65_536):
            seen.extend(part)
            if b"{" in part:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(vendor, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    outcome = ""
    async with http_client(system="v", base_url=url, headers={}, answer_within=timedelta(seconds=5)) as client:
        with sending_until(Stops(asked), 11):
            try:
                await client.call("POST", "/first", content=b'{"a": 1}')
            except UnknownOutcome as error:
                outcome = error.code
    await asyncio.sleep(0.1)
    server.close()
    assert outcome == ("unknown-outcome" if asked < 3 else "")
    for part in arrives.split():
        assert part in seen
    assert (b"{" in seen) == (asked == 3), "the body came"
    assert bool(seen) == (asked > 1)
