"""Attacks on effects: a slow store, and a process that stands still while a call is under way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from vendor import MESSAGE, SUBSCRIBER, Desk

from integration_fabric.delivery.deadline import refuse_if_late
from integration_fabric.delivery.effects import Effect, Once, Reply
from integration_fabric.delivery.ports import EffectState
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.errors import FailureClass, Unavailable
from integration_fabric.runtime.subscriber import Delivery

every_strategy = pytest.mark.parametrize("strategy", [strategy for strategy in Strategy if strategy is not Strategy.UNSAFE])
"""That finds out by itself what became of a call."""


@every_strategy
async def test_a_slow_store_is_no_failure_of_the_message(strategy: Strategy) -> None:
    """Each intent takes longer to write than the margin: nothing is sent, and no bound of the message runs (protocol.md, K)."""
    desk = Desk(strategy)
    await desk.take_over()
    desk.store.latency_s = 3
    async with desk.clock.auto_advance():
        with pytest.raises(Unavailable) as raised:
            await desk.once().run(desk.delivery())
    assert raised.value.failure is FailureClass.UNAVAILABLE
    assert (desk.sends, desk.log.state(SUBSCRIBER, MESSAGE)) == ([], None)


@every_strategy
async def test_an_action_that_stood_still_sends_nothing_more_and_is_resolved(strategy: Strategy) -> None:
    """The first of two calls was answered; then the process was stopped for a minute. The second is not made under the old intent."""
    desk = Desk(strategy)
    await desk.take_over()
    moments: list[float] = []

    async def send(delivery: Delivery, generation: int) -> Reply:
        refuse_if_late()
        moments.append(desk.clock.monotonic_s())
        if len(moments) == 1:
            await desk.clock.sleep(60)
        refuse_if_late()
        moments.append(desk.clock.monotonic_s())
        return await desk.send(delivery, generation)

    find = None if strategy is Strategy.UPSERT else desk.find
    once = Once(effect=Effect(strategy, send, find, desk.timeout * 1000, timedelta(0)), log=desk.log, clock=desk.clock)
    async with desk.clock.auto_advance():
        await once.run(desk.delivery())
    assert moments[1] >= 60, "the second call of the first attempt was not made"
    assert len(moments) == 3, "both calls of the second attempt, under an intent of their own"
    assert desk.log.state(SUBSCRIBER, MESSAGE) is EffectState.DONE
