"""The gateway: webhooks come in here. Signature first, on the raw bytes; 202 only once the broker has acknowledged what they mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from integration_fabric.apps.serving import health_routes, listen, serving
from integration_fabric.apps.worker import end_on_signals
from integration_fabric.connector_kit.webhooks import SignatureWrong
from integration_fabric.messages.errors import ContractBroken, MissingParent, Unavailable, VendorDrift
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG
from integration_fabric.wiring.fabric import Fabric, open_fabric
from integration_fabric.wiring.gateway import WayIn, take_in, ways_in
from integration_fabric.wiring.settings import Settings

MAX_BODY_BYTES = 1024 * 1024
"""Of one webhook; a quote of a thousand lines has about 400 KB."""
RETRY_AFTER_S = 2
"""Told to a sender while broker or store are away."""


def application(fabric: Fabric, ways: Mapping[str, WayIn]) -> FastAPI:
    """The gateway's routes."""
    app = FastAPI(title="integration_fabric gateway", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/webhooks/{system}")
    async def receive(system: str, request: Request) -> JSONResponse:
        answer = await _receive(fabric, ways, system, request)
        metrics.WEBHOOKS.labels(system if system in ways else "unknown", str(answer.status_code)).inc()
        return answer

    app.router.routes.extend(health_routes(lambda: {"name": "gateway", "ready": True, "systems": sorted(ways), "subscribers": []}))
    return app


async def _receive(fabric: Fabric, ways: Mapping[str, WayIn], system: str, request: Request) -> JSONResponse:
    way = ways.get(system)
    if way is None:
        return _answer(404, "unknown-system", f"no system called {system} sends webhooks here")
    body = await _body(request)
    if body is None:
        return _answer(413, "too-large", f"a webhook has at most {MAX_BODY_BYTES} bytes")
    try:
        way.verifier.verify(body, {name.lower(): value for name, value in request.headers.items()}, fabric.clock.now())
        envelopes = await take_in(fabric, way, body)
    except SignatureWrong as error:
        LOG.problem("webhook_refused", system=system, why=str(error))
        return _answer(401, "signature-wrong", str(error))
    except (Unavailable, MissingParent) as error:
        LOG.problem("webhook_deferred", system=system, code=error.code, why=str(error))
        return _answer(503, error.code, str(error), {"retry-after": str(RETRY_AFTER_S)})
    except (VendorDrift, ContractBroken) as error:
        LOG.problem("webhook_refused", system=system, code=error.code, why=str(error))
        return _answer(422, error.code, str(error))
    return JSONResponse({"accepted": [envelope.id for envelope in envelopes]}, status_code=202)


async def _body(request: Request) -> bytes | None:
    """The raw bytes; None where there are too many. Never holds more than the limit."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MAX_BODY_BYTES:
            return None
    return bytes(found)


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
