"""One process with its instances in memory: tell it events, look at what it sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import TypeVar

from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.instances import MemoryInstances
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryLeases
from integration_fabric.canonical.routing import Routes
from integration_fabric.messages.base import Command, Event, Message
from integration_fabric.messages.catalogue import BY_TOPIC
from integration_fabric.messages.entitlements import EntitlementsGranted, EntitlementsRejected
from integration_fabric.messages.envelope import Coordinates, Envelope
from integration_fabric.messages.fabric import ProcessAction, ProcessActionKind, ProcessChanged, ProcessState
from integration_fabric.messages.ids import ContractId, CustomerId, LegalEntity, MessageId, OrderId, QuoteId, SubscriptionId, System
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.messages.onboardings import OnboardingRejected, OnboardingStarted
from integration_fabric.messages.orders import (
    ActivateOrder,
    CreateOrder,
    OrderActivated,
    OrderBooked,
    OrderCancellationRejected,
    OrderCancelled,
    OrderRejected,
)
from integration_fabric.messages.problems import Problem
from integration_fabric.messages.quotes import (
    BillingPeriod,
    ChargeType,
    QuoteApproved,
    QuoteLine,
    QuoteRejected,
    QuoteValidated,
    ValidateQuote,
)
from integration_fabric.messages.subscriptions import StartSubscription, SubscriptionActivated, SubscriptionRejected
from integration_fabric.process_engine.definition import Process
from integration_fabric.process_engine.state import Instance
from integration_fabric.process_engine.subscriber import running, subscriber_name
from integration_fabric.processes.quote_to_activation import QUOTE_TO_ACTIVATION
from integration_fabric.runtime.envelopes import Outputs
from integration_fabric.runtime.ports import Codec, Fence, TakenLease
from integration_fabric.runtime.records import Outgoing, TopicPartition
from integration_fabric.runtime.subscriber import Delivery, Handled

M = TypeVar("M", bound=Message)
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ROLES = {"erp": "tryton", "billing": "stripe", "support": "zendesk", "customer-success": "gainsight"}
ROUTES = Routes({(role, "*"): System(name) for role, name in ROLES.items()})


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that the process put out."""

    id: MessageId
    body: Message
    system: str | None
    headers: dict[str, str]


@dataclass
class Office:
    """A process at work."""

    codec: Codec
    process: Process = QUOTE_TO_ACTIVATION
    routes: Routes | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.instances = MemoryInstances(self.store)
        self._offsets = count()
        self._open()

    def reopen(self, *, routes: Routes | None = None, process: Process | None = None) -> None:
        """As a worker that starts with other settings, or a later version, on what is kept."""
        self.routes, self.process = routes or self.routes, process or self.process
        self._open()

    def _open(self) -> None:
        self._running = running(self.process, instances=self.instances, routes=self.routes or ROUTES)
        self._fence = Fence(subscriber_name(self.process), "topic-1", 0, 1)
        self._outputs = Outputs(subscriber=self._running.name, codec=self.codec, clock=self.clock)

    async def tell(
        self, event: Event, *, message_id: str | None = None, answers: MessageId | None = None, offset: int | None = None
    ) -> Handled:
        """One event arrives. What it makes the process send is kept."""
        await self._take()
        place = Coordinates(type(event).topic, 0, next(self._offsets) if offset is None else offset)
        identity = MessageId(message_id or f"m-{place.offset}")
        envelope = Envelope(
            event,
            identity,
            "/test",
            self.clock.now(),
            "journey-1",
            answers,
            legal_entity=getattr(event, "legal_entity", None),
            business_keys=event.search_keys(),
            position=place,
        )
        delivery = Delivery(envelope, place, self._fence, 1, self.clock.now(), self._outputs, self.clock.pause)
        found = await self._running.run(delivery)
        self.sent += [self._read(output) for output in found.outputs]
        return found

    async def answer(self, command: type[Command], reply: Event, *, message_id: str | None = None) -> Handled:
        """The reply to the latest command of a type."""
        return await self.tell(reply, answers=self.last(command).id, message_id=message_id)

    def commands(self) -> list[type[Message]]:
        """The types of all commands, in order."""
        return [type(sent.body) for sent in self.sent if isinstance(sent.body, Command)]

    def bodies(self, kind: type[M]) -> list[M]:
        return [sent.body for sent in self.sent if isinstance(sent.body, kind)]

    def last(self, kind: type[Message]) -> Sent:
        return [sent for sent in self.sent if isinstance(sent.body, kind)][-1]

    def states(self) -> list[ProcessState]:
        """The states that the process has announced."""
        return [body.state for body in self.bodies(ProcessChanged)]

    async def instance(self) -> Instance:
        """The only one."""
        (row,) = await self.instances.find()
        return row.instance

    async def _take(self) -> None:
        if not self.store.leases:
            await MemoryLeases(self.store).take(self._fence.subscriber, [TakenLease(TopicPartition("in", 0), "topic-1", 1)], "w")

    def _read(self, output: Outgoing) -> Sent:
        headers = {name: value.decode() for name, value in output.headers}
        assert output.value is not None
        body = self.codec.decode(output.value, BY_TOPIC[output.topic])
        return Sent(MessageId(headers["ce_id"]), body, headers.get("ce_system"), headers)


