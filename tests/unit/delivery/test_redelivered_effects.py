"""A redelivered command: what was carried out stays as it is; what is forced is an effect of its own (protocol.md, H)."""

from __future__ import annotations

import pytest
from vendor import MESSAGE, SUBSCRIBER, Desk, Ending, handled

from integration_fabric.delivery.ports import EffectState
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.errors import DataProblem, UnknownOutcome
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.redelivery import Redelivery
from integration_fabric.runtime.subscriber import Handled, OnceMore

every_strategy = pytest.mark.parametrize("strategy", list(Strategy))


def again(number: int = 3, *, force: bool = False, is_forgotten: bool = False) -> OnceMore:
    return OnceMore(Redelivery(number, SUBSCRIBER, force, None, "ola", "why"), is_forgotten)


async def handle(desk: Desk, more: OnceMore | None, offset: int = 7) -> Handled | Exception:
    async with desk.clock.auto_advance():
        await desk.take_over()
        return await desk.handle(offset, more)


def kind(found: Handled | Exception) -> OutcomeKind:
    assert isinstance(found, Handled), found
    return found.kind


@every_strategy
async def test_what_was_carried_out_is_not_carried_out_again_and_puts_nothing_out(strategy: Strategy) -> None:
    desk = Desk(strategy)
    await handle(desk, None)
    found = await handle(desk, again())
    assert kind(found) is OutcomeKind.DUPLICATE
    assert isinstance(found, Handled)
    assert found.outputs == ()
    assert len(desk.sends) == 1


@every_strategy
async def test_what_had_no_effect_is_carried_out(strategy: Strategy) -> None:
    desk = Desk(strategy, [Ending.BAD_DATA])
    assert isinstance(await handle(desk, None), DataProblem)
    assert await handle(desk, again()) == handled()
    assert kind(await handle(desk, None, offset=9)) is OutcomeKind.DUPLICATE, "another record of it finds it"
    assert len(desk.done) == 1


@every_strategy
async def test_after_a_crash_it_finds_what_it_has_done_itself(strategy: Strategy) -> None:
    desk = Desk(strategy, [Ending.BAD_DATA])
    await handle(desk, None)
    assert await handle(desk, again(3)) == handled()
    assert await handle(desk, again(3)) == handled(), "its outputs are put out, as nobody has done so"
    assert kind(await handle(desk, again(4))) is OutcomeKind.DUPLICATE
    assert len(desk.sends) == 2


@every_strategy
async def test_where_it_may_be_forgotten_nothing_is_carried_out(strategy: Strategy) -> None:
    desk = Desk(strategy)
    assert kind(await handle(desk, again(is_forgotten=True))) is OutcomeKind.DUPLICATE
    assert desk.sends == []


@every_strategy
async def test_what_is_forced_is_carried_out_once_for_each_redelivery(strategy: Strategy) -> None:
    desk = Desk(strategy)
    await handle(desk, None)
    for number in (3, 3, 4, 4, 3):
        assert await handle(desk, again(number, force=True)) == handled()
    assert len(desk.sends) == 3
    assert len(desk.done) == (1 if strategy is Strategy.UPSERT else 3)
    assert desk.log.state(SUBSCRIBER, MESSAGE) is EffectState.DONE


@every_strategy
async def test_what_is_forced_and_forgotten_is_carried_out(strategy: Strategy) -> None:
    desk = Desk(strategy)
    assert await handle(desk, again(force=True, is_forgotten=True)) == handled()


@every_strategy
async def test_the_record_that_brought_it_is_the_one_to_force(strategy: Strategy) -> None:
    desk = Desk(strategy)
    await handle(desk, None, offset=7)
    assert kind(await handle(desk, again(force=True), offset=8)) is OutcomeKind.DUPLICATE
    assert len(desk.sends) == 1


async def test_what_is_unknown_is_not_forced() -> None:
    desk = Desk(Strategy.UNSAFE, [Ending.DONE_UNANSWERED])
    assert isinstance(await handle(desk, None), UnknownOutcome)
    assert isinstance(await handle(desk, again(force=True)), UnknownOutcome)
    assert len(desk.sends) == 1


@pytest.mark.parametrize("strategy", [Strategy.NATIVE_KEY, Strategy.LOOKUP_FIRST, Strategy.UPSERT])
async def test_what_is_forced_and_not_answered_is_resolved_as_ever(strategy: Strategy) -> None:
    desk = Desk(strategy)
    await handle(desk, None)
    desk.endings = [Ending.DONE_UNANSWERED]
    assert await handle(desk, again(force=True)) == handled()
    assert len(desk.done) == (1 if strategy is Strategy.UPSERT else 2)


async def test_what_is_forced_and_fails_leaves_what_was_done_as_it_was() -> None:
    desk = Desk(Strategy.LOOKUP_FIRST)
    await handle(desk, None)
    desk.endings = [Ending.BAD_DATA]
    assert isinstance(await handle(desk, again(force=True)), DataProblem)
    assert desk.log.state(SUBSCRIBER, MESSAGE) is EffectState.DONE
    assert desk.log.state(SUBSCRIBER, f"{MESSAGE}#3") is None
