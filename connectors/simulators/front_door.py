"""The way of one request through a simulated vendor: faults before, credentials, the call in its transaction, faults after."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.simulators.connections import Receive, Scope, Send, hang, hang_up
from connectors.simulators.exchange import Answer, Call, Endpoint, RefusedError, Vendor
from connectors.simulators.faults import Panel, renamed
from connectors.simulators.outbox import Outbox
from connectors.simulators.store import Store


class FrontDoor:
    """One vendor at work.

    Args:
        vendor: which.
        store: its state.
        panel: its switches.
        token: the credential that it takes.
        dice: decides by the rates; seeded, so that a run can be repeated.
        on_events: told after a call that enqueued webhooks.
        stopping: set when the server stops; ends what hangs.
    """

    def __init__(
        self,
        *,
        vendor: Vendor,
        store: Store,
        panel: Panel,
        token: str,
        dice: random.Random,
        on_events: Callable[[], None],
        stopping: asyncio.Event,
    ) -> None:
        self._vendor = vendor
        self._store = store
        self._outbox = Outbox(store)
        self._panel = panel
        self._token = token
        self._dice = dice
        self._on_events = on_events
        self._stopping = stopping
        self._keys_in_use: set[str] = set()

    def routes(self) -> list[Route]:
        """The vendor's endpoints for the web framework; whatever else is asked for gets the vendor's 404."""
        known = [Route(each.path, _Serving(self, each), methods=[each.method]) for each in self._vendor.endpoints]
        return [*known, Route("/{rest:path}", _Serving(self, Endpoint("*", "", self._unknown, writes=False)))]

    async def serve(self, endpoint: Endpoint, request: Request, send: Send) -> None:
        """Answer one request, or end its connection; a client that leaves in the middle of its request gets neither."""
        try:
            answer = await self._answer(endpoint, request)
        except ClientDisconnect:
            return
        if answer is None:
            await hang_up(request.scope, request.receive)
        else:
            await _response(self._drifted(answer))(request.scope, request.receive, send)

    async def _answer(self, endpoint: Endpoint, request: Request) -> Answer | None:
        if self._panel.now.offline:
            return None
        body = await request.body()
        refusal = self._turned_away(request)
        if refusal is not None:
            await self._take_time()
            return refusal
        try:
            call = self._call(request, body)
        except ValueError as error:
            return self._vendor.failure(400, f"The request cannot be read: {error}")
        with self._alone(call) as alone:
            if not alone:
                return self._vendor.failure(409, "Another request with this key is being processed.")
            await self._take_time()
            answer = self._perform(endpoint, call)
        return await self._afterwards(endpoint, answer, request)

    def _turned_away(self, request: Request) -> Answer | None:
        switches = self._panel.now
        if self._strikes(switches.throttle_rate):
            answer = self._vendor.failure(429, "Too many requests.")
            return Answer(answer.status, answer.body, {"retry-after": str(switches.retry_after_s), **answer.headers})
        if self._strikes(switches.error_rate):
            return self._vendor.failure(switches.error_status, "Service temporarily unavailable.")
        if switches.expired_token or self._vendor.token(request.headers) != self._token:
            return self._vendor.failure(401, "The credential is missing, wrong or expired.")
        return None

    def _call(self, request: Request, body: bytes) -> Call:
        return Call(
            method=request.method,
            path=request.scope["path"],
            parts=request.path_params,
            query=tuple(request.query_params.multi_items()),
            headers=request.headers,
            body=self._vendor.parse(request.headers, body),
            store=self._store,
            switches=self._panel.now,
        )

    @contextmanager
    def _alone(self, call: Call) -> Iterator[bool]:
        key = self._vendor.exclusive_key(call.method, call.headers)
        if key is None or call.switches.ignore_idempotency_keys:
            yield True
        elif key in self._keys_in_use:
            yield False
        else:
            self._keys_in_use.add(key)
            try:
                yield True
            finally:
                self._keys_in_use.discard(key)

    async def _take_time(self) -> None:
        switches = self._panel.now
        milliseconds = switches.latency_ms + self._dice.random() * switches.latency_jitter_ms
        if milliseconds <= 0:
            return
        try:
            async with asyncio.timeout(milliseconds / 1000):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _perform(self, endpoint: Endpoint, call: Call) -> Answer:
        with self._store.transaction():
            self._vendor.settle(self._store)
            answer = self._vendor.around(call, lambda: self._run(endpoint, call))
            for event in call.events:
                self._outbox.add(event)
            if endpoint.writes:
                self._store.log_call(call.method, call.path, kind=call.kind, external_id=call.external_id, status=answer.status)
        if call.events:
            self._on_events()
        return answer

    def _run(self, endpoint: Endpoint, call: Call) -> Answer:
        try:
            with self._store.savepoint():
                return endpoint.handler(call)
        except RefusedError as refused:
            call.events.clear()
            return refused.answer

    async def _afterwards(self, endpoint: Endpoint, answer: Answer, request: Request) -> Answer | None:
        switches = self._panel.now
        if endpoint.writes and self._strikes(switches.effect_then_timeout_rate):
            await hang(request.receive, limit_s=switches.hang_ms / 1000, stopping=self._stopping)
            return None
        if endpoint.writes and self._strikes(switches.effect_then_error_rate):
            return self._vendor.failure(502, "Bad gateway.")
        return answer

    def _drifted(self, answer: Answer) -> Answer:
        switches = self._panel.now
        if not switches.renamed_fields or isinstance(answer.body, str | None) or not self._strikes(switches.drift_rate):
            return answer
        return Answer(answer.status, renamed(answer.body, switches.renamed_fields), answer.headers)

    def _strikes(self, rate: float) -> bool:
        return rate > 0 and self._dice.random() < rate

    def _unknown(self, call: Call) -> Answer:
        return self._vendor.failure(404, f"There is no {call.method} {call.path}.")


class _Serving:
    """One endpoint as an ASGI application."""

    def __init__(self, door: FrontDoor, endpoint: Endpoint) -> None:
        self._door = door
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door.serve(self._endpoint, Request(scope, receive, send), send)


def _response(answer: Answer) -> Response:
    if answer.body is None:
        return Response(status_code=answer.status, headers=dict(answer.headers))
    if isinstance(answer.body, str):
        return Response(answer.body, answer.status, dict(answer.headers), media_type="text/html")
    return Response(_encode(answer.body), answer.status, dict(answer.headers), media_type="application/json")


def _encode(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
