"""`runtime.ports.Leases`: who may write for a partition, and where a subscriber stands still."""

from __future__ import annotations

import pytest
from store_kit import FENCE, PARTITION, STALE, SUBSCRIBER, TOPIC_ID, Stores

from integration_fabric.messages.errors import Fenced
from integration_fabric.runtime.offset_map import OffsetMap
from integration_fabric.runtime.offsets import Done
from integration_fabric.runtime.ports import Fence, Lease, Stop, TakenLease
from integration_fabric.runtime.records import TopicPartition


def lease(epoch: int, *, partition: int = PARTITION.partition, topic_id: str = TOPIC_ID) -> TakenLease:
    return TakenLease(TopicPartition(PARTITION.topic, partition), topic_id, epoch)


def stop(offset: int, code: str = "unknown-tax-code") -> Stop:
    return Stop(PARTITION, offset, b"\xffkey", code, "tax_code='x': add it")


def done(base: int, *beyond: int) -> dict[TopicPartition, Done]:
    """Everything below the base is done, and these beyond it."""
    frontier = max(beyond, default=base - 1) + 1
    return {PARTITION: Done(base, OffsetMap(frontier, tuple(offset for offset in range(base, frontier) if offset not in beyond)))}


async def test_nobody_has_a_partition_at_first(stores: Stores) -> None:
    assert await stores.leases.read(SUBSCRIBER, TOPIC_ID, 3) is None


async def test_a_lease_is_taken_with_an_epoch_and_a_name(stores: Stores) -> None:
    assert list(await stores.leases.take(SUBSCRIBER, [lease(5)], "worker-1")) == [True]
    assert await stores.leases.read(SUBSCRIBER, TOPIC_ID, 3) == Lease(5, 0, "worker-1")


@pytest.mark.parametrize("epoch", [4, 5])
async def test_an_epoch_that_is_not_higher_takes_nothing(stores: Stores, epoch: int) -> None:
    await stores.take()
    assert list(await stores.leases.take(SUBSCRIBER, [lease(epoch)], "worker-2")) == [False]
    assert await stores.leases.read(SUBSCRIBER, TOPIC_ID, 3) == Lease(5, 0, "worker-1")


async def test_a_higher_epoch_takes_the_lease_away(stores: Stores) -> None:
    await stores.take()
    assert list(await stores.leases.take(SUBSCRIBER, [lease(6)], "worker-2")) == [True]
    assert await stores.leases.read(SUBSCRIBER, TOPIC_ID, 3) == Lease(6, 0, "worker-2")


async def test_of_several_each_says_for_itself_whether_it_was_taken_in_the_order_asked(stores: Stores) -> None:
    await stores.leases.take(SUBSCRIBER, [lease(9, partition=0)], "worker-1")
    answers = await stores.leases.take(SUBSCRIBER, [lease(7, partition=2), lease(7, partition=0), lease(7, partition=1)], "worker-2")
    assert list(answers) == [True, False, True]


async def test_leases_of_other_subscribers_topics_and_partitions_are_others(stores: Stores) -> None:
    await stores.take()
    assert await stores.leases.read("other", TOPIC_ID, 3) is None
    assert await stores.leases.read(SUBSCRIBER, "topic-2", 3) is None
    assert await stores.leases.read(SUBSCRIBER, TOPIC_ID, 4) is None


async def test_a_stop_is_remembered_for_whoever_comes_next(stores: Stores) -> None:
    await stores.take()
    await stores.leases.stop(FENCE, stop(7))
    await stores.leases.take(SUBSCRIBER, [lease(6)], "worker-2")
    assert list(await stores.leases.stops(SUBSCRIBER, [lease(6)], done(8))) == [stop(7)]


async def test_stops_that_kafka_does_not_confirm_are_void(stores: Stores) -> None:
    """At or above the base: their dead letters were never committed."""
    await stores.take()
    for offset in (7, 9, 11):
        await stores.leases.stop(FENCE, stop(offset))
    assert list(await stores.leases.stops(SUBSCRIBER, [lease(5)], done(9))) == [stop(7)]
    assert list(await stores.leases.stops(SUBSCRIBER, [lease(5)], done(100))) == [stop(7)], "9 and 11 are gone for good"


