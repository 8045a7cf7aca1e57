"""A partition that the client has forgotten is noticed, and its subscriber goes on."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, integers, lists, tuples
from loop_bench import Bench, copier, tax_code

from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.feeding import UNFED_LOOKS, FeedWatch, Fetching, Unfed
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import TopicPartition

P, Q = TopicPartition("t", 0), TopicPartition("t", 1)
PARTITION = TopicPartition(TaxCodeChanged.topic, 0)


def looks(watch: FeedWatch, count: int, *, position: int = 4, heard: int, end: int = 5, epoch: int = 1) -> str:
    """What each of so many looks at one partition finds."""
    found = ""
    for _ in range(count):
        anew, forgotten = watch.look({P: Fetching(epoch, position, heard, end)})
        found += "forgotten " if forgotten else "anew " if anew else ". "
    return found.strip()


@pytest.mark.parametrize("heard", [-1001, 0, 4])
def test_a_partition_of_whose_records_nothing_comes_is_fetched_anew_and_then_forgotten(heard: int) -> None:
    assert looks(FeedWatch(), 8, heard=heard) == ". . . anew . . forgotten forgotten"


def test_where_there_are_only_markers_it_is_fetched_anew_once() -> None:
    watch = FeedWatch()
    assert looks(watch, 20, heard=5) == ". . . anew" + " ." * 16
    assert looks(watch, 6, heard=7, end=7) == ". . . anew . .", "something came after them"


@given(lists(tuples(integers(0, 5), booleans()), min_size=10, max_size=40))
def test_one_that_goes_on_is_left_alone_however_far_it_is_behind(steps: list[tuple[int, bool]]) -> None:
    """It hands out something at every second look at the least."""
    watch, end, position = FeedWatch(), 10, 0
    for number, (more, moves) in enumerate(steps):
        assert watch.look({P: Fetching(1, position, end, end)}) == ([], [])
        end += more
        position = min(end, position + 1) if moves or number % 2 else position


def test_one_that_is_assigned_anew_or_was_held_has_time_again() -> None:
    watch = FeedWatch()
    assert looks(watch, 3, heard=0) == ". . ."
    assert looks(watch, 3, heard=0, epoch=2) == ". . ."
    watch.look({})
    assert looks(watch, 3, heard=0, epoch=2) == ". . ."


def test_one_of_two_is_named() -> None:
    watch = FeedWatch()
    found = [watch.look({P: Fetching(1, 3, 3, 5), Q: Fetching(2, number, 9, 9)}) for number in range(2 * UNFED_LOOKS + 1)]
    assert [each for each in found if each != ([], [])] == [([P], []), ([], [P])]


async def test_a_subscriber_whose_consumer_forgets_a_partition_ends(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker starts it anew, with a new consumer."""
    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        member = bench.start(copier())
        await bench.until_committed()
        member.consumer.hold_back([PARTITION])  # behind the loop's back, as the client does
        await bench.clock.sleep(1)
        heard = bench.broker.end(PARTITION)

        async def what_was_fetched() -> Mapping[TopicPartition, int]:
            return {PARTITION: heard}

        monkeypatch.setattr(member.consumer, "heard", what_was_fetched)
        bench.publish(tax_code("a", 1))
        for _ in range(2 * UNFED_LOOKS + 1):
            await member.loop.look_at_feeding({PARTITION: bench.broker.end(PARTITION)})
        with pytest.raises(Unfed, match=f"{TaxCodeChanged.topic}/0"):
            await member.task
        bench.members.remove(member)
        bench.start(copier())
        await bench.until_committed()
    assert bench.versions("a") == [0, 1]


async def test_what_is_held_or_all_done_is_not_looked_at(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        async with bench.running(copier()) as member:
            await bench.until_committed()
            monkeypatch.setattr(member.consumer, "refetch", None)
            for _ in range(3 * UNFED_LOOKS):
                await member.loop.look_at_feeding({PARTITION: bench.broker.end(PARTITION)})
            member.loop._reins.full = True
            member.loop._reins.apply()
            bench.publish(tax_code("a", 1))
            for _ in range(3 * UNFED_LOOKS):
                await member.loop.look_at_feeding({PARTITION: bench.broker.end(PARTITION)})
            member.loop._reins.full = False
            member.loop._reins.apply()
            await bench.until_committed()
