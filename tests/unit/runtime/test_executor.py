"""One message through one subscriber: tried again, given up with everything that is known, or left to the next owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from loop_bench import copier, copy_of, tax_code

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.delivery.dead_letters import bury
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import DataProblem, FailureClass, Fenced, MissingParent, Throttled, Transient, Unavailable
from integration_fabric.messages.ids import MessageId
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.envelopes import MAX_OUTPUT_BYTES, encode_envelope
from integration_fabric.runtime.executor import Abandoned, Executor, Result
from integration_fabric.runtime.outcomes import Applied, Outcome, OutcomeKind
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec, Fence
from integration_fabric.runtime.records import Record
from integration_fabric.runtime.subscriber import Delivery

FENCE = Fence("copier", "topic-1", 0, 1)
Script = list[Exception | None]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def record_of(codec: Codec, event: TaxCodeChanged) -> Record:
    envelope = Envelope(event, MessageId("m-1"), "/test", FakeClock().now(), "c-1")
    out = encode_envelope(envelope, codec)
    return Record(out.topic, 0, 7, out.key, out.value, list(out.headers), 0)


def scripted(
    script: Script, seen: list[Delivery] | None = None, took: Callable[[], Awaitable[None]] | None = None
) -> Callable[[Delivery], Awaitable[Outcome | None]]:
    """A handler that fails as it is told, then succeeds."""
    rest = list(script)

    async def handle(delivery: Delivery) -> Outcome | None:
        if seen is not None:
            seen.append(delivery)
        if took is not None:
            await took()
        error = rest.pop(0) if rest else None
        if error is not None:
            raise error
        return None

    return handle


async def execute(
    codec: Codec, clock: FakeClock, handle: Callable[[Delivery], Awaitable[Outcome | None]], policy: Policy | None = None
) -> Result:
    executor = Executor(running=copier(handle, policy=policy), codec=codec, clock=clock, bury=bury, seed=1)
    async with clock.auto_advance():
        return await executor.execute(record_of(codec, tax_code("a", 3)), FENCE, clock.pause)


async def test_a_message_that_is_handled_at_once(codec: Codec, clock: FakeClock) -> None:
    seen: list[Delivery] = []
    result = await execute(codec, clock, scripted([], seen))
    assert (result.handled.kind, result.attempts, result.dead_letter, result.extra) == (OutcomeKind.APPLIED, 1, None, None)
    assert result.handled.output_types == ("erp.v1.AccountChanged",)
    assert [delivery.envelope.body for delivery in seen] == [tax_code("a", 3)]
    assert seen[0].fence == FENCE


async def test_attempts_are_counted_and_waits_for_a_system_are_not(codec: Codec, clock: FakeClock) -> None:
    seen: list[Delivery] = []
    waits = [Unavailable("down"), Throttled("429"), Unavailable("down")]
    result = await execute(codec, clock, scripted([Transient("lock"), *waits, Transient("lock")], seen))
    assert [delivery.attempt for delivery in seen] == [1, 2, 2, 2, 2, 3]
    assert result.attempts == 3


@pytest.mark.parametrize("failures", [1, 4])
async def test_a_dead_letter_tells_every_attempt(codec: Codec, clock: FakeClock, failures: int) -> None:
    result = await execute(codec, clock, scripted([Transient("lock")] * failures), Policy(max_attempts=failures))
    dead = result.dead_letter
    assert dead is not None
    assert (dead.failure, dead.code, dead.message) == (FailureClass.TRANSIENT, "transient", "lock")
    assert [attempt.code for attempt in dead.attempts] == ["transient"] * failures
    assert dead.first_failed_at == dead.attempts[0].at
    assert result.attempts == failures
    assert result.handled.kind is OutcomeKind.DEAD_LETTERED
    assert result.extra is not None


async def test_what_was_emitted_before_a_failure_is_not_put_out(codec: Codec, clock: FakeClock) -> None:
    """Handlers return outputs: a failed attempt has none, and the dead letter carries none."""
    result = await execute(codec, clock, scripted([DataProblem(field="f", value="v", hint="h")]))
    assert result.handled.outputs == ()


async def test_the_time_that_a_system_is_away_does_not_count_against_the_message(codec: Codec, clock: FakeClock) -> None:
    """Ten minutes of connections that time out, then one failure that trying again mends: it is tried again."""
    down = [Unavailable("connection timed out")] * 200
    result = await execute(codec, clock, scripted([*down, Transient("lock")], took=lambda: clock.sleep(3)))
    assert clock.monotonic_s() > 600
    assert result.handled.kind is OutcomeKind.APPLIED


async def test_a_system_that_goes_away_between_two_failures_does_not_count_either(codec: Codec, clock: FakeClock) -> None:
    down = [Unavailable("connection timed out")] * 200
    result = await execute(codec, clock, scripted([Transient("lock"), *down, Transient("lock")], took=lambda: clock.sleep(3)))
    assert clock.monotonic_s() > 600
    assert result.handled.kind is OutcomeKind.APPLIED


async def test_the_time_that_attempts_take_does_count(codec: Codec, clock: FakeClock) -> None:
    policy = Policy(max_attempts=1000, max_retry_time=timedelta(minutes=2))
    result = await execute(codec, clock, scripted([Transient("lock")] * 1000, took=lambda: clock.sleep(10)), policy)
    assert result.handled.kind is OutcomeKind.DEAD_LETTERED
    assert 120 <= clock.monotonic_s() < 150


async def test_what_an_attempt_waits_for_its_turn_does_not_count(codec: Codec, clock: FakeClock) -> None:
    """Three minutes in the queue before a busy system, then a failure that trying again mends; and once more."""
    failures: list[Exception] = [Transient("lock"), Unavailable("away"), Transient("lock")]

    async def wait_and_fail(delivery: Delivery) -> None:
        await delivery.pause(180, aside=True)
        if failures:
            raise failures.pop()

    result = await execute(codec, clock, wait_and_fail, Policy(max_retry_time=timedelta(minutes=2)))
    assert clock.monotonic_s() > 720
    assert (result.handled.kind, result.attempts) == (OutcomeKind.APPLIED, 3)


async def test_waiting_for_a_parent_uses_up_no_attempts_of_other_failures(codec: Codec, clock: FakeClock) -> None:
    """A message that has waited for what must come first may still meet a lock."""
    result = await execute(
        codec, clock, scripted([MissingParent("invoice")] * 12 + [Transient("lock")]), Policy(parent_wait=timedelta(minutes=5))
    )
    assert result.handled.kind is OutcomeKind.APPLIED


async def test_a_timeout_says_how_long_was_waited(codec: Codec, clock: FakeClock) -> None:
    result = await execute(codec, clock, scripted([TimeoutError()]))
    assert result.dead_letter is not None
    assert result.dead_letter.failure is FailureClass.UNKNOWN
    assert "0:00:10" in result.dead_letter.message


@pytest.mark.parametrize("error", [Fenced("another's"), Abandoned()])
async def test_a_partition_that_goes_makes_no_dead_letter(codec: Codec, clock: FakeClock, error: Exception) -> None:
    with pytest.raises(type(error)):
        await execute(codec, clock, scripted([error]))


async def test_an_output_that_breaks_its_schema_is_a_defect_of_this_message(codec: Codec, clock: FakeClock) -> None:
    async def handle(delivery: Delivery) -> Outcome:
        return Applied((copy_of(delivery.envelope.body).model_copy(update={"aggregate_version": "no number"}),))

    result = await execute(codec, clock, handle)
    assert result.dead_letter is not None
    assert (result.dead_letter.failure, result.dead_letter.code) == (FailureClass.DEFECT, "contract-broken")
    assert "aggregate_version" in result.dead_letter.message


async def test_r19_an_output_too_large_for_a_topic_is_a_defect_of_this_message(codec: Codec, clock: FakeClock) -> None:
    """R19: it is a dead letter, and no transaction is wedged by it. One that got into a transaction would poison everything in it."""

    async def handle(delivery: Delivery) -> Outcome:
        return Applied((copy_of(delivery.envelope.body).model_copy(update={"name": "x" * MAX_OUTPUT_BYTES}),))

    result = await execute(codec, clock, handle)
    assert result.dead_letter is not None
    assert result.dead_letter.code == "contract-broken"


async def test_a_schema_that_is_new_here_is_learnt(registry: MemoryRegistry, codec: Codec, clock: FakeClock) -> None:
    """The value's schema id was never met by this worker, and the registry is away at first."""

    class Away(MemoryRegistry):
        failures = 2

        def schema(self, schema_id: int) -> str:
            if self.failures:
                self.failures -= 1
                raise Unavailable("registry: connection refused")
            return registry.schema(schema_id)

    reader = AvroCodec(Away())
    result = await Executor(running=copier(lambda _: _applied()), codec=reader, clock=clock, bury=bury).execute(
        record_of(codec, tax_code("a", 3)), FENCE, _at_once
    )
    assert (result.handled.kind, result.attempts) == (OutcomeKind.APPLIED, 1)


async def _applied() -> Outcome:
    return Applied()


async def _at_once(seconds: float, *, aside: bool = False) -> None:
    assert seconds > 0


async def test_no_bound_runs_while_an_attempt_waits_for_the_store(codec: Codec, clock: FakeClock) -> None:
    """An hour in which what a call was answered could not be written down is no time of the message (protocol.md, K)."""
    attempts = 0

    async def locked_beside_an_outage(delivery: Delivery) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 2:
            await delivery.pause(3600)
        if attempts < 4:
            raise Transient("lock")

    executor = Executor(running=copier(locked_beside_an_outage), codec=codec, clock=clock, bury=bury, seed=1)
    async with clock.auto_advance():
        result = await executor.execute(record_of(codec, tax_code("k", 1)), FENCE, clock.pause)
    assert result.handled.kind is OutcomeKind.APPLIED
    assert result.attempts == 4
