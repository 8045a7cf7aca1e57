"""An action says in its annotations what it carries out and what it answers; what makes no sense fails where it is declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryCrossReferences, MemoryEffects, MemoryLeases
from integration_fabric.connector_kit.actions import Action, action
from integration_fabric.delivery.ports import EffectState
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.envelope import Coordinates, Envelope, text_headers
from integration_fabric.messages.ids import CustomerId, LegalEntity, MessageId, OrderId, QuoteId, System
from integration_fabric.messages.orders import ActivateOrder, CreateOrder, OrderActivated, OrderActivationRejected, OrderBooked
from integration_fabric.messages.problems import Problem
from integration_fabric.messages.quotes import QuoteApproved
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.envelopes import Outputs
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Codec, Fence, TakenLease
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Delivery, Handled

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
COMMAND = ActivateOrder(order_id=OrderId("SO-1"), legal_entity=LegalEntity("no"))
DONE = OrderActivated(order_id=OrderId("SO-1"), legal_entity=LegalEntity("no"), activated_at=NOW, aggregate_version=1)
REFUSED = OrderActivationRejected(
    order_id=OrderId("SO-1"), problems=(Problem(entity="order", id="SO-1", field="state", code="cancelled"),), aggregate_version=1
)


@dataclass
class Erp:
    """What the action may touch."""

    answer: OrderActivated | OrderActivationRejected = DONE
    keys: list[str] = field(default_factory=list)


@action(Strategy.LOOKUP_FIRST)
async def activate(command: ActivateOrder, call: Context[Erp]) -> OrderActivated | OrderActivationRejected:
    call.needs.keys.append(call.key("activate"))
    return call.needs.answer


@activate.read_back
async def find_activated(command: ActivateOrder, call: Context[Erp]) -> OrderActivated | None:
    return None


# -- declaring


def test_an_action_is_a_function() -> None:
    """In a unit test it is called as one."""
    assert activate.command is ActivateOrder


def test_a_reply_of_another_command_is_refused_with_both_names() -> None:
    async def odd(command: ActivateOrder, call: Context[Erp]) -> OrderBooked:
        raise NotImplementedError

    with pytest.raises(TypeError, match=r"odd returns .*OrderBooked.*no replies to ActivateOrder"):
        action(Strategy.UPSERT)(odd)


def test_an_event_is_no_command() -> None:
    async def odd(event: QuoteApproved, call: Context[Erp]) -> OrderActivated:
        raise NotImplementedError

    with pytest.raises(TypeError, match="QuoteApproved is not a command"):
        action(Strategy.UPSERT)(odd)  # type: ignore[type-var]


@pytest.mark.parametrize("strategy", [Strategy.LOOKUP_FIRST, Strategy.NATIVE_KEY])
def test_a_strategy_that_asks_needs_somebody_to_ask(strategy: Strategy) -> None:
    async def alone(command: ActivateOrder, call: Context[Erp]) -> OrderActivated:
        raise NotImplementedError

    bench = Bench(None, declared=action(strategy)(alone))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"ActivateOrder of tryton: strategy {strategy} needs a read_back"):
        bench.bind()


# -- carrying out


class Bench:
    """One action of one system, and its effect log."""

    def __init__(self, codec: Codec, declared: Action[ActivateOrder, Erp, OrderActivated | OrderActivationRejected] = activate) -> None:
        self.clock, self.declared, self.erp = FakeClock(), declared, Erp()
        self.store = MemoryStore(self.clock)
        self.links = MemoryCrossReferences(self.store)
        self.log = MemoryEffects(self.store, self.links)
        self.outputs = Outputs(subscriber="tryton.activate-order", codec=codec, clock=self.clock)

    def bind(self) -> object:
        return self.declared.bind(System("tryton"), self.erp, effects=self.log, clock=self.clock)

    async def run(self, *, system: str | None = "tryton") -> Handled:
        running = self.declared.bind(System("tryton"), self.erp, effects=self.log, clock=self.clock)
        fence = Fence(running.name, "topic-1", 0, 1)
        await MemoryLeases(self.store).take(running.name, [TakenLease(TopicPartition("t", 0), "topic-1", 1)], "w")
        envelope = Envelope(COMMAND, MessageId("cmd-1"), "/test", NOW, "journey-1", system=System(system) if system else None)
        return await running.run(Delivery(envelope, Coordinates("t", 0, 7), fence, 1, NOW, self.outputs, self.clock.pause))


async def test_the_reply_answers_the_command_and_says_which_system_it_is_from(codec: Codec) -> None:
    bench = Bench(codec)
    found = await bench.run()
    (output,) = found.outputs
    headers = text_headers(output.headers)
    assert (found.kind, found.detail) == (OutcomeKind.APPLIED, "")
    assert codec.decode(output.value or b"", OrderActivated) == DONE
    assert (headers["ce_causationid"], headers["ce_correlationid"], headers["ce_system"]) == ("cmd-1", "journey-1", "tryton")
    assert bench.erp.keys == ["cmd-1:activate"]


async def test_a_refusal_is_put_out_and_said_in_its_codes(codec: Codec) -> None:
    bench = Bench(codec)
    bench.erp.answer = REFUSED
    found = await bench.run()
    assert (found.detail, found.output_types) == ("refused: cancelled SO-1", ("erp.v1.OrderActivationRejected",))
    assert bench.log.state("tryton.activate-order", "cmd-1") is EffectState.REFUSED


async def test_a_command_for_another_system_is_left_alone(codec: Codec) -> None:
    bench = Bench(codec)
    found = await bench.run(system="tryton-us")
    assert (found.kind, found.detail, bench.erp.keys) == (OutcomeKind.FILTERED, "for tryton-us", [])
    assert bench.log.state("tryton.activate-order", "cmd-1") is None


async def test_a_command_for_no_system_in_particular_is_carried_out(codec: Codec) -> None:
    bench = Bench(codec)
    assert (await bench.run(system=None)).kind is OutcomeKind.APPLIED


async def test_native_ids_in_the_reply_become_cross_references(codec: Codec) -> None:
    @action(Strategy.UPSERT)
    async def create(command: CreateOrder, call: Context[Erp]) -> OrderBooked:
        return OrderBooked(
            order_id=command.order_id, quote_id=command.quote_id, legal_entity=LegalEntity("no"), currency="NOK", native_id="17",
            number="S17", total_amount=Decimal(1), aggregate_version=1,
        )  # fmt: skip

    bench = Bench(codec)
    running = create.bind(System("tryton"), bench.erp, effects=bench.log, clock=bench.clock)
    await MemoryLeases(bench.store).take(running.name, [TakenLease(TopicPartition("t", 0), "topic-1", 1)], "w")
    command = CreateOrder(
        order_id=OrderId("SO-1"), quote_id=QuoteId("Q-1"), customer_id=CustomerId("C-1"), legal_entity=LegalEntity("no"), currency="NOK",
        bill_to="C-1", ship_to="C-1", payment_terms="NET30",
    )  # fmt: skip
    envelope = Envelope(command, MessageId("cmd-1"), "/test", NOW, "journey-1")
    fence = Fence(running.name, "topic-1", 0, 1)
    await running.run(Delivery(envelope, Coordinates("t", 0, 7), fence, 1, NOW, bench.outputs, bench.clock.pause))
    assert await bench.links.native("order", "SO-1", "tryton") == "17"
