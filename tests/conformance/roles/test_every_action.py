"""The same cases for every action of every connector: done once whatever fails, and every failure named by what it says about the call."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from role_bench import Bench, Carried, Desk, Garbles, LosesAnswer, fresh
from role_jobs import Job

from connectors.simulators.control import SimulatorControl
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.delivery.withholding import Withheld, withholding_writes
from integration_fabric.local import ports
from integration_fabric.messages.base import Command
from integration_fabric.messages.errors import BadCredential, Throttled, Transient, Unavailable, UnknownOutcome, VendorDrift
from integration_fabric.runtime.outcomes import OutcomeKind

# Once


async def test_it_is_done_once(job: Job, bench: Bench, desk: Desk) -> None:
    command = await job.make(bench)
    assert await job.effects(bench, command) == 0

    carried = await desk.carry_out(bench, command)

    assert type(carried.reply) is command.replies.done
    assert carried.reply.key == command.key
    assert carried.reply.aggregate_version > 1_600_000_000_000_000, "microseconds since 1970"
    assert await job.effects(bench, command) == 1


async def test_the_same_message_twice_is_done_once(job: Job, bench: Bench) -> None:
    command, message_id = await job.make(bench), fresh("m")

    first = await bench.call(command, message_id=message_id)
    second = await bench.call(command, message_id=message_id)

    assert second == first
    assert await job.effects(bench, command) == 1


async def test_a_second_attempt_at_the_step_is_done_once(job: Job, bench: Bench) -> None:
    command = await job.make(bench)

    first = await bench.call(command, message_id=fresh("m"))
    second = await bench.call(command, message_id=fresh("m"))

    assert type(first) is type(second) is command.replies.done
    assert await job.effects(bench, command) == 1


async def test_reading_back_finds_what_was_done_and_nothing_else(job: Job, bench: Bench) -> None:
    command = await job.make(bench)
    if bench.action(command).strategy is Strategy.UPSERT:
        assert bench.action(command).find is None, "an upsert is sent again instead"
        return
    assert await bench.read_back(command) is None

    reply = await bench.call(command)

    assert await bench.read_back(command) == reply


# Nobody knows


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_whichever_write_is_lost_it_is_done_once(job: Job, bench: Bench, desk: Desk, lost: str) -> None:
    nth, writes = 1, 1
    while nth <= writes:
        command = await job.make(bench)
        transport = LosesAnswer(nth, lost)
        async with bench.through(transport) as client:
            carried = await desk.carry_out(bench, command, client=client)

        assert type(carried.reply) is command.replies.done
        assert await job.effects(bench, command) == 1
        nth, writes = nth + 1, max(writes, transport.writes - 1)
    assert nth > 1


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_lost_write_is_an_unknown_outcome(job: Job, bench: Bench, lost: str) -> None:
    command = await job.make(bench)

    async with bench.through(LosesAnswer(1, lost)) as client:
        with pytest.raises(UnknownOutcome):
            await bench.call(command, client=client)


async def test_an_effect_whose_answer_never_comes_is_resolved(job: Job, bench: Bench, desk: Desk, faults: SimulatorControl) -> None:
    command, message_id = await job.make(bench), fresh("m")
    await faults.set_faults(job.vendor, effect_then_timeout_rate=1, hang_ms=20_000)

    async def recover(seconds: float, *, aside: bool = False) -> None:
        await faults.set_faults(job.vendor, effect_then_timeout_rate=0)

    async def carry_out() -> Carried:
        async with bench.opened(answer_within=timedelta(seconds=0.5)) as client:
            return await desk.carry_out(bench, command, client=client, message_id=message_id, pause=recover)

    try:
        carried = await carry_out()
    except Unavailable:
        # With a native key it is sent again at once, and lost again: then the lane waits for the system, and goes on from the open intent.
        assert bench.action(command).strategy is Strategy.NATIVE_KEY
        await recover(0)
        carried = await carry_out()

    assert carried.handled.kind is OutcomeKind.APPLIED
    assert type(carried.reply) is command.replies.done
    assert await job.effects(bench, command) == 1


async def test_a_5xx_after_a_write_is_an_unknown_outcome(job: Job, bench: Bench, faults: SimulatorControl) -> None:
    command, message_id = await job.make(bench), fresh("m")
    await faults.set_faults(job.vendor, effect_then_error_rate=1)

    with pytest.raises(UnknownOutcome, match="502"):
        await bench.call(command, message_id=message_id)

    await faults.set_faults(job.vendor, effect_then_error_rate=0)
    assert type(await bench.call(command, message_id=message_id)) is command.replies.done
    assert await job.effects(bench, command) == 1


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b'{"welcome": true}', b"\xff\xfe", b"[7]"])
@pytest.mark.parametrize("reads_too", [True, False])
async def test_an_answer_that_does_not_parse_is_drift(job: Job, bench: Bench, body: bytes, reads_too: bool) -> None:
    command = await job.make(bench)

    async with bench.through(Garbles(body, reads_too=reads_too)) as client:
        with pytest.raises(VendorDrift):
            await bench.call(command, client=client)


# Nothing was done


async def test_in_a_shadow_nothing_is_written(job: Job, bench: Bench) -> None:
    """Before it is done, the first write is as far as it comes; afterwards it finds what is there, or would set it again."""
    command = await job.make(bench)
    before = await writes_so_far(bench)
    with withholding_writes(), pytest.raises(Withheld):
        await bench.call(command)
    await nothing_done(job, bench, command, before)

    reply = await bench.call(command)
    done = await writes_so_far(bench)
    with suppress(Withheld), withholding_writes():
        again = await bench.call(command)
        assert again.model_copy(update={"aggregate_version": 0}) == reply.model_copy(update={"aggregate_version": 0})
    assert await job.effects(bench, command) == 1
    assert await writes_so_far(bench) == done


async def nothing_done(job: Job, bench: Bench, command: Command, before: int) -> None:
    assert await job.effects(bench, command) == 0
    if bench.site.simulated:
        assert len(await bench.control.calls(bench.site.simulated)) == before, "no write reached it"


async def writes_so_far(bench: Bench) -> int:
    return len(await bench.control.calls(bench.site.simulated)) if bench.site.simulated else 0


async def test_where_nothing_listens_it_is_unavailable(job: Job, bench: Bench, desk: Desk) -> None:
    command, before = await job.make(bench), await writes_so_far(bench)

    async with bench.opened(url=f"http://127.0.0.1:{ports.choose()}") as client:
        with pytest.raises(Unavailable):
            await desk.carry_out(bench, command, client=client)

    await nothing_done(job, bench, command, before)


async def test_a_wrong_key_is_a_bad_credential(job: Job, bench: Bench, desk: Desk) -> None:
    command, before = await job.make(bench), await writes_so_far(bench)

    async with bench.opened(key="wrong") as client:
        with pytest.raises(BadCredential):
            await desk.carry_out(bench, command, client=client)

    await nothing_done(job, bench, command, before)


async def test_a_read_that_nobody_answers_is_unavailable(job: Job, bench: Bench, desk: Desk, faults: SimulatorControl) -> None:
    command, before = await job.make(bench), await writes_so_far(bench)
    await faults.set_faults(job.vendor, offline=True)

    with pytest.raises(Unavailable):
        await desk.carry_out(bench, command)

    await faults.set_faults(job.vendor, offline=False)
    await nothing_done(job, bench, command, before)


async def test_429_is_throttled_for_as_long_as_it_says(job: Job, bench: Bench, desk: Desk, faults: SimulatorControl) -> None:
    command, before = await job.make(bench), await writes_so_far(bench)
    await faults.set_faults(job.vendor, throttle_rate=1, retry_after_s=3)

    with pytest.raises(Throttled) as throttled:
        await desk.carry_out(bench, command)

    assert throttled.value.retry_after == timedelta(seconds=3)
    await faults.set_faults(job.vendor, throttle_rate=0)
    await nothing_done(job, bench, command, before)


async def test_401_is_a_bad_credential(job: Job, bench: Bench, desk: Desk, faults: SimulatorControl) -> None:
    command, before = await job.make(bench), await writes_so_far(bench)
    await faults.set_faults(job.vendor, expired_token=True)

    with pytest.raises(BadCredential):
        await desk.carry_out(bench, command)

    await faults.set_faults(job.vendor, expired_token=False)
    await nothing_done(job, bench, command, before)


async def test_a_5xx_on_a_read_is_transient(job: Job, bench: Bench, desk: Desk, faults: SimulatorControl) -> None:
    command, before = await job.make(bench), await writes_so_far(bench)
    await faults.set_faults(job.vendor, error_rate=1)

    with pytest.raises(Transient):
        await desk.carry_out(bench, command)

    await faults.set_faults(job.vendor, error_rate=0)
    await nothing_done(job, bench, command, before)


async def test_what_came_to_nothing_is_done_by_the_next_attempt(job: Job, bench: Bench, desk: Desk, faults: SimulatorControl) -> None:
    command, message_id = await job.make(bench), fresh("m")
    await faults.set_faults(job.vendor, throttle_rate=1)
    with pytest.raises(Throttled):
        await desk.carry_out(bench, command, message_id=message_id)
    await faults.set_faults(job.vendor, throttle_rate=0)

    carried = await desk.carry_out(bench, command, message_id=message_id)

    assert type(carried.reply) is command.replies.done
    assert await job.effects(bench, command) == 1
