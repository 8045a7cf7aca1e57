"""`runtime.ports.Redeliveries` on every store."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_kit import FENCE, HANDLED, PARTITION, STALE, SUBSCRIBER, TOPIC_ID, Stores

from integration_fabric.messages.errors import Fenced
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.redelivery import FAILED, Redelivered, Redelivery, RedeliveryState, Stretch

ASKED = Redelivery(0, SUBSCRIBER, force=True, key=b"SO-9\x00\xff", by="kari", why="the ERP lost a day")
STRETCH = Stretch(PARTITION, TOPIC_ID, first=3, end=9, position=3)
OTHER_PARTITION = TopicPartition(PARTITION.topic, 4)


def result(offset: int, *, number: int = 1, outcome: str = "applied", detail: str = "") -> Redelivered:
    return Redelivered(number, PARTITION, offset, outcome, detail, HANDLED.outputs, b"\x00entry\xff")


async def filed(stores: Stores, *stretches: Stretch) -> int:
    await stores.take()
    return await stores.redeliveries.file(ASKED, stretches or (STRETCH,))


async def test_it_comes_back_as_it_was_filed_and_is_open(stores: Stores) -> None:
    assert await filed(stores) == 1
    assert await stores.redeliveries.file(replace(ASKED, force=False, key=None), [STRETCH]) == 2
    first, second = await stores.redeliveries.open()
    assert first.filed_at is not None
    assert replace(first, filed_at=None) == replace(ASKED, number=1)
    assert (second.number, second.force, second.key) == (2, False, None)


async def test_one_that_covers_nothing_is_done(stores: Stores) -> None:
    await stores.redeliveries.file(ASKED, [])
    (found,) = await stores.redeliveries.look()
    assert found.state is RedeliveryState.DONE
    assert await stores.redeliveries.open() == []
    assert not await stores.redeliveries.order(1, RedeliveryState.CANCELLED)


async def test_one_that_is_paused_is_not_open_until_it_goes_on(stores: Stores) -> None:
    await filed(stores)
    assert await stores.redeliveries.order(1, RedeliveryState.PAUSED)
    assert await stores.redeliveries.open() == []
    assert await stores.redeliveries.order(1, RedeliveryState.RUNNING)
    assert [found.number for found in await stores.redeliveries.open()] == [1]


async def test_one_that_is_cancelled_stays_so(stores: Stores) -> None:
    await filed(stores)
    assert await stores.redeliveries.order(1, RedeliveryState.CANCELLED)
    assert not await stores.redeliveries.order(1, RedeliveryState.RUNNING)
    assert not await stores.redeliveries.order(7, RedeliveryState.RUNNING)
    assert [found.state for found in await stores.redeliveries.look(1)] == [RedeliveryState.CANCELLED]
    assert await stores.redeliveries.look(7) == []


async def test_a_result_is_found_by_its_serial_with_its_outputs(stores: Stores) -> None:
    await filed(stores)
    low = await stores.redeliveries.write(FENCE, result(5))
    high = await stores.redeliveries.write(FENCE, result(4, outcome=FAILED, detail="data-problem: half a letter"))
    assert low < high
    assert high <= stores.leases.serial(SUBSCRIBER, TOPIC_ID, PARTITION.partition)
    assert [serial for _, serial, _ in await stores.redeliveries.unconfirmed({FENCE: low - 1})] == [low, high]
    ((fence, serial, found),) = await stores.redeliveries.unconfirmed({FENCE: low})
    assert (fence, serial, found.offset, found.outcome) == (FENCE, high, 4, FAILED)
    ((_, _, found),) = (await stores.redeliveries.unconfirmed({FENCE: 0}))[:1]
    assert found == result(5)


async def test_what_is_written_stays_and_keeps_its_serial(stores: Stores) -> None:
    await filed(stores)
    serial = await stores.redeliveries.write(FENCE, result(5))
    assert await stores.redeliveries.write(FENCE, result(5, outcome="duplicate")) == serial
    ((_, _, found),) = await stores.redeliveries.unconfirmed({FENCE: 0})
    assert found.outcome == "applied"


async def test_the_offsets_beyond_the_position_are_known(stores: Stores) -> None:
    await filed(stores)
    for offset in (3, 4, 7):
        await stores.redeliveries.write(FENCE, result(offset))
    await stores.redeliveries.advance(FENCE, 1, 5)
    assert await stores.redeliveries.stretch(FENCE, 1) == (replace(STRETCH, position=5), frozenset({7}))
    assert await stores.redeliveries.stretch(FENCE, 2) is None
    assert [found.offset for _, _, found in await stores.redeliveries.unconfirmed({FENCE: 0})] == [7]


async def test_it_never_goes_back(stores: Stores) -> None:
    await filed(stores)
    await stores.redeliveries.advance(FENCE, 1, 6)
    await stores.redeliveries.advance(FENCE, 1, 5)
    found = await stores.redeliveries.stretch(FENCE, 1)
    assert found is not None
    assert found[0].position == 6


async def test_what_became_of_the_messages_is_counted_and_failures_are_kept(stores: Stores) -> None:
    await filed(stores)
    ends = {3: "applied", 4: FAILED, 5: "applied", 7: "duplicate"}
    for offset, outcome in ends.items():
        await stores.redeliveries.write(FENCE, result(offset, outcome=outcome, detail=f"of {offset}"))
    await stores.redeliveries.advance(FENCE, 1, 6)
    (found,) = await stores.redeliveries.look(1)
    assert found.counts == {"applied": 2, FAILED: 1, "duplicate": 1}
    assert [(failure.position, failure.why) for failure in found.failures] == [(f"{PARTITION.topic}/{PARTITION.partition}/4", "of 4")]
    assert found.state is RedeliveryState.RUNNING
    await stores.redeliveries.advance(FENCE, 1, 9)
    (found,) = await stores.redeliveries.look(1)
    assert found.counts == {"applied": 2, FAILED: 1, "duplicate": 1}
    assert found.state is RedeliveryState.DONE
    assert await stores.redeliveries.open() == []


async def test_it_is_done_once_all_of_its_stretches_are(stores: Stores) -> None:
    await filed(stores, STRETCH, Stretch(OTHER_PARTITION, TOPIC_ID, 0, 1, 0))
    await stores.redeliveries.advance(FENCE, 1, 9)
    assert [found.number for found in await stores.redeliveries.open()] == [1]
    other = Fence(SUBSCRIBER, TOPIC_ID, OTHER_PARTITION.partition, FENCE.epoch)
    await stores.take(other)
    await stores.redeliveries.advance(other, 1, 1)
    assert await stores.redeliveries.open() == []


async def test_whoever_has_lost_the_partition_writes_nothing(stores: Stores) -> None:
    await filed(stores)
    with pytest.raises(Fenced):
        await stores.redeliveries.write(STALE, result(5))
    with pytest.raises(Fenced):
        await stores.redeliveries.advance(STALE, 1, 9)
    assert await stores.redeliveries.unconfirmed({FENCE: 0}) == []


async def test_another_subscribers_results_are_not_ours(stores: Stores) -> None:
    await filed(stores)
    other = Fence("other", TOPIC_ID, PARTITION.partition, 1)
    await stores.take(other)
    await stores.redeliveries.file(replace(ASKED, subscriber="other"), [STRETCH])
    await stores.redeliveries.write(other, result(5, number=2))
    assert len(await stores.redeliveries.unconfirmed({other: 0})) == 1
    assert await stores.redeliveries.unconfirmed({FENCE: 0}) == []
