"""What the role suites stand on: running systems, connectors plugged into them, fresh ids, and a desk that carries commands out."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from store_kit import memory_stores

from connectors.billing.stripe import client as stripe, localstripe_client
from connectors.billing.stripe.connector import STRIPE
from connectors.billing.stripe.localstripe import LOCALSTRIPE, open_localstripe
from connectors.billing.stripe.reader import StripeReader
from connectors.customer_success.gainsight import client as gainsight
from connectors.customer_success.gainsight.connector import GAINSIGHT
from connectors.customer_success.gainsight.reader import GainsightReader
from connectors.erp.tryton.connector import TRYTON
from connectors.erp.tryton.erp import TrytonErp, open_tryton
from connectors.erp.tryton.reader import TrytonReader
from connectors.simulators.control import SimulatorControl
from connectors.support.helpdesk import client as helpdesk
from connectors.support.helpdesk.connector import HELPDESK
from connectors.support.helpdesk.reader import HelpdeskReader
from connectors.support.zendesk import client as zendesk
from connectors.support.zendesk.connector import ZENDESK
from connectors.support.zendesk.reader import ZendeskReader
from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.connector_kit.actions import Action
from integration_fabric.connector_kit.connector import Connector
from integration_fabric.connector_kit.http_client import HttpClient
from integration_fabric.messages.base import Command, Event
from integration_fabric.messages.catalogue import BY_TOPIC
from integration_fabric.messages.envelope import Coordinates, Envelope
from integration_fabric.messages.ids import MessageId, System
from integration_fabric.messages.orders import OrderLine
from integration_fabric.messages.quotes import BillingPeriod, ChargeType
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.envelopes import Outputs
from integration_fabric.runtime.ports import Fence, TakenLease
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Delivery, Handled, Pause

NOW = SystemClock().now
STARTS_ON = date(2026, 1, 15)
ENDS_ON = date(2027, 1, 14)


def fresh(prefix: str) -> str:
    """An id that no other test uses: systems are shared."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def order_line(number: int = 1, **changes: Any) -> OrderLine:
    """A line that every system takes."""
    values: dict[str, Any] = {
        "order_line_id": fresh("L"),
        "quote_line_id": str(number),
        "product_id": "ANL-STR",
        "description": "Analytics Starter",
        "quantity": Decimal(3),
        "unit": "User",
        "unit_price": Decimal("33.3333"),
        "charge_type": ChargeType.RECURRING,
        "billing_period": BillingPeriod.MONTH,
        "starts_on": STARTS_ON,
        "ends_on": ENDS_ON,
        "tax_code": "NO-VAT-25",
        "price_book_version": "2026-1",
    }
    return OrderLine(**{**values, **changes})


# Systems and connectors


@dataclass(frozen=True)
class Site:
    """One running system: where it is and what it takes; `simulated` is its name at the simulators' control, None for a real one."""

    url: str
    key: str
    simulated: str | None = None
    database: str = "tryton"
    category: int | None = None
    """Of a real Tryton: the accounting category that products book through."""
    database_file: Path | None = None
    """Of a real system on SQLite: to be in its way."""


@dataclass(frozen=True)
class Plug:
    """How one connector is plugged into a site; `over` takes an HTTP client of the test's own, with its faults."""

    connector: Connector[Any]
    open: Callable[[Site, timedelta], AbstractAsyncContextManager[Any]]
    over: Callable[[Site, httpx.AsyncClient], Any]
    headers: Callable[[str], dict[str, str]]
    reader: Callable[[Any], Any]


def _simple(module: Any, connector: Connector[Any], client: Any, reader: Any) -> Plug:
    opener = getattr(module, f"open_{connector.vendor}")
    return Plug(
        connector,
        lambda site, within: opener(system=connector.vendor, url=site.url, key=site.key, answer_within=within),
        lambda _, http: client(HttpClient(http, system=connector.vendor)),
        module.headers,
        reader,
    )


PLUGS: Mapping[str, Plug] = {
    "stripe": Plug(
        STRIPE,
        lambda site, within: stripe.open_stripe(system="stripe", url=site.url, key=site.key, answer_within=within),
        lambda site, http: stripe.over(http, system="stripe", url=site.url, key=site.key),
        lambda _: {},
        StripeReader,
    ),
    "localstripe": Plug(
        LOCALSTRIPE,
        lambda site, within: open_localstripe(system="localstripe", url=site.url, key=site.key, answer_within=within),
        lambda site, http: localstripe_client.over(http, system="localstripe", url=site.url, key=site.key),
        lambda _: {},
        StripeReader,
    ),
    "gainsight": _simple(gainsight, GAINSIGHT, gainsight.Gainsight, GainsightReader),
    "zendesk": _simple(zendesk, ZENDESK, zendesk.Zendesk, ZendeskReader),
    "helpdesk": _simple(helpdesk, HELPDESK, helpdesk.Helpdesk, HelpdeskReader),
    "tryton": Plug(
        TRYTON,
        lambda site, within: open_tryton(url=site.url, database=site.database, key=site.key, answer_within=within),
        lambda site, http: TrytonErp(http, base_url=site.url, database=site.database, key=site.key),
        lambda _: {},
        TrytonReader,
    ),
}


