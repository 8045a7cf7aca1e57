"""A shadow: what a handler would make of messages beside what was made of them, and nothing written (protocol.md, H)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryCrossReferences, MemoryEffects, MemoryLeases
from integration_fabric.connector_kit.actions import action
from integration_fabric.delivery.nothing_kept import NothingKept
from integration_fabric.delivery.shadow import NOTHING, WAITS_S, Difference, Shadow, Shadowed, Verdict, differences
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.delivery.withholding import before_writing
from integration_fabric.messages.envelope import Coordinates, Envelope
from integration_fabric.messages.errors import BadCredential, DataProblem, MissingParent, Transient, Unavailable
from integration_fabric.messages.ids import CustomerId, InterventionId, InvoiceId, LegalEntity, MessageId, System
from integration_fabric.messages.interventions import InterventionOpened, InterventionRejected, OpenIntervention, Severity
from integration_fabric.messages.problems import Problem
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.envelopes import Outputs, encode_envelope
from integration_fabric.runtime.ports import Fence, TakenLease
from integration_fabric.runtime.records import Record, TopicPartition
from integration_fabric.runtime.subscriber import Delivery

SYSTEM = System("gainsight")
COMMAND = OpenIntervention(
    intervention_id=InterventionId("I-1"),
    customer_id=CustomerId("C-1"),
    legal_entity=LegalEntity("NO"),
    invoice_id=InvoiceId("IN-1"),
    severity=Severity.HIGH,
    reason="a card was declined",
)
TOPIC = COMMAND.topic
Opened = InterventionOpened | InterventionRejected


def opened(native_id: str = "cta-1", version: int = 1) -> InterventionOpened:
    return InterventionOpened(
        intervention_id=COMMAND.intervention_id, customer_id=COMMAND.customer_id, native_id=native_id, aggregate_version=version
    )


def rejected() -> InterventionRejected:
    problem = Problem(code="unknown-customer", entity="customer", id="C-1", field="customer_id", hint="add it")
    return InterventionRejected(intervention_id=COMMAND.intervention_id, problems=(problem,), aggregate_version=1)


@dataclass
class Bench:
    """A subscriber whose handler does what a test says, its log, and a topic."""

    codec: AvroCodec
    clock: FakeClock = field(default_factory=FakeClock)
    answers: list[Opened | Exception | None] = field(default_factory=list)
    """What the handler does, one after the other: answers, fails, or, where None, writes. The last goes on for ever."""
    sent: list[str] = field(default_factory=list)
    """What was written to the system."""

    def __post_init__(self) -> None:
        store = MemoryStore(self.clock)
        self.log = MemoryEffects(store, MemoryCrossReferences(store))
        self.leases = MemoryLeases(store)

    async def handle(self, command: OpenIntervention, call: Context[None]) -> Opened:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            before_writing("POST", "/v2/cockpit/cta", 120)
            self.sent.append(f"{command.key} {call.key()}")
            return opened()
        return answer

    def running(self, effects: MemoryEffects | NothingKept, strategy: Strategy = Strategy.UPSERT):
        handler: Callable[[OpenIntervention, Context[None]], Awaitable[Opened]] = self.handle

        async def open_intervention(command: OpenIntervention, call: Context[None]) -> InterventionOpened | InterventionRejected:
            return await handler(command, call)

        return action(strategy)(open_intervention).bind(SYSTEM, None, effects=effects, clock=self.clock)

    def envelope(self, system: System | None = None) -> Envelope:
        return Envelope(COMMAND, MessageId("m-1"), "/test", self.clock.now(), "c-1", system=system)

    def record(self, system: System | None = None, value: bytes | None = None) -> Record:
        made = encode_envelope(self.envelope(system), self.codec)
        return Record(TOPIC, 0, 7, made.key, value or made.value, list(made.headers), 0)

    async def live(self, *answers: Opened | None) -> None:
        """Have it handled as a worker does."""
        self.answers[:] = answers
        running = self.running(self.log)
        fence = Fence(running.name, "topic-1", 0, 1)
        await self.leases.take(running.name, [TakenLease(TopicPartition(TOPIC, 0), "topic-1", 1)], "w")
        outputs = Outputs(subscriber=running.name, codec=self.codec, clock=self.clock)
        async with self.clock.auto_advance():
            await running.run(Delivery(self.envelope(), Coordinates(TOPIC, 0, 7), fence, 1, self.clock.now(), outputs, self.clock.pause))

    async def shadow(self, *answers: Opened | Exception | None, record: Record | None = None) -> Shadowed:
        """What would become of the message."""
        self.answers[:] = answers
        shadow = Shadow(self.running(NothingKept()), self.codec, self.clock, self.log)
        async with self.clock.auto_advance():
            (found,) = await shadow.of([record or self.record()])
        return found


@pytest.fixture
def bench(codec: AvroCodec) -> Bench:
    return Bench(codec)


async def test_the_same_answer_is_the_same_whenever_it_is_given(bench: Bench) -> None:
    await bench.live(opened(version=1))
    found = await bench.shadow(opened(version=2))
    assert (found.verdict, found.differences) == (Verdict.SAME, ())
    assert found.was == found.now == "applied: customer_success.v1.InterventionOpened"


async def test_another_value_in_the_answer_is_named(bench: Bench) -> None:
    await bench.live(opened("cta-1"))
    found = await bench.shadow(opened("cta-2"))
    assert found.verdict is Verdict.DIFFERS
    assert found.differences == (Difference("customer_success.v1.InterventionOpened native_id", "cta-1", "cta-2"),)


async def test_a_refusal_where_it_was_done_is_told(bench: Bench) -> None:
    await bench.live(opened())
    found = await bench.shadow(rejected())
    assert found.verdict is Verdict.DIFFERS
    assert found.differences == (Difference("event", "customer_success.v1.InterventionOpened", "customer_success.v1.InterventionRejected"),)
    assert found.now == "applied: refused: unknown-customer C-1"


async def test_a_write_is_told_and_not_sent(bench: Bench) -> None:
    await bench.live(opened())
    found = await bench.shadow(None)
    assert (found.verdict, found.now, bench.sent) == (Verdict.WRITES, "POST /v2/cockpit/cta, 120 bytes", [])


async def test_what_is_written_outside_a_shadow_is_sent(bench: Bench) -> None:
    await bench.live(None)
    assert bench.sent == ["I-1 m-1"]


async def test_what_was_never_handled_is_new(bench: Bench) -> None:
    found = await bench.shadow(opened())
    assert (found.verdict, found.was) == (Verdict.NEW, NOTHING)
    assert await bench.log.recall("gainsight.open-intervention", ["m-1"]) == {}, "nothing is written"


async def test_what_has_begun_and_not_ended_is_told_so(bench: Bench) -> None:
    running = bench.running(bench.log)
    await bench.leases.take(running.name, [TakenLease(TopicPartition(TOPIC, 0), "topic-1", 1)], "w")
    within = running.policy.call_timeout
    await bench.log.claim(Fence(running.name, "topic-1", 0, 1), "m-1", Coordinates(TOPIC, 0, 7), within=within)
    found = await bench.shadow(opened())
    assert (found.verdict, found.was) == (Verdict.NEW, "it has begun, and nobody knows how it ended")


async def test_what_is_another_systems_is_passed_over_as_it_was(bench: Bench) -> None:
    found = await bench.shadow(opened(), record=bench.record(System("totango")))
    assert (found.verdict, found.now) == (Verdict.SAME, "filtered: for totango")


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (DataProblem(entity="customer", field="customer_id", value="C-1", hint="add it", code="unknown-customer"), "unknown-customer: "),
        (MissingParent("no invoice IN-1"), "missing-parent: no invoice IN-1"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
async def test_a_failure_is_told_at_once(bench: Bench, failure: Exception, told: str) -> None:
    await bench.live(opened())
    found = await bench.shadow(failure)
    assert found.verdict is Verdict.FAILS
    assert found.now.startswith(told)
    assert bench.clock.monotonic_s() < 5, "nothing waits for a parent here"


async def test_a_message_that_cannot_be_read_fails(bench: Bench) -> None:
    found = await bench.shadow(opened(), record=bench.record(value=b"\x00no avro"))
    assert (found.verdict, found.was) == (Verdict.FAILS, NOTHING)
    assert found.now.startswith("undecodable: ")


async def test_what_fails_for_a_moment_is_tried_again(bench: Bench) -> None:
    found = await bench.shadow(Transient("locked"), Unavailable("away"), opened())
    assert found.verdict is Verdict.NEW


@pytest.mark.parametrize("error", [Unavailable("gainsight is not called: it is paused"), BadCredential("401")])
async def test_a_system_that_nobody_reaches_is_not_waited_for_for_ever(bench: Bench, error: Exception) -> None:
    with pytest.raises(Unavailable, match=rf"it was waited for 30 s: {error}"):
        await bench.shadow(error)
    assert WAITS_S / 2 < bench.clock.monotonic_s() <= WAITS_S


@pytest.mark.parametrize(
    ("was", "now", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2, "b": 3}, [("a", 1, 2), ("b", None, 3)]),
        ({"lines": [{"tax": "x"}]}, {"lines": [{"tax": "y"}, {"tax": "z"}]}, [("lines.0.tax", "x", "y"), ("lines.1", None, {"tax": "z"})]),
        ({"a": [1]}, {"a": {"b": 1}}, [("a", [1], {"b": 1})]),
    ],
)
def test_where_two_values_differ_is_named_by_its_path(was: object, now: object, found: list[tuple[str, object, object]]) -> None:
    assert list(differences("", was, now)) == found
