"""Delivers the webhooks of one vendor: signed, in order per aggregate, several at once, and again until they are taken."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import httpx

from connectors.simulators.clock import unix_s
from connectors.simulators.faults import Panel
from connectors.simulators.outbox import Outbox, Waiting

IN_FLIGHT = 16
ANSWER_WITHIN_S = 10.0


def sign(payload: bytes, *, secret: str, at_s: int) -> str:
    """The value of a signature header: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.payload">`."""
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


class Courier:
    """Empties one vendor's outbox; `run` is its task, `wake` tells it that something may have changed.

    Args:
        outbox: the queue.
        panel: where webhooks go, how often, and whether at all.
        client: for all couriers together; its owner closes it.
        signature_header: name of the header that carries the signature.
        secret: the shared secret.
    """

    def __init__(self, *, outbox: Outbox, panel: Panel, client: httpx.AsyncClient, signature_header: str, secret: str) -> None:
        self._outbox = outbox
        self._panel = panel
        self._client = client
        self._signature_header = signature_header
        self._secret = secret
        self._on_the_way: set[int] = set()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at the queue now."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled; what was not acknowledged by then stays in the queue."""
        async with asyncio.TaskGroup() as flights:
            while True:
                self._woken.clear()
                for event in self._ready():
                    self._on_the_way.add(event.position)
                    flights.create_task(self._deliver(event))
                await self._rest()

    def _ready(self) -> list[Waiting]:
        switches = self._panel.now
        if switches.webhook_url is None or switches.webhooks_paused or switches.offline:
            return []
        return self._outbox.due(at_s=unix_s(), limit=IN_FLIGHT - len(self._on_the_way), besides=self._on_the_way)

    async def _deliver(self, event: Waiting) -> None:
        try:
            if await self._post(event):
                self._outbox.acknowledge(event, copies=self._panel.now.webhook_copies)
            else:
                self._outbox.postpone(event)
        finally:
            self._on_the_way.discard(event.position)
            self.wake()

    async def _post(self, event: Waiting) -> bool:
        url = self._panel.now.webhook_url
        if url is None:
            return False
        headers = {
            "content-type": "application/json",
            self._signature_header: sign(event.payload, secret=self._secret, at_s=int(unix_s())),
        }
        try:
            response = await self._client.post(url, content=event.payload, headers=headers, timeout=ANSWER_WITHIN_S)
        except httpx.HTTPError:
            return False
        return response.is_success

    async def _rest(self) -> None:
        due_s = self._outbox.next_due_s(after_s=unix_s())
        wait_s = None if due_s is None else max(due_s - unix_s(), 0.0)
        try:
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        except TimeoutError:
            return
