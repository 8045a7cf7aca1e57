"""The gateway: webhooks come in here. Signature first, on the raw bytes; 202 only once the broker has acknowledged what they mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from integration_fabric.apps.serving import health_routes, listen, serving
from integration_fabric.apps.terminal import rfc3339
from integration_fabric.apps.worker import end_on_signals
from integration_fabric.connector_kit.ports import Receipt
from integration_fabric.connector_kit.webhooks import SignatureWrong
from integration_fabric.messages.errors import MissingParent, Unavailable
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG
from integration_fabric.wiring.fabric import Fabric, open_fabric
from integration_fabric.wiring.gateway import WayIn, ways_in
from integration_fabric.wiring.settings import Settings

MAX_BODY_BYTES = 1024 * 1024
"""Of one webhook; a quote of a thousand lines has about 400 KB."""
MAX_UNDER_WAY = 256
"""Webhooks taken at once; they may hold a body of the largest size each. More are asked to come again."""
PUBLISH_WITHIN = timedelta(seconds=8)
"""Vendors wait ten seconds for an answer, some longer; one that has gone away sends again without being told when."""
RETRY_AFTER_S = 2
"""Told to a sender while broker or store are away."""


@dataclass(slots=True)
class Gateway:
    """Takes webhooks in."""

    fabric: Fabric
    ways: Mapping[str, WayIn]
    publish_within: timedelta = PUBLISH_WITHIN
    max_under_way: int = MAX_UNDER_WAY
    _under_way: int = field(default=0, init=False)

    def application(self) -> FastAPI:
        """Its routes."""
        app = FastAPI(title="integration_fabric gateway", docs_url=None, redoc_url=None, openapi_url=None)

        @app.post("/webhooks/{system}")
        async def receive(system: str, request: Request) -> JSONResponse:
            answer = await self._receive(system, request)
            metrics.WEBHOOKS.labels(system if system in self.ways else "unknown", str(answer.status_code)).inc()
            return answer

        @app.get("/webhooks/{system}/{receipt_id}")
        async def status(system: str, receipt_id: str) -> JSONResponse:
            return await self._status(system, receipt_id)

        app.router.routes.extend(health_routes(lambda: {"name": "gateway", "ready": True, "systems": sorted(self.ways), "subscribers": []}))
        return app

    async def _receive(self, system: str, request: Request) -> JSONResponse:
        way = self.ways.get(system)
        if way is None:
            return _answer(404, "unknown-system", f"no system called {system} sends webhooks here")
        if self._under_way >= self.max_under_way:
            return _later("busy", f"{self._under_way} webhooks are being taken")
        with self._counted():
            body = await _body(request)
            if body is None:
                return _answer(413, "too-large", f"a webhook has at most {MAX_BODY_BYTES} bytes")
            return await self._take(way, system, request, body)

    async def _take(self, way: WayIn, system: str, request: Request, body: bytes) -> JSONResponse:
        try:
            way.verifier.verify(body, {name.lower(): value for name, value in request.headers.items()}, self.fabric.clock.now())
            async with asyncio.timeout(self.publish_within.total_seconds()):
                receipt = await way.reception.take(body)
        except SignatureWrong as error:
            LOG.problem("webhook_refused", system=system, code=error.code, why=str(error))
            return _answer(401, error.code, str(error))
        except (Unavailable, MissingParent) as error:
            LOG.problem("webhook_deferred", system=system, code=error.code, why=str(error))
            return _later(error.code, str(error))
        except TimeoutError:
            LOG.problem("webhook_deferred", system=system, code="slow", why=f"not acknowledged within {self.publish_within}")
            return _later("slow", f"the broker has not acknowledged it within {self.publish_within.total_seconds():g} s")
        where = f"/webhooks/{system}/{receipt.id}"
        return JSONResponse({**_shown(receipt), "status_url": where}, status_code=202, headers={"location": where})

    async def _status(self, system: str, receipt_id: str) -> JSONResponse:
        try:
            receipt = await self.fabric.stores.receipts.find(receipt_id)
        except Unavailable as error:
            return _later(error.code, str(error))
        if receipt is None or receipt.system != system:
            return _answer(404, "unknown-receipt", f"{system} has sent nothing with this receipt lately")
        return JSONResponse(_shown(receipt))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


def application(fabric: Fabric, ways: Mapping[str, WayIn]) -> FastAPI:
    """The gateway's routes."""
    return Gateway(fabric, ways).application()


async def _body(request: Request) -> bytes | None:
    """The raw bytes; None where there are too many. Never holds more than the limit."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MAX_BODY_BYTES:
            return None
    return bytes(found)


def _shown(receipt: Receipt) -> dict[str, object]:
    """What a sender may know; the same each time that the same bytes come."""
    return {
        "id": receipt.id,
        "state": receipt.state.value,
        "accepted": list(receipt.messages),
        "received_at": rfc3339(receipt.received_at),
        "code": receipt.code or None,
        "problem": receipt.problem or None,
    }


def _later(code: str, message: str) -> JSONResponse:
    return _answer(503, code, message, {"retry-after": str(RETRY_AFTER_S)})


def _answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"code": code, "message": message}, status_code=status, headers=dict(headers or {}))


async def run_gateway(settings: Settings, *, ready: Callable[[str], None]) -> None:
    """Take webhooks until a signal ends it. `ready` is told the address. Raises UsageProblem where it cannot begin."""
    bound = listen(settings.gateway, "gateway")
    ending = asyncio.Event()
    async with open_fabric(settings) as fabric:
        end_on_signals(ending)
        async with serving(application(fabric, ways_in(fabric)), bound) as address:
            ready(address)
            LOG.event("gateway_started", address=address)
            await ending.wait()
