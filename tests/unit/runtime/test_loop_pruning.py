"""Pruning as early as may be, while workers die at any moment: no effect is brought about twice, and in the end nothing is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import timedelta

from hypothesis import given, settings
from hypothesis.strategies import floats, integers, lists
from loop_bench import NAME, READS, Bench, copy_of, tax_code

from integration_fabric.backends.memory.stores import MemoryCrossReferences, MemoryEffects
from integration_fabric.delivery.ports import EffectLog, EffectState, Remembered
from integration_fabric.messages.errors import Fenced
from integration_fabric.runtime.outcomes import Applied, OutcomeKind
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.subscriber import Delivery, Handled, Running

AGED = timedelta(days=-1)
"""Everything is older."""


def caller(effects: EffectLog, calls: list[str]) -> Running:
    """A subscriber that notes its calls, and asks the effect log before each."""

    async def run(delivery: Delivery) -> Handled:
        fence, envelope, place = delivery.fence, delivery.envelope, delivery.coordinates
        claim = await effects.claim(fence, envelope.id, place, within=timedelta(seconds=10))
        if isinstance(claim, Remembered):
            return claim.handled if claim.same_record else Handled(OutcomeKind.DUPLICATE)
        calls.append(envelope.id)
        handled = delivery.settle(Applied((copy_of(envelope.body),)))
        await effects.settle(fence, envelope.id, place, handled, state=EffectState.DONE)
        await delivery.pause(0.05)
        return handled

    return Running(NAME, READS, Policy(in_flight=2), run)


async def prune(bench: Bench, effects: EffectLog) -> None:
    for member in bench.members:
        for fence, base in member.loop.bases().items():
            with suppress(Fenced):
                await effects.prune(fence, below=base, older_than=AGED)


async def prune_again_and_again(bench: Bench, effects: EffectLog) -> None:
    while True:
        await prune(bench, effects)
        await bench.clock.sleep(0.02)


@given(lives_s=lists(floats(0.05, 3.0), max_size=5), partitions=integers(1, 2), latency_s=floats(0.0, 0.5))
@settings(max_examples=40, deadline=None)
def test_no_effect_is_forgotten_before_its_time(codec: Codec, lives_s: list[float], partitions: int, latency_s: float) -> None:
    asyncio.run(_live_and_die(codec, lives_s, partitions, latency_s))


async def _live_and_die(codec: Codec, lives_s: list[float], partitions: int, latency_s: float) -> None:
    async with Bench(codec, partitions=partitions) as bench:
        effects, calls = MemoryEffects(bench.store, MemoryCrossReferences(bench.store)), list[str]()
        published = [bench.publish(tax_code(f"k{number % 5}", number)) for number in range(20)]
        pruning = asyncio.create_task(prune_again_and_again(bench, effects))
        for life_s in lives_s:
            member = bench.start(caller(effects, calls), latency_s=latency_s)
            await bench.clock.sleep(life_s)
            await member.kill()
        async with bench.running(caller(effects, calls), latency_s=latency_s) as last:
            await bench.until(last.loop.partitions)  # all may be committed before it has taken anything over
            await bench.until_committed()
            await bench.until(lambda: not last.loop.busy)
            await prune(bench, effects)
        pruning.cancel()
        assert Counter(calls) == dict.fromkeys(calls, 1)
        assert len(calls) == len(published) == len(bench.copies())
        assert [effects.state(NAME, message_id) for message_id in calls] == [None] * len(calls)
