"""Outside effects that happen once, whatever becomes of the call (protocol.md, C and D)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, lists, sampled_from
from vendor import MESSAGE, NOT_SENT, SETTLES, SUBSCRIBER, TIMEOUT, TURNED_DOWN, UNANSWERED, Desk, Ending, handled

from integration_fabric.delivery.effects import MARGIN, MAX_ROUNDS, Once
from integration_fabric.delivery.governor import NoGate
from integration_fabric.delivery.ports import EffectState
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.errors import Fenced, Unavailable, UnknownOutcome, VendorDrift
from integration_fabric.runtime.executor import Abandoned
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.subscriber import Delivery, Handled

RESOLVED = [strategy for strategy in Strategy if strategy is not Strategy.UNSAFE]
"""Those that find out by themselves what became of a call."""
every_strategy = pytest.mark.parametrize("strategy", RESOLVED)


def state(desk: Desk) -> EffectState | None:
    return desk.log.state(SUBSCRIBER, MESSAGE)


async def handle(desk: Desk, offset: int = 7) -> Handled | Exception:
    async with desk.clock.auto_advance():
        await desk.take_over()
        return await desk.handle(offset)


# -- one call, each of its endings


@every_strategy
async def test_a_call_that_is_answered_is_done(strategy: Strategy) -> None:
    desk = Desk(strategy, [Ending.DONE])
    assert await handle(desk) == handled()
    assert (len(desk.sends), len(desk.done), state(desk)) == (1, 1, EffectState.DONE)
    assert desk.finds == [], "nothing is asked where the answer is known"


@every_strategy
async def test_a_refusal_is_a_reply_and_closes_the_effect(strategy: Strategy) -> None:
    desk = Desk(strategy, [Ending.REFUSED])
    assert await handle(desk) == handled("refused")
    assert (len(desk.sends), desk.done, state(desk)) == (1, [], EffectState.REFUSED)


@every_strategy
@pytest.mark.parametrize("ending", NOT_SENT)
async def test_what_was_not_sent_is_sent_again_as_if_it_had_never_been(strategy: Strategy, ending: Ending) -> None:
    """However often; the effect is open in between for nobody, so that a person may take the message away."""
    desk = Desk(strategy, [ending] * 3)
    await desk.take_over()
    async with desk.clock.auto_advance():
        with suppress(type(NOT_SENT[ending])):
            await desk.once().run(desk.delivery())
        assert state(desk) is None
        assert await desk.handle() == handled()
    assert (len(desk.sends), len(desk.done), desk.finds) == (4, 1, [])


@every_strategy
@pytest.mark.parametrize("ending", TURNED_DOWN)
async def test_what_the_system_turns_down_is_for_a_person_and_was_not_done(strategy: Strategy, ending: Ending) -> None:
    desk = Desk(strategy, [ending])
    assert await handle(desk) is TURNED_DOWN[ending]
    assert (len(desk.sends), desk.done, state(desk)) == (1, [], None)


@every_strategy
@pytest.mark.parametrize("ending", sorted(UNANSWERED))
async def test_an_unknown_outcome_is_resolved_and_the_effect_is_there_once(strategy: Strategy, ending: Ending) -> None:
    desk = Desk(strategy, [ending])
    assert await handle(desk) == handled()
    await desk.clock.advance(60)
    assert (len(desk.done), state(desk)) == (1, EffectState.DONE)


@every_strategy
@pytest.mark.parametrize("ending", [Ending.DONE_THEN_DEFECT, Ending.DONE_THEN_DRIFT])
async def test_where_our_own_code_fails_after_the_call_nobody_sends_again(strategy: Strategy, ending: Ending) -> None:
    desk = Desk(strategy, [ending])
    assert isinstance(await handle(desk), KeyError | VendorDrift)
    assert (len(desk.sends), len(desk.done), state(desk)) == (1, 1, EffectState.UNKNOWN)


# -- when an unknown outcome is resolved


async def test_a_system_that_knows_our_keys_is_called_again_at_once() -> None:
    desk = Desk(Strategy.NATIVE_KEY, [Ending.DONE_UNANSWERED])
    await handle(desk)
    assert desk.sends[1] - desk.sends[0] < timedelta(milliseconds=100)
    assert len(desk.done) == 1


@pytest.mark.parametrize("strategy", [Strategy.UPSERT, Strategy.LOOKUP_FIRST])
@pytest.mark.parametrize("ending", sorted(UNANSWERED))
async def test_nothing_is_sent_or_asked_while_the_call_can_still_land(strategy: Strategy, ending: Ending) -> None:
    desk = Desk(strategy, [ending])
    await handle(desk)
    for moment in (*desk.sends[1:], *desk.finds):
        assert moment - desk.sends[0] >= TIMEOUT + SETTLES


@pytest.mark.parametrize(("ending", "sends"), [(Ending.DONE_UNANSWERED, 1), (Ending.DONE_LATE, 1), (Ending.NOT_DONE_UNANSWERED, 2)])
async def test_a_system_that_is_asked_first_is_called_again_only_if_it_says_no(ending: Ending, sends: int) -> None:
    desk = Desk(Strategy.LOOKUP_FIRST, [ending])
    await handle(desk)
    assert (len(desk.sends), len(desk.finds), len(desk.done)) == (sends, 1, 1)


async def test_a_question_without_an_answer_is_asked_again_and_nothing_is_sent() -> None:
    desk = Desk(Strategy.LOOKUP_FIRST, [Ending.DONE_UNANSWERED])
    desk.find_fails = 3
    assert await handle(desk) == handled()
    assert (len(desk.sends), len(desk.finds)) == (1, 4)


async def test_each_further_unknown_outcome_is_resolved_in_its_turn() -> None:
    desk = Desk(Strategy.LOOKUP_FIRST, [Ending.NOT_DONE_UNANSWERED] * 4)
    assert await handle(desk) == handled()
    assert (len(desk.sends), len(desk.done)) == (5, 1)
    for earlier, later in zip(desk.sends, desk.sends[1:], strict=False):
        assert later - earlier >= TIMEOUT + SETTLES


async def test_a_resend_that_was_not_sent_leaves_the_outcome_to_be_asked_for_again() -> None:
    """The first call's fate was known, but the second's not being sent must not make the first forgotten."""
    desk = Desk(Strategy.LOOKUP_FIRST, [Ending.NOT_DONE_UNANSWERED, Ending.UNREACHABLE])
    assert await handle(desk) == handled()
    assert len(desk.done) == 1
    assert len(desk.finds) == 2


async def test_a_key_that_the_system_may_have_forgotten_is_asked_for_first() -> None:
    """The worker was away for days, the system forgets keys after one: the same key would be another effect."""
    desk = Desk(Strategy.NATIVE_KEY, [Ending.DONE_THEN_HANGS], forgets_after=timedelta(hours=24))
    await crash_during_the_call(desk)
    await desk.clock.advance(3 * 86_400)
    assert await handle(desk) == handled()
    assert len(desk.done) == 1


# -- the same message again


@every_strategy
async def test_the_same_record_again_puts_out_what_it_did_before(strategy: Strategy) -> None:
    """Kafka did not confirm the first time."""
    desk = Desk(strategy)
    first = await handle(desk)
    assert await handle(desk) == first == handled()
    assert len(desk.sends) == 1


@every_strategy
async def test_r25_the_same_message_from_another_record_puts_out_nothing(strategy: Strategy) -> None:
    """R25: what is published a second time changes nothing outside and puts nothing out."""
    desk = Desk(strategy)
    await handle(desk, offset=7)
    again = await handle(desk, offset=8)
    assert isinstance(again, Handled)
    assert (again.kind, again.outputs) == (OutcomeKind.DUPLICATE, ())
    assert len(desk.sends) == 1


# -- crashes


async def crash_during_the_call(desk: Desk) -> None:
    """The worker is killed while its call is under way."""
    await desk.take_over()
    call = asyncio.create_task(desk.once().run(desk.delivery()))
    while not desk.sends:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    assert state(desk) is EffectState.INTENT


@every_strategy
@pytest.mark.parametrize("ending", [Ending.DONE_THEN_HANGS, Ending.HANGS])
async def test_a_crash_between_the_call_and_its_answer_is_resolved_by_the_next_owner(strategy: Strategy, ending: Ending) -> None:
    desk = Desk(strategy, [ending], timeout=timedelta(seconds=10))
    await crash_during_the_call(desk)
    assert await handle(desk) == handled()
    assert (len(desk.done), state(desk)) == (1, EffectState.DONE)
    if strategy is not Strategy.NATIVE_KEY:
        assert min((*desk.finds, *desk.sends[1:])) - desk.sends[0] >= timedelta(seconds=10) + SETTLES


async def test_after_a_long_absence_nothing_more_is_waited_for() -> None:
    desk = Desk(Strategy.LOOKUP_FIRST, [Ending.DONE_THEN_HANGS])
    await crash_during_the_call(desk)
    await desk.clock.advance(3600)
    began = desk.clock.now()
    assert await handle(desk) == handled()
    assert desk.clock.now() == began


@every_strategy
async def test_a_worker_that_was_fenced_writes_nothing_about_its_call(strategy: Strategy) -> None:
    """The partition moved while it called: the next owner finds an open intent, and the effect is there once."""
    desk = Desk(strategy, [Ending.DONE])
    await desk.take_over()
    zombies = desk.delivery()
    send = desk.send

    async def lose_the_partition_meanwhile(delivery: Delivery, generation: int) -> object:
        reply = await send(delivery, generation)
        await desk.take_over()
        return reply

    desk.send = lose_the_partition_meanwhile  # type: ignore[method-assign, assignment]
    async with desk.clock.auto_advance():
        with pytest.raises(Fenced):
            await desk.once().run(zombies)
    desk.send = send  # type: ignore[method-assign]
    assert await handle(desk) == handled()
    assert len(desk.done) == 1


# -- the store


async def test_what_was_answered_is_written_however_long_the_store_is_away() -> None:
    desk = Desk(Strategy.LOOKUP_FIRST, [Ending.DONE])
    send = desk.send

    async def take_the_store_away(delivery: Delivery, generation: int) -> object:
        reply = await send(delivery, generation)
        desk.store.is_down = True
        return reply

    desk.send = take_the_store_away  # type: ignore[method-assign, assignment]
    await desk.take_over()
    async with desk.clock.auto_advance():
        running = asyncio.create_task(desk.handle())
        await desk.clock.sleep(600)
        desk.store.is_down = False
        assert await running == handled()
    assert (len(desk.sends), len(desk.finds), state(desk)) == (1, 0, EffectState.DONE)


@every_strategy
async def test_an_intent_whose_answer_was_lost_is_resolved_like_any_other(strategy: Strategy) -> None:
    """The store wrote the intent and did not say so: nothing was sent, but nobody knows that."""
    desk = Desk(strategy)
    await desk.take_over()
    desk.store.lose_answer_next()
    async with desk.clock.auto_advance():
        assert await desk.handle() == handled()
    assert len(desk.done) == 1


@every_strategy
async def test_where_the_store_was_too_slow_for_the_deadline_nothing_is_sent(strategy: Strategy) -> None:
    desk = Desk(strategy)
    await desk.take_over()
    desk.store.latency_s = MARGIN.total_seconds() + 0.5
    async with desk.clock.auto_advance():
        running = asyncio.create_task(desk.handle())
        await desk.clock.sleep(10)
        assert desk.sends == []
        desk.store.latency_s = 0
        assert await running == handled()
    assert len(desk.done) == 1


async def test_where_the_store_was_too_slow_to_renew_an_intent_nothing_is_sent_again() -> None:
    """The first call is unresolved; its second intent was written in time, but the answer came when the deadline was too near."""
    desk = Desk(Strategy.UPSERT, [Ending.NOT_DONE_UNANSWERED])
    async with desk.clock.auto_advance():
        await desk.take_over()
        running = asyncio.create_task(desk.handle())
        while not desk.sends:
            await desk.clock.sleep(0.05)
        desk.store.latency_s = MARGIN.total_seconds() + 0.5
        await desk.clock.sleep(20)
        assert len(desk.sends) == 1
        desk.store.latency_s = 0
        assert await running == handled()
    assert len(desk.done) == 1


async def test_a_lane_that_is_given_up_leaves_the_effect_to_the_next_owner() -> None:
    """The partition is handed over while an unknown outcome waits for its moment."""
    desk = Desk(Strategy.LOOKUP_FIRST, [Ending.DONE_UNANSWERED])
    await desk.take_over()

    async def handed_over(seconds: float, *, aside: bool = False) -> None:
        raise Abandoned

    found = desk.delivery()
    waiting = Delivery(found.envelope, found.coordinates, found.fence, 1, found.now, found.encode, handed_over)
    with pytest.raises(Abandoned):
        await desk.once().run(waiting)
    assert await handle(desk) == handled()
    assert (len(desk.sends), len(desk.done)) == (1, 1)


# -- what is unsafe


@pytest.mark.parametrize("ending", sorted(UNANSWERED))
async def test_what_is_unsafe_and_unanswered_is_for_a_person(ending: Ending) -> None:
    desk = Desk(Strategy.UNSAFE, [ending])
    assert isinstance(await handle(desk), UnknownOutcome)
    assert (len(desk.sends), desk.finds, state(desk)) == (1, [], EffectState.UNKNOWN)
    assert isinstance(await handle(desk), UnknownOutcome), "its worker crashed before the dead letter was committed"
    assert len(desk.sends) == 1


@pytest.mark.parametrize("ending", sorted(NOT_SENT))
async def test_what_is_unsafe_and_had_no_effect_is_tried_again(ending: Ending) -> None:
    desk = Desk(Strategy.UNSAFE, [ending])
    assert await handle(desk) == handled()
    assert (len(desk.sends), len(desk.done), state(desk)) == (2, 1, EffectState.DONE)


# -- one message by two records


@every_strategy
async def test_who_is_answered_after_another_record_has_found_out_is_a_duplicate(strategy: Strategy) -> None:
    """The call was answered, and the store took that only after the deadline: by then the other record had resolved it."""
    desk = Desk(strategy)
    await desk.take_over()
    late = desk.once()
    settle, may_settle = desk.log.settle, asyncio.Event()

    async def settle_late(*arguments: Any, **named: Any) -> bool:
        await may_settle.wait()
        return await settle(*arguments, **named)

    async with desk.clock.auto_advance():
        desk.log.settle = settle_late  # type: ignore[method-assign]
        first = asyncio.create_task(late.run(desk.delivery(7)))
        while not desk.sends:
            await desk.clock.sleep(0.05)
        desk.log.settle = settle  # type: ignore[method-assign]
        assert await desk.once().run(desk.delivery(8)) == handled()
        may_settle.set()
        assert (await first).kind is OutcomeKind.DUPLICATE
    assert len(desk.done) == 1


async def test_two_records_that_wait_for_one_deadline_do_not_both_send() -> None:
    desk = Desk(Strategy.LOOKUP_FIRST, [Ending.NOT_DONE_UNANSWERED])
    await desk.take_over()
    async with desk.clock.auto_advance():
        found = await asyncio.gather(*(desk.once().run(desk.delivery(offset)) for offset in (7, 8, 9)))
    assert sorted(each.kind for each in found) == [OutcomeKind.APPLIED, OutcomeKind.DUPLICATE, OutcomeKind.DUPLICATE]
    assert (len(desk.sends), len(desk.done)) == (2, 1)


# -- what is passed over


@pytest.mark.parametrize("strategy", [Strategy.LOOKUP_FIRST, Strategy.NATIVE_KEY])
@pytest.mark.parametrize("ending", sorted(UNANSWERED - {Ending.HANGS, Ending.DONE_THEN_HANGS}))
async def test_what_is_passed_over_and_has_begun_is_found_out(strategy: Strategy, ending: Ending) -> None:
    desk = await crashed(strategy, ending)
    async with desk.clock.auto_advance():
        found = await desk.once().conclude(desk.delivery())
    is_done = ending is not Ending.NOT_DONE_UNANSWERED
    assert found == (handled() if is_done else None)
    assert (len(desk.sends), state(desk)) == (1, EffectState.DONE if is_done else None)


async def test_what_is_set_by_external_id_is_set_again_before_it_is_passed_over() -> None:
    desk = await crashed(Strategy.UPSERT, Ending.DONE_LATE)
    async with desk.clock.auto_advance():
        assert await desk.once().conclude(desk.delivery()) == handled()
    assert (len(desk.sends), len(desk.done), state(desk)) == (2, 1, EffectState.DONE)


@pytest.mark.parametrize("strategy", Strategy)
async def test_what_has_not_begun_is_passed_over_at_once(strategy: Strategy) -> None:
    desk = Desk(strategy)
    await desk.take_over()
    assert await desk.once().conclude(desk.delivery()) is None
    assert (desk.sends, desk.finds, state(desk)) == ([], [], None)


@pytest.mark.parametrize("strategy", Strategy)
async def test_what_was_done_and_not_committed_is_not_passed_over(strategy: Strategy) -> None:
    desk = Desk(strategy)
    assert await handle(desk) == handled()
    await desk.take_over()
    assert await desk.once().conclude(desk.delivery()) == handled()
    assert await desk.once().conclude(desk.delivery(offset=8)) is None, "another record of it began nothing"


async def test_what_is_unsafe_and_has_begun_is_passed_over_by_whoever_says_so() -> None:
    desk = await crashed(Strategy.UNSAFE, Ending.DONE_LATE)
    assert await desk.once().conclude(desk.delivery()) is None
    assert len(desk.sends) == 1


async def crashed(strategy: Strategy, ending: Ending) -> Desk:
    """Its worker died in the call; another one has taken over."""
    desk = Desk(strategy, [ending])
    await desk.take_over()
    call = asyncio.create_task(desk.once().run(desk.delivery()))
    while not desk.sends:
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait({call})
    await desk.take_over()
    return desk


# -- anything at all

AGAIN = sorted(UNANSWERED | NOT_SENT.keys() - {Ending.HANGS, Ending.DONE_THEN_HANGS})


@given(strategy=sampled_from(RESOLVED), endings=lists(sampled_from(AGAIN), max_size=6), crashes=booleans(), slow=booleans())
@settings(max_examples=150, deadline=None)
async def test_whatever_happens_the_effect_is_there_once(strategy: Strategy, endings: list[Ending], *, crashes: bool, slow: bool) -> None:
    """Any run of endings, a crash in the first call or not, a slow store or not. The vendor is never asked or called too early."""
    desk = Desk(strategy, list(endings))
    desk.store.latency_s = 0.3 if slow else 0.0
    if crashes:
        async with desk.clock.auto_advance():
            await desk.take_over()
            call = asyncio.create_task(desk.once().run(desk.delivery()))
            while not desk.sends:
                await desk.clock.sleep(0.05)
        call.cancel()
        await asyncio.wait({call})
    found = await handle(desk)
    await desk.clock.advance(60)
    assert found == handled()
    assert (len(desk.done), state(desk)) == (1, EffectState.DONE)


@pytest.mark.parametrize("strategy", [Strategy.LOOKUP_FIRST, Strategy.UPSERT, Strategy.NATIVE_KEY])
async def test_a_call_that_is_never_answered_by_a_system_that_answers_others_is_for_a_person(strategy: Strategy) -> None:
    """And where it is asked again, the dead letter's effect is resolved before anything is sent."""
    desk = Desk(strategy, [Ending.NOT_DONE_UNANSWERED] * 1000)
    await desk.take_over()
    gate = NoGate()
    once = Once(effect=desk.effect(), log=desk.log, clock=desk.clock, gate=gate)
    async with desk.clock.auto_advance():
        for _ in range(MAX_ROUNDS - 1):
            await gate.note(None)  # others are answered
            with pytest.raises(Unavailable):
                await once.run(desk.delivery())
        await gate.note(None)
        with pytest.raises(UnknownOutcome, match="never answered"):
            await once.run(desk.delivery())
        assert len(desk.sends) == MAX_ROUNDS + 1
        desk.endings.clear()
        assert isinstance(await desk.handle(), Handled)
    assert len(desk.done) == 1


@pytest.mark.parametrize("strategy", [Strategy.UPSERT, Strategy.NATIVE_KEY])
async def test_a_system_that_answers_nobody_is_waited_for_without_a_bound(strategy: Strategy) -> None:
    desk = Desk(strategy, [Ending.NOT_DONE_UNANSWERED] * 100)
    await desk.take_over()
    once = Once(effect=desk.effect(), log=desk.log, clock=desk.clock)
    async with desk.clock.auto_advance():
        for _ in range(50):
            with pytest.raises(Unavailable):
                await once.run(desk.delivery())
    assert len(desk.sends) > 50