async def test_of_several_stops_the_first_of_each_partition_is_told(stores: Stores) -> None:
    await stores.take()
    for offset in (9, 7):
        await stores.leases.stop(FENCE, stop(offset))
    assert list(await stores.leases.stops(SUBSCRIBER, [lease(5)], done(10))) == [stop(7)]


async def test_a_stop_written_twice_stands_once_as_the_second_says(stores: Stores) -> None:
    await stores.take()
    await stores.leases.stop(FENCE, stop(7))
    await stores.leases.stop(FENCE, stop(7, "other-code"))
    assert list(await stores.leases.stops(SUBSCRIBER, [lease(5)], done(8))) == [stop(7, "other-code")]


async def test_a_topic_made_again_has_no_stops(stores: Stores) -> None:
    await stores.take()
    await stores.leases.stop(FENCE, stop(7))
    again = lease(1, topic_id="topic-2")
    await stores.leases.take(SUBSCRIBER, [again], "worker-1")
    assert list(await stores.leases.stops(SUBSCRIBER, [again], done(100))) == []


async def test_an_old_epoch_writes_no_stop(stores: Stores) -> None:
    await stores.take()
    with pytest.raises(Fenced):
        await stores.leases.stop(STALE, stop(7))
    assert list(await stores.leases.stops(SUBSCRIBER, [lease(5)], done(100))) == []


async def test_an_old_epoch_voids_no_stop(stores: Stores) -> None:
    await stores.take()
    await stores.leases.stop(FENCE, stop(7))
    with pytest.raises(Fenced):
        await stores.leases.stops(SUBSCRIBER, [lease(4)], done(0))
    assert list(await stores.leases.stops(SUBSCRIBER, [lease(5)], done(8))) == [stop(7)]


async def test_a_partition_that_nobody_has_taken_cannot_be_written_for(stores: Stores) -> None:
    with pytest.raises(Fenced):
        await stores.leases.stop(Fence(SUBSCRIBER, TOPIC_ID, 3, 0), stop(7))


async def test_a_stop_is_written_whatever_its_message_holds(stores: Stores) -> None:
    await stores.take()
    await stores.leases.stop(FENCE, Stop(PARTITION, 7, b"", "c" * 500, "nul \x00, half a letter \ud800, " + "long" * 10_000))
    (found,) = await stores.leases.stops(SUBSCRIBER, [lease(5)], done(8))
    assert found.message.startswith("nul ")


# -- serials


async def test_the_transactions_of_a_partition_are_counted(stores: Stores) -> None:
    await stores.take()
    assert stores.leases.serial(SUBSCRIBER, TOPIC_ID, PARTITION.partition) == 0
    for number in range(1, 4):
        await stores.leases.stop(FENCE, stop(number))
        assert stores.leases.serial(SUBSCRIBER, TOPIC_ID, PARTITION.partition) == number
    assert await stores.leases.read(SUBSCRIBER, TOPIC_ID, PARTITION.partition) == Lease(5, 3, "worker-1")
    assert stores.leases.serial(SUBSCRIBER, TOPIC_ID, 4) == 0


async def test_whoever_takes_over_counts_on(stores: Stores) -> None:
    await stores.take()
    await stores.leases.stop(FENCE, stop(7))
    await stores.leases.take(SUBSCRIBER, [lease(6)], "worker-2")
    await stores.leases.stops(SUBSCRIBER, [lease(6)], done(8))
    assert await stores.leases.read(SUBSCRIBER, TOPIC_ID, PARTITION.partition) == Lease(6, 2, "worker-2")


async def test_a_transaction_that_is_refused_counts_for_nothing(stores: Stores) -> None:
    await stores.take()
    with pytest.raises(Fenced):
        await stores.leases.stop(STALE, stop(7))
    await stores.leases.stop(FENCE, stop(7))
    assert stores.leases.serial(SUBSCRIBER, TOPIC_ID, PARTITION.partition) == 1
