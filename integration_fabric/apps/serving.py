"""How long-running programs answer over HTTP: a bound socket, uvicorn in the program's own loop, health and metrics."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integration_fabric.messages.errors import UsageProblem
from integration_fabric.wiring.settings import ServingSettings

END_WITHIN_S = 10
"""For requests that are under way when the program ends: one whose sender stalls would keep it from ending."""


def health_routes(
    health: Callable[[], dict[str, object]], status_of: Callable[[], Awaitable[dict[str, object]]] | None = None
) -> list[Route]:
    """`/health/live`, `/health/ready`, `/status` and `/metrics`."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> Response:
        is_ready = bool(health()["ready"])
        return JSONResponse({"ready": is_ready}, status_code=200 if is_ready else 503)

    async def status(_: Request) -> Response:
        return JSONResponse(await status_of() if status_of else health())

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    endpoints = {"/health/live": live, "/health/ready": ready, "/status": status, "/metrics": metrics}
    return [Route(path, endpoint) for path, endpoint in endpoints.items()]


class _Server(uvicorn.Server):
    """Leaves signals to the process: a worker drains, and its health answers meanwhile."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Nothing to do."""
        return nullcontext()


def listen(settings: ServingSettings, name: str) -> socket.socket:
    """Bind before anything else starts. Raises UsageProblem where the port is in use."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio sets it only on sockets that it makes; else 40 ms an answer
    try:
        found.bind((settings.host, settings.port))
    except OSError as error:
        found.close()
        setting = f"FABRIC_{name.upper()}__PORT"
        reason = f"{setting}={settings.port}: {settings.host}:{settings.port} cannot be listened on ({error.strerror})"
        raise UsageProblem(f"{reason}; stop what uses it, or set another port (0 for a free one)") from error
    return found


@asynccontextmanager
async def serving(application: object, bound: socket.socket) -> AsyncIterator[str]:
    """Serve an ASGI application on a bound socket; its address."""
    server = _Server(uvicorn.Config(application, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=END_WITHIN_S))  # type: ignore[arg-type]
    task = asyncio.create_task(server.serve(sockets=[bound]))
    host, port = bound.getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task