@dataclass
class Bench:
    """One connector on one site, with a client that nothing is wrong with."""

    vendor: str
    site: Site
    client: Any
    control: SimulatorControl
    codec: AvroCodec
    """Commands come as they do from a topic: amounts have four decimals."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What was made on this site before and may be used again, e.g. master data."""

    @property
    def plug(self) -> Plug:
        return PLUGS[self.vendor]

    @property
    def reader(self) -> Any:
        return self.plug.reader(self.client)

    def action(self, command: Command) -> Action[Any, Any, Any]:
        """The action that carries out a command."""
        (found,) = [each for each in self.plug.connector.actions if each.command is type(command)]
        assert isinstance(found, Action)
        return found

    async def call(self, command: Command, *, client: Any = None, message_id: str | None = None) -> Event:
        """Carry a command out without an effect log: one attempt, with the keys of one message."""
        taken = taken_from_topic(self.codec, command)
        reply: Event = await self.action(command)(taken, context(taken, client or self.client, message_id or fresh("m")))
        return reply

    async def read_back(self, command: Command) -> Event | None:
        """What reading back finds."""
        find = self.action(command).find
        assert find is not None
        taken = taken_from_topic(self.codec, command)
        found: Event | None = await find(taken, context(taken, self.client, fresh("m")))
        return found

    @asynccontextmanager
    async def opened(self, *, answer_within: timedelta = timedelta(seconds=10), **changes: Any) -> AsyncIterator[Any]:
        """A client of its own, of a site with changes: another key, another address."""
        async with self.plug.open(Site(**{**vars(self.site), **changes}), answer_within) as client:
            yield client

    @asynccontextmanager
    async def through(self, transport: httpx.AsyncBaseTransport) -> AsyncIterator[Any]:
        """A client whose requests go through a transport of the test's."""
        headers = self.plug.headers(self.site.key)
        async with httpx.AsyncClient(transport=transport, base_url=self.site.url, headers=headers, timeout=10) as http:
            yield self.plug.over(self.site, http)


def taken_from_topic(codec: AvroCodec, command: Command) -> Command:
    """A command as an action is given it: written and read by its schema."""
    found = codec.decode(codec.encode(command), type(command))
    assert isinstance(found, Command)
    return found


def context(command: Command, client: Any, message_id: str) -> Context[Any]:
    """What an action may know besides its command."""
    return Context(_envelope(command, message_id), client, attempt=1, now=NOW())


def _envelope(command: Command, message_id: str) -> Envelope:
    return Envelope(body=command, id=MessageId(message_id), source="/tests", time=NOW(), correlation_id=f"correlation of {message_id}")


# The desk


@dataclass(frozen=True)
class Carried:
    """What became of a command: how it was handled, and the reply that goes out, read back from its bytes."""

    handled: Handled
    reply: Event | None


class Desk:
    """Carries commands out as a worker does: with an effect log, and replies that are checked against their schemas."""

    def __init__(self, codec: AvroCodec) -> None:
        self._codec, self._stores, self._taken = codec, memory_stores(), set[str]()
        self._offset = 0

    async def carry_out(
        self, bench: Bench, command: Command, *, client: Any = None, message_id: str | None = None, pause: Pause | None = None
    ) -> Carried:
        """One delivery of one message, at a new offset."""
        running = bench.action(command).bind(
            System(bench.vendor), client or bench.client, effects=self._stores.effects, clock=SystemClock()
        )
        fence = Fence(running.name, "topic-1", 0, 1)
        await self._take(fence, command.topic)
        self._offset += 1
        delivery = Delivery(
            envelope=_envelope(taken_from_topic(self._codec, command), message_id or fresh("m")),
            coordinates=Coordinates(command.topic, 0, self._offset),
            fence=fence,
            attempt=1,
            now=NOW(),
            encode=Outputs(subscriber=running.name, codec=self._codec, clock=SystemClock()),
            pause=pause or _at_once,
        )
        handled = await running.run(delivery)
        return Carried(handled, self._reply(handled))

    async def _take(self, fence: Fence, topic: str) -> None:
        if fence.subscriber not in self._taken:
            self._taken.add(fence.subscriber)
            await self._stores.leases.take(fence.subscriber, [TakenLease(TopicPartition(topic, 0), fence.topic_id, fence.epoch)], "test")

    def _reply(self, handled: Handled) -> Event | None:
        if not handled.outputs:
            return None
        (output,) = handled.outputs
        assert output.value is not None
        reply = self._codec.decode(output.value, BY_TOPIC[output.topic])
        assert isinstance(reply, Event)
        return reply


async def _at_once(seconds: float, *, aside: bool = False) -> None:
    """The lane's wait is over at once: every fault of these suites has ended, or landed, by then."""


# Faults that a real system does not do on demand


class LosesAnswer(httpx.AsyncHTTPTransport):
    """The n-th write is lost: its request before the system gets it, or its answer before we do."""

    def __init__(self, nth: int, lost: str) -> None:
        super().__init__()
        self.nth, self.lost, self.writes = nth, lost, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if is_write(request):
            self.writes += 1
            if self.writes == self.nth:
                if self.lost == "answer":
                    await (await super().handle_async_request(request)).aread()
                raise httpx.ReadTimeout("lost", request=request)
        return await super().handle_async_request(request)


class Garbles(httpx.AsyncHTTPTransport):
    """Writes, or all requests, are dealt with, and answered with something else."""

    def __init__(self, body: bytes, *, reads_too: bool) -> None:
        super().__init__()
        self.body, self.reads_too = body, reads_too

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        await response.aread()
        if self.reads_too or is_write(request):
            return httpx.Response(200, content=self.body, request=request)
        return response


def is_write(request: httpx.Request) -> bool:
    """Whether a request changes something; Gainsight's queries are POSTs."""
    return request.method not in {"GET", "HEAD"} and "/objects/query/" not in request.url.path