def line(line_id: str, charge: ChargeType = ChargeType.RECURRING, tax_code: str = "VAT25") -> QuoteLine:
    recurring = charge is not ChargeType.ONE_OFF
    return QuoteLine(
        line_id=line_id,
        product_id=f"P-{line_id}",
        description="Seats",
        quantity=Decimal("3.0000"),
        unit="seat",
        unit_price=Decimal("10.5000"),
        charge_type=charge,
        billing_period=BillingPeriod.MONTH if recurring else BillingPeriod.NONE,
        starts_on=date(2026, 2, 1),
        ends_on=date(2027, 1, 31) if recurring else None,
        tax_code=tax_code,
        price_book_version="2026-1",
    )


def approved(*lines: QuoteLine, quote: str = "Q-1", version: int = 1) -> QuoteApproved:
    return QuoteApproved(
        quote_id=QuoteId(quote),
        customer_id=CustomerId("C-1"),
        legal_entity=LegalEntity("no"),
        currency="NOK",
        sold_to="C-1",
        bill_to="C-1",
        ship_to="C-1",
        payment_terms="NET30",
        approved_at=NOW,
        lines=lines or (line("1"), line("2", ChargeType.ONE_OFF)),
        aggregate_version=version,
    )


def problem(tax_code: str = "VAT25") -> Problem:
    return Problem(entity="tax-code", id=tax_code, field="lines[0].tax_code", code="unknown-tax-code", hint="add it to the ERP")


def tax_code(code: str = "VAT25") -> TaxCodeChanged:
    return TaxCodeChanged(tax_code=code, name="VAT", rate=Decimal("0.2500"), legal_entity=LegalEntity("no"), aggregate_version=1)


NO, Q, ORDER, SUBSCRIPTION, CONTRACT = LegalEntity("no"), QuoteId("Q-1"), OrderId("SO-Q-1"), SubscriptionId("SUB-Q-1"), ContractId("CT-Q-1")
VALIDATED = QuoteValidated(quote_id=Q, legal_entity=NO, aggregate_version=1)
REJECTED = QuoteRejected(quote_id=Q, legal_entity=NO, problems=(problem(),), aggregate_version=1)
BOOKED = OrderBooked(
    order_id=ORDER, quote_id=Q, legal_entity=NO, currency="NOK", native_id="17", number="S17", total_amount=Decimal(63), aggregate_version=2
)
NOT_BOOKED = OrderRejected(order_id=ORDER, quote_id=Q, problems=(problem(),), aggregate_version=2)
BILLED = SubscriptionActivated(subscription_id=SUBSCRIPTION, order_id=ORDER, native_id="sub_1", activated_at=NOW, aggregate_version=3)
NOT_BILLED = SubscriptionRejected(
    subscription_id=SUBSCRIPTION,
    order_id=ORDER,
    problems=(Problem(entity="customer", id="C-1", field="bill_to", code="no-address"),),
    aggregate_version=3,
)
ACTIVATED = OrderActivated(order_id=ORDER, legal_entity=NO, activated_at=NOW, aggregate_version=4)
CANCELLED = OrderCancelled(order_id=ORDER, legal_entity=NO, aggregate_version=5)
NOT_CANCELLED = OrderCancellationRejected(order_id=ORDER, problems=(problem(),), aggregate_version=5)
GRANTED = EntitlementsGranted(contract_id=CONTRACT, entitlement_ids=("e-1",), aggregate_version=6)
NOT_GRANTED = EntitlementsRejected(contract_id=CONTRACT, problems=(problem(),), aggregate_version=6)
STARTED = OnboardingStarted(contract_id=CONTRACT, customer_id=CustomerId("C-1"), native_id="cta_1", aggregate_version=7)
NOT_STARTED = OnboardingRejected(contract_id=CONTRACT, problems=(problem(),), aggregate_version=7)


def timer(instance_id: str, step: str, arm: int = 1, process: str = QUOTE_TO_ACTIVATION.name) -> ProcessAction:
    return ProcessAction(
        instance_id=instance_id,
        process=process,
        action=ProcessActionKind.TIMER,
        step=step,
        arm=arm,
        due_at=NOW,
        requested_by="timer",
        aggregate_version=1,
    )


async def until_activation(office: Office) -> None:
    """A quote goes well up to its activation."""
    await office.tell(approved())
    await office.answer(ValidateQuote, VALIDATED)
    await office.answer(CreateOrder, BOOKED)
    await office.answer(StartSubscription, BILLED)
    await office.answer(ActivateOrder, ACTIVATED)
