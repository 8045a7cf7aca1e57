"""The way in from the CPQ: a quote that people approve there becomes one `QuoteApproved`, however often its webhook is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from role_bench import NOW, fresh

from connectors.cpq.salesforce.client import Salesforce, SalesforceRefused, open_salesforce
from connectors.cpq.salesforce.connector import SALESFORCE
from connectors.cpq.salesforce.intake import verifier
from connectors.cpq.salesforce.records import NewQuote
from connectors.simulators.control import SimulatorControl
from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.connector_kit.intake import Incoming, envelope_of
from integration_fabric.connector_kit.webhooks import SignatureWrong
from integration_fabric.local import ports
from integration_fabric.messages.errors import BadCredential, Unavailable
from integration_fabric.messages.ids import ContractId, CustomerId, LegalEntity, QuoteId, System
from integration_fabric.messages.quotes import BillingPeriod, ChargeType, QuoteApproved, QuoteKind, QuoteLine
from integration_fabric.runtime.clock import SystemClock

SECRET = "simulator-webhook-secret"
WITHIN_S = 10.0
TOKEN = "salesforce-token"


@dataclass
class Mailbox:
    """Takes webhooks: a listening socket that answers 200 to every POST."""

    url: str = ""
    taken: asyncio.Queue[tuple[dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
            body = await reader.readexactly(int(headers["content-length"]))
            await self.taken.put((headers, body))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
        finally:
            writer.close()

    async def next(self) -> tuple[dict[str, str], bytes]:
        async with asyncio.timeout(WITHIN_S):
            return await self.taken.get()


@pytest.fixture
async def mailbox(faults: SimulatorControl) -> AsyncIterator[Mailbox]:
    mailbox = Mailbox()
    server = await asyncio.start_server(mailbox.take, "127.0.0.1", 0)
    async with server:
        mailbox.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await faults.set_faults("salesforce", webhook_url=mailbox.url)
        yield mailbox


@pytest.fixture
async def cpq(simulators: str) -> AsyncIterator[Salesforce]:
    async with open_salesforce(system="salesforce", url=f"{simulators}/salesforce", key=TOKEN) as client:
        yield client


def a_quote(**changes: Any) -> NewQuote:
    head = QuoteLine(
        line_id="1",
        bundle_id="1",
        product_id="BND-01",
        description="Analytics Suite",
        quantity=Decimal(1),
        unit="Unit",
        unit_price=Decimal("240.0125"),
        charge_type=ChargeType.RECURRING,
        billing_period=BillingPeriod.YEAR,
        starts_on=date(2026, 1, 15),
        ends_on=date(2027, 1, 14),
        tax_code="NO-VAT-25",
        price_book_version="2026-1",
    )
    option = {"line_id": "2", "parent_line_id": "1", "product_id": "ANL-TEA", "quantity": Decimal("2.5"), "unit_price": Decimal("0.0001")}
    meter = {"line_id": "3", "bundle_id": None, "charge_type": ChargeType.USAGE, "billing_period": BillingPeriod.MONTH}
    once = {"line_id": "4", "bundle_id": None, "charge_type": ChargeType.ONE_OFF, "billing_period": BillingPeriod.NONE, "ends_on": None}
    values: dict[str, Any] = {
        "quote_id": QuoteId(fresh("Q")),
        "customer_id": CustomerId("C-1001"),
        "legal_entity": LegalEntity("NO"),
        "currency": "NOK",
        "payment_terms": "NET30",
        "lines": (head, *(head.model_copy(update=change) for change in (option, meter, once))),
        "bill_to": "C-1002",
        "purchase_order_number": "PO-4711",
    }
    return NewQuote(**{**values, **changes})


async def approved(cpq: Salesforce, mailbox: Mailbox, quote: NewQuote) -> tuple[dict[str, str], bytes]:
    await cpq.create_quote(quote)
    await cpq.approve_quote(quote.quote_id)
    return await mailbox.next()


def event_of(body: bytes) -> Incoming:
    intake = SALESFORCE.intake
    assert intake is not None
    assert intake.references(body) == ()
    (event,) = intake.events(body, {})
    return event


@pytest.mark.parametrize("kind", [QuoteKind.NEW, QuoteKind.RENEWAL])
async def test_an_approved_quote_is_an_event_of_all_that_was_quoted(cpq: Salesforce, mailbox: Mailbox, kind: QuoteKind) -> None:
    contract = ContractId("CT-1") if kind is QuoteKind.RENEWAL else None
    quote = a_quote(kind=kind, contract_id=contract)

    _, body = await approved(cpq, mailbox, quote)

    event = event_of(body)
    found = event.body
    assert isinstance(found, QuoteApproved)
    assert found.lines == quote.lines
    assert (found.kind, found.contract_id, found.aggregate_version) == (kind, contract, 2)
    assert (found.sold_to, found.bill_to, found.ship_to, found.purchase_order_number) == ("C-1001", "C-1002", "C-1001", "PO-4711")
    assert NOW() - found.approved_at < timedelta(minutes=1)
    assert (event.correlation_id, event.legal_entity, event.native_event_id) == (quote.quote_id, "NO", f"{quote.quote_id}/2")


async def test_what_comes_in_fits_its_schema(cpq: Salesforce, mailbox: Mailbox, codec: AvroCodec) -> None:
    _, body = await approved(cpq, mailbox, a_quote())

    event = event_of(body).body

    assert codec.decode(codec.encode(event), QuoteApproved) == event


async def test_a_webhook_that_comes_three_times_is_one_message(cpq: Salesforce, mailbox: Mailbox, faults: SimulatorControl) -> None:
    await faults.set_faults("salesforce", webhook_copies=3)
    first = await approved(cpq, mailbox, a_quote())

    bodies = [first[1], *[(await mailbox.next())[1] for _ in range(2)]]

    envelopes = [envelope_of(event_of(body), system=System("salesforce"), clock=SystemClock()) for body in bodies]
    assert len({envelope.id for envelope in envelopes}) == 1
    assert envelopes[0].business_keys == {"quote": envelopes[0].body.key, "customer": "C-1001"}


async def test_a_signature_is_verified_on_the_raw_bytes(cpq: Salesforce, mailbox: Mailbox) -> None:
    headers, body = await approved(cpq, mailbox, a_quote())
    now = NOW()

    verifier(SECRET).verify(body, headers, now)

    for secret, changed, signed, at in (
        (SECRET, body + b" ", headers, now),
        ("another", body, headers, now),
        (SECRET, body, {}, now),
        (SECRET, body, headers, now + timedelta(minutes=6)),
    ):
        with pytest.raises(SignatureWrong):
            verifier(secret).verify(changed, signed, at)


async def test_a_quote_can_be_looked_at(cpq: Salesforce, mailbox: Mailbox) -> None:
    quote = a_quote()
    assert await cpq.find_quote(quote.quote_id) is None

    native = await cpq.create_quote(quote)
    draft = await cpq.find_quote(quote.quote_id)
    await cpq.approve_quote(quote.quote_id)
    done = await cpq.find_quote(quote.quote_id)

    assert draft is not None
    assert done is not None
    assert (draft.id, draft.status, draft.version) == (native, "Draft", 1)
    assert (done.id, done.status, done.version) == (native, "Approved", 2)


async def test_what_salesforce_refuses_comes_with_its_words(cpq: Salesforce) -> None:
    quote = a_quote()
    await cpq.create_quote(quote)

    with pytest.raises(SalesforceRefused, match="duplicate value") as twice:
        await cpq.create_quote(quote)
    with pytest.raises(SalesforceRefused) as unknown:
        await cpq.approve_quote(fresh("Q"))

    assert (twice.value.code, unknown.value.status) == ("DUPLICATE_VALUE", 404)


async def test_failures_are_named(simulators: str) -> None:
    async with open_salesforce(system="salesforce", url=f"{simulators}/salesforce", key="wrong") as stranger:
        with pytest.raises(BadCredential):
            await stranger.create_quote(a_quote())
    async with open_salesforce(system="salesforce", url=f"http://127.0.0.1:{ports.choose()}", key=TOKEN) as nobody:
        with pytest.raises(Unavailable):
            await nobody.create_quote(a_quote())
