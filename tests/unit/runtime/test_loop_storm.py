"""A subscriber that dead-letters too much stands still (guarantee G4): what runs is committed, what is queued is left for later."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis.strategies import booleans, builds, integers, just, lists
from loop_bench import NAME, Bench, copier, tax_code
from prometheus_client import REGISTRY

from integration_fabric.messages.errors import DataProblem
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.policy import AtDeadLetter, Policy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.storm import Limit, Storm, StormWatch
from integration_fabric.runtime.subscriber import Delivery

SKIP = Policy(in_flight=1, at_dead_letter=AtDeadLetter.SKIP, dead_letters_in_a_row=5, dead_letter_window=20)


async def refuse(delivery: Delivery) -> None:
    """What a bad deployment does to most."""
    body = delivery.envelope.body
    assert isinstance(body, TaxCodeChanged)
    if body.key.startswith("bad"):
        raise DataProblem(field="tax_code", value="x", hint="add it")
    await delivery.pause(0.01)


async def test_r23_too_many_in_a_row_stop_it_and_nothing_more_is_taken(codec: Codec) -> None:
    """R23: so many dead letters one after the other stop the subscriber: it is not the messages."""
    async with Bench(codec) as bench:
        bench.publish(tax_code("good", 0))
        bench.publish_many(("bad",), 30)
        async with bench.running(copier(refuse, policy=SKIP)) as member:
            await bench.until(lambda: member.loop.state is LoopState.STOPPED)
            await bench.clock.sleep(60)
            assert member.loop.storm == Storm(Limit.IN_A_ROW, 5, 5)
            assert member.loop.stop is None
            assert not member.loop.busy
            assert len(bench.dead_letters()) == 5
            assert bench.lag() == 25
            bench.publish(tax_code("good", 1))
            await bench.clock.sleep(60)
            assert bench.versions("good") == [0]


async def test_bytes_that_are_no_message_count_and_so_do_messages_without_a_key(codec: Codec) -> None:
    """With the policy `stop`, which they do not stop at."""
    stops = Policy(dead_letters_in_a_row=5)
    for key, value in ((b"key", b"not avro"), (None, codec.encode(tax_code("bad", 0)))):
        async with Bench(codec) as bench:
            for _ in range(40):
                bench.append(key, value)
            async with bench.running(copier(refuse, policy=stops)) as member:
                await bench.until(lambda loop=member.loop: loop.state is LoopState.STOPPED)  # type: ignore[misc]
                await bench.clock.sleep(60)
                assert member.loop.stop is None
                assert 5 <= len(bench.dead_letters()) < 5 + stops.in_flight


async def test_r23_too_large_a_share_stops_it(codec: Codec) -> None:
    """R23: where too many fail, it is not the messages."""
    async with Bench(codec) as bench:
        for number in range(60):
            bench.publish(tax_code("good" if number % 4 == 0 else "bad", number))
        async with bench.running(copier(refuse, policy=SKIP)) as member:
            await bench.until(lambda: member.loop.state is LoopState.STOPPED)
            storm = member.loop.storm
            assert storm is not None
            assert (storm.limit, storm.outcomes) == (Limit.SHARE, 20)
            assert storm.dead_letters == 11


async def test_a_few_here_and_there_are_no_storm(codec: Codec) -> None:
    async with Bench(codec) as bench:
        for number in range(200):
            bench.publish(tax_code("bad" if number % 3 == 0 else "good", number))
        async with bench.running(copier(refuse, policy=SKIP)) as member:
            await bench.until_committed()
            assert member.loop.storm is None
            assert member.loop.state is LoopState.RUNNING


async def test_what_runs_is_finished_and_committed(codec: Codec) -> None:
    """Three slow ones run when the limit is reached; the slow one behind one of them is not begun."""

    async def handle(delivery: Delivery) -> None:
        if delivery.envelope.body.key.startswith("slow"):
            await delivery.pause(5)
        await refuse(delivery)

    async with Bench(codec) as bench:
        for name in ("slow-1", "slow-2", "slow-3"):
            bench.publish(tax_code(name, 0))
        bench.publish(tax_code("slow-1", 1))
        bench.publish_many(("bad",), 9)
        policy = Policy(in_flight=4, at_dead_letter=AtDeadLetter.SKIP, dead_letters_in_a_row=5)
        async with bench.running(copier(handle, policy=policy)) as member:
            await bench.until(lambda: member.loop.state is LoopState.STOPPED)
            await bench.clock.sleep(60)
            assert bench.outcomes() == {0: ["applied"], 1: ["applied"], 2: ["applied"]} | {n: ["dead_lettered"] for n in range(4, 9)}


async def test_one_that_is_made_anew_stands_still_at_once(codec: Codec) -> None:
    """A loop that fails is started anew in its worker; that mends nothing of what the storm came from."""
    watch = StormWatch(SKIP)
    for _ in range(5):
        watch.note(dead_lettered=True)
    async with Bench(codec) as bench:
        bench.publish_many(("good",), 10)
        async with bench.running(copier(policy=SKIP), watch=watch) as member:
            await bench.until(lambda: member.loop.state is LoopState.STOPPED)
            await bench.clock.sleep(60)
            assert bench.copies() == []


async def test_it_is_counted_and_shown(codec: Codec) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("fabric_storms_total", {"subscriber": NAME, "limit": "in_a_row"}) or 0.0

    before = counted()
    async with Bench(codec) as bench:
        bench.publish_many(("bad",), 20)
        async with bench.running(copier(refuse, policy=SKIP)) as member:
            await bench.until(lambda: member.loop.state is LoopState.STOPPED)
            assert REGISTRY.get_sample_value("fabric_subscriber_stopped", {"subscriber": NAME}) == 1
    assert counted() == before + 1


POLICIES = builds(
    Policy,
    in_flight=integers(1, 5),
    at_dead_letter=just(AtDeadLetter.SKIP),
    dead_letters_in_a_row=integers(1, 6),
    dead_letter_window=integers(1, 10),
)


@given(bad=lists(booleans(), min_size=1, max_size=40), policy=POLICIES, partitions=integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_whoever_starts_it_again_comes_to_the_end_with_one_outcome_each(
    codec: Codec, bad: list[bool], policy: Policy, partitions: int
) -> None:
    asyncio.run(_start_again_and_again(codec, bad, policy, partitions))


async def _start_again_and_again(codec: Codec, bad: list[bool], policy: Policy, partitions: int) -> None:
    async with Bench(codec, partitions=partitions) as bench:
        published = [bench.publish(tax_code("bad" if is_bad else f"good-{number % 3}", number)) for number, is_bad in enumerate(bad)]
        while not bench.is_committed():
            async with bench.running(copier(refuse, policy=policy)) as member:
                await bench.until(lambda loop=member.loop: loop.state is LoopState.STOPPED or bench.is_committed())  # type: ignore[misc]
        seen = Counter((transition.partition, transition.offset) for transition in bench.transitions())
        assert seen == Counter((record.partition, record.offset) for record in published)
        assert len(bench.dead_letters()) == sum(bad)
        assert sorted(copy.aggregate_version for copy in bench.copies()) == [number for number, is_bad in enumerate(bad) if not is_bad]
