"""Delivers the webhooks of one vendor: signed, in order per aggregate, several at once, and again until they are taken."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping

import httpx

from connectors.simulators.clock import unix_s
from connectors.simulators.faults import Panel, renamed
from connectors.simulators.outbox import Outbox, Waiting
from connectors.simulators.webhook_fate import Fate, fate_of, is_corrupt

IN_FLIGHT = 16
ANSWER_WITHIN_S = 10.0


def sign(payload: bytes, *, secret: str, at_s: int) -> str:
    """The value of a signature header: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.payload">`."""
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def _renamed(payload: bytes, names: Mapping[str, str]) -> bytes:
    return json.dumps(renamed(json.loads(payload), names)).encode()


class Courier:
    """Empties one vendor's outbox; `run` is its task, `wake` tells it that something may have changed.

    Args:
        outbox: the queue.
        panel: where webhooks go, how often, and whether at all.
        client: for all couriers together; its owner closes it.
        signature_header: name of the header that carries the signature.
        secret: the shared secret.
        seed: of the dice that decide what goes wrong.
    """

    def __init__(self, *, outbox: Outbox, panel: Panel, client: httpx.AsyncClient, signature_header: str, secret: str, seed: str) -> None:
        self._outbox = outbox
        self._panel = panel
        self._client = client
        self._signature_header = signature_header
        self._secret = secret
        self._seed = seed
        self._timing: object = None
        self._timed: set[int] = set()
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
        self._forget_old_timing()
        ready: list[Waiting] = []
        limit = IN_FLIGHT - len(self._on_the_way)
        while len(ready) < limit:
            known = self._on_the_way | {event.position for event in ready}
            due = self._outbox.due(at_s=unix_s(), limit=limit - len(ready), besides=known)
            if not due:
                break
            ready += [event for event in due if not self._sets_aside(event)]
        return ready

    def _forget_old_timing(self) -> None:
        """What is late or stands aside goes on at once where the switches for that were changed, or were forgotten in a restart."""
        now = self._panel.now
        timing = (now.webhook_delay_ms, now.webhook_delay_jitter_ms, now.webhook_reorder_rate, now.webhook_reorder_ms)
        if self._timing != timing:
            self._outbox.release()
            self._timed.clear()
        self._timing = timing

    def _sets_aside(self, event: Waiting) -> bool:
        """Whether an event must not leave yet, or never will; decided once for each."""
        fate = self._fate(event)
        if event.position not in self._timed:
            self._timed.add(event.position)
            leaves_at_s = event.created_at_s + fate.delay_s
            if fate.overtaken and self._outbox.hold(event, until_s=leaves_at_s + self._panel.now.webhook_reorder_ms / 1000):
                return True
            if leaves_at_s > unix_s():
                self._outbox.defer(event, until_s=leaves_at_s)
                return True
        if fate.lost:
            self._timed.discard(event.position)
            self._outbox.lose(event)
        return fate.lost

    def _fate(self, event: Waiting) -> Fate:
        return fate_of(event.position, self._panel.now, seed=self._seed)

    async def _deliver(self, event: Waiting) -> None:
        fate = self._fate(event)
        try:
            if not await self._post(event, drifted=fate.drifted):
                self._outbox.postpone(event)
            elif self._outbox.acknowledge(event, copies=fate.copies):
                self._timed.discard(event.position)
        finally:
            self._on_the_way.discard(event.position)
            self.wake()

    async def _post(self, event: Waiting, *, drifted: bool) -> bool:
        switches = self._panel.now
        if switches.webhook_url is None:
            return False
        payload = _renamed(event.payload, switches.renamed_fields) if drifted else event.payload
        corrupt = is_corrupt(event.position, event.attempt, switches, seed=self._seed)
        secret = f"not {self._secret}" if corrupt else self._secret
        signature = sign(payload, secret=secret, at_s=int(unix_s() - switches.webhook_age_s))
        headers = {"content-type": "application/json", self._signature_header: signature}
        try:
            response = await self._client.post(switches.webhook_url, content=payload, headers=headers, timeout=ANSWER_WITHIN_S)
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
