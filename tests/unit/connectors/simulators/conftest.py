from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from switch_bench import Delivered, Vendor, delivered

from connectors.simulators.application import Options
from connectors.simulators.control import SimulatorControl
from connectors.simulators.server import SimulatorServer, listen


@dataclass(frozen=True)
class Simulators:
    """Running simulators and a way to talk to each of them."""

    url: str
    control: SimulatorControl
    salesforce: httpx.AsyncClient
    stripe: httpx.AsyncClient
    gainsight: httpx.AsyncClient
    zendesk: httpx.AsyncClient
    tryton: httpx.AsyncClient


Start = Callable[..., AbstractAsyncContextManager[Simulators]]


@asynccontextmanager
async def _running(options: Options) -> AsyncIterator[Simulators]:
    listener = listen(0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = SimulatorServer(options)
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    def client(path: str, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=url + path, headers=headers, trust_env=False, timeout=10)

    simulators = Simulators(
        url,
        SimulatorControl(url),
        client("/salesforce/services/data/v60.0", Authorization="Bearer salesforce-token"),
        client("/stripe/v1", Authorization="Bearer stripe-token"),
        client("/gainsight", AccessKey="gainsight-token"),
        client("/zendesk/api/v2", Authorization="Bearer zendesk-token"),
        client("/erp/tryton/rest/model", Authorization="bearer tryton-token"),
    )
    try:
        async with (
            simulators.control,
            simulators.salesforce,
            simulators.stripe,
            simulators.gainsight,
            simulators.zendesk,
            simulators.tryton,
        ):
            yield simulators
    finally:
        server.stop()
        await serving
        listener.close()


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start simulators on the test's state folder; keyword arguments are those of `Options`."""

    def begin(**options: Any) -> AbstractAsyncContextManager[Simulators]:
        return _running(Options(state=tmp_path / "state", **options))

    return begin


@pytest.fixture
async def simulators(start: Start) -> AsyncIterator[Simulators]:
    async with start() as running:
        yield running


@dataclass
class Receiver:
    """What takes webhooks: remembers each request, and answers with the next of `statuses`, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    requests: asyncio.Queue[tuple[dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def next(self) -> tuple[dict[str, str], bytes]:
        async with asyncio.timeout(10):
            return await self.requests.get()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        await self.requests.put(({**headers, "path": scope["path"]}, body))
        status = self.statuses.pop(0) if self.statuses else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    taking = Receiver()
    listener = listen(0)
    taking.url = f"http://127.0.0.1:{listener.getsockname()[1]}/webhooks/salesforce"
    server = uvicorn.Server(uvicorn.Config(taking, lifespan="off", log_level="error", access_log=False, ws="none"))
    serving = asyncio.create_task(server._serve(sockets=[listener]))
    yield taking
    server.should_exit = True
    await serving
    listener.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Wait until a condition holds, at most ten seconds."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(10):
            while not await condition():
                await asyncio.sleep(0.02)

    return wait


def _quote(name: str = "Q-1", **fields: Any) -> dict[str, Any]:
    line = {
        "Name": f"{name}-1",
        "SBQQ__ProductCode__c": "ANL-TEA",
        "SBQQ__Quantity__c": 3,
        "SBQQ__NetPrice__c": 120.5,
        "SBQQ__ChargeType__c": "Recurring",
        "SBQQ__BillingFrequency__c": "Monthly",
        "SBQQ__StartDate__c": "2026-01-01",
        "SBQQ__EndDate__c": "2026-12-31",
        "Tax_Code__c": "NO-VAT-25",
    }
    quote = {"Name": name, "SBQQ__Account__c": "C-1001", "Legal_Entity__c": "NO", "CurrencyIsoCode": "NOK"}
    return {**quote, "SBQQ__LineItems__r": {"records": [line]}, **fields}


@pytest.fixture
def quote() -> Callable[..., dict[str, Any]]:
    """The body of a new quote."""
    return _quote


@pytest.fixture
def playing(start: Start) -> Callable[[str], AbstractAsyncContextManager[Vendor]]:
    """Run one simulator alone."""

    @asynccontextmanager
    async def play(name: str) -> AsyncIterator[Vendor]:
        async with start(vendors=(name,), landscape=False) as simulators:
            yield Vendor(name, simulators, _quote)

    return play


@pytest.fixture
def deliver(receiver: Receiver, eventually: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[Delivered]]:
    """Have a vendor send webhooks, four where no number is given, and say what came."""
    return lambda vendor, number=4: delivered(vendor, receiver, eventually, number)
