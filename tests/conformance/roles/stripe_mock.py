"""Stripe's own stripe-mock, which checks every request against Stripe's OpenAPI: built once into the user's cache, and run here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from integration_fabric.local import locks, ports, processes
from integration_fabric.local.settings import LocalSettings

MODULE = "github.com/stripe/stripe-mock"
WITHIN = timedelta(seconds=30)
BUILT_WITHIN = timedelta(minutes=10)


def stripe_mock(version: str) -> Path:
    """The program. The Go checksum database says whether the module is the one that it always was."""
    folder = LocalSettings().cache_dir / f"stripe-mock-{version}"
    program = folder / "stripe-mock"
    with locks.held(folder.with_suffix(".lock"), within=BUILT_WITHIN):
        if not program.exists():
            _build(version, folder)
    return program


def _build(version: str, folder: Path) -> None:
    if shutil.which("go") is None:
        pytest.fail(f"{MODULE} cannot be built: there is no `go` on the path; install Go 1.21 or later", pytrace=False)
    built = subprocess.run(
        ["go", "install", f"{MODULE}@{version}"],
        env={**os.environ, "GOBIN": str(folder), "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        pytest.fail(f"{MODULE}@{version} cannot be built: {built.stderr}", pytrace=False)


@contextmanager
def running_stripe_mock(version: str, state: Path) -> Iterator[str]:
    """Its address."""
    port = ports.choose()
    url = f"http://{ports.HOST}:{port}"
    command = [str(stripe_mock(version)), "-https-addr", f"{ports.HOST}:0", "-http-addr", f"{ports.HOST}:{port}"]
    process = processes.start("stripe-mock", command, state_dir=state)
    try:
        processes.await_ready(process, lambda: _answers(url), within=WITHIN, log=processes.log_path(state, "stripe-mock"))
        yield url
    finally:
        processes.stop(process, within=WITHIN)


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=1, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


class AlsoAsks(httpx.AsyncHTTPTransport):
    """Every request is dealt with where it goes, and a copy of it is put to stripe-mock, which judges its form alone: it has no state."""

    def __init__(self, base: str, mock: str) -> None:
        super().__init__()
        self._base, self._mock = httpx.URL(base).path, mock
        self.made: set[tuple[str, str]] = set()
        """Method and path, ids replaced."""
        self.refused: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().removeprefix(self._base)
        headers = {name: value for name, value in request.headers.items() if name not in {"host", "authorization", "content-length"}}
        async with httpx.AsyncClient(trust_env=False) as copies:
            answer = await copies.request(
                request.method, f"{self._mock}{path}", headers={**headers, "authorization": "Bearer sk_test_123"}, content=request.content
            )
        self.made.add((request.method, _template(path)))
        if not answer.is_success:
            body = request.content.decode()
            self.refused.append(f"{request.method} {path} {body}: {answer.status_code} {answer.text}")
        return await super().handle_async_request(request)


def _template(path: str) -> str:
    parts = path.partition("?")[0].split("/")
    words = {"search", "attach", "finalize", "pay", "lines"}
    return "/".join(part if number < 3 or part in words else "{id}" for number, part in enumerate(parts))
