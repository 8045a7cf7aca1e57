"""The ledger: a vendor that misbehaves, in a process of its own, and remembers in which order it did what.

`python -m ledger.vendor PORT SEED`. Each value of the header `x-ledger` has a ledger of its own, with its own faults and journal.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass(slots=True)
class Faults:
    """From 0 to 1, of the calls that write."""

    error: float = 0.0
    """500, and nothing was done."""
    effect_then_error: float = 0.0
    """502, and it was done."""
    effect_then_hang: float = 0.0
    """Done, and no answer in time."""
    hang_then_effect: float = 0.0
    """No answer in time, and done a little later."""
    throttled: bool = False
    """429 for everybody, Retry-After one second."""
    away: bool = False
    """Connections are closed without an answer."""
    hang_s: float = 1.5
    """Longer than a call waits, shorter than a late call may take to land."""
    latency_s: float = 0.002


@dataclass(slots=True)
class Ledger:
    """What it knows."""

    dice: random.Random
    faults: Faults = field(default_factory=Faults)
    effects: list[str] = field(default_factory=list)
    """The external ids, in the order in which they were entered: one that stands here twice was doubled."""
    known: set[str] = field(default_factory=set)
    highest: dict[str, int] = field(default_factory=dict)
    disorder: list[str] = field(default_factory=list)
    """What came when a later entry of its account was there."""
    refused: set[str] = field(default_factory=set)
    """External ids that are answered with 422 until they are taken out."""
    victims: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By external id: whether its caller is sent a signal `before` or `after` the effect, the first time that it comes, and which one."""

    def enter(self, account: str, version: int) -> None:
        """Enter it."""
        name = f"{account}.{version}"
        if self.highest.get(account, -1) > version:
            self.disorder.append(name)
        self.highest[account] = max(version, self.highest.get(account, -1))
        self.known.add(name)
        self.effects.append(name)


class Ledgers:
    """One for each name."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._by_name: dict[str, Ledger] = {}

    def of(self, request: Request) -> Ledger:
        name = request.headers.get("x-ledger", "")
        if name not in self._by_name:
            self._by_name[name] = Ledger(random.Random(f"{self._seed} {name}"))
        return self._by_name[name]


Effect = Callable[[Ledger, str, int], None]


def post(ledger: Ledger, account: str, version: int) -> None:
    """What it knows already it does not enter again."""
    if f"{account}.{version}" not in ledger.known:
        ledger.enter(account, version)


def put(ledger: Ledger, account: str, version: int) -> None:
    """Sets it: the same once more changes nothing, unless something later was set meanwhile."""
    if f"{account}.{version}" not in ledger.known or ledger.highest[account] != version:
        ledger.enter(account, version)


def add(ledger: Ledger, account: str, version: int) -> None:
    """Enters whatever it is sent."""
    ledger.enter(account, version)


def application(ledgers: Ledgers) -> Starlette:
    """Its API."""

    def writer(effect: Effect) -> Callable[[Request], Awaitable[Response]]:
        async def write(request: Request) -> Response:
            return await _write(ledgers.of(request), request, effect)

        return write

    async def look(request: Request) -> Response:
        ledger = ledgers.of(request)
        if (fault := await _fault_of_all(ledger)) is not None:
            return fault
        return JSONResponse({}, 200 if request.path_params["name"] in ledger.known else 404)

    async def change(request: Request) -> Response:
        ledger, given = ledgers.of(request), await request.json()
        for item in fields(Faults):
            if item.name in given:
                setattr(ledger.faults, item.name, given[item.name])
        ledger.refused = set(given.get("refused", ledger.refused))
        ledger.victims.update({name: (when, number) for name, (when, number) in given.get("victims", {}).items()})
        return JSONResponse(asdict(ledger.faults))

    async def journal(request: Request) -> Response:
        ledger = ledgers.of(request)
        return JSONResponse({"effects": ledger.effects, "disorder": ledger.disorder})

    async def count(request: Request) -> Response:
        ledger = ledgers.of(request)
        return JSONResponse({"known": len(ledger.known)})

    routes = [
        Route("/post", writer(post), methods=["POST"]),
        Route("/put", writer(put), methods=["PUT"]),
        Route("/add", writer(add), methods=["POST"]),
        Route("/entries/{name}", look),
        Route("/faults", change, methods=["POST"]),
        Route("/journal", journal),
        Route("/count", count),
    ]
    return Starlette(routes=routes)


async def _fault_of_all(ledger: Ledger) -> Response | None:
    faults = ledger.faults
    await asyncio.sleep(faults.latency_s)
    if faults.away:
        return _Closed()
    if faults.throttled:
        return JSONResponse({"error": "too many"}, 429, headers={"retry-after": "1"})
    return None


async def _write(ledger: Ledger, request: Request, effect: Effect) -> Response:
    body = await request.json()
    account, version = body["account"], body["version"]
    if (fault := await _fault_of_all(ledger)) is not None:
        return fault
    if f"{account}.{version}" in ledger.refused:
        return JSONResponse({"error": "not this one"}, 422)
    when, number = ledger.victims.pop(f"{account}.{version}", ("", 0))
    faults, fate = ledger.faults, ledger.dice.random()
    if when == "before":
        _signal(request, number)
        fate = faults.error
    if fate < faults.error:
        return JSONResponse({"error": "out of order"}, 500)
    if when == "before" or (fate := fate - faults.error) < faults.hang_then_effect:
        await asyncio.sleep(faults.hang_s)  # whoever called has given up by then
    effect(ledger, account, version)
    if when == "after":
        _signal(request, number)
    fate -= faults.hang_then_effect
    if 0 <= fate < faults.effect_then_error:
        return JSONResponse({"error": "out of order"}, 502)
    fate -= faults.effect_then_error
    if 0 <= fate < faults.effect_then_hang:
        await asyncio.sleep(faults.hang_s)
    return JSONResponse({})


def _signal(request: Request, number: int) -> None:
    """Kill or stop the caller, which says who it is."""
    with suppress(ProcessLookupError):
        os.kill(int(request.headers["x-pid"]), number)


class _Closed(Response):
    """The connection ends in the middle of the answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        raise ConnectionAbortedError


class _Quiet(uvicorn.Server):
    """Leaves signals to Python: SIGTERM ends it at once."""

    def capture_signals(self) -> Any:
        return nullcontext()


def main() -> None:
    port, seed = int(sys.argv[1]), int(sys.argv[2])
    config = uvicorn.Config(application(Ledgers(seed)), host="127.0.0.1", port=port, log_level="critical", access_log=False, lifespan="off")
    _Quiet(config).run()


if __name__ == "__main__":
    main()
