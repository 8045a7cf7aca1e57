"""`runtime.ports.Retained`: what stands in a topic is read again, beside every group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from broker_kit import Kit, unique

from integration_fabric.runtime.ports import Retained
from integration_fabric.runtime.records import Record, TopicPartition


@pytest.fixture
async def retained(kit: Kit) -> AsyncIterator[Retained]:
    found = kit.retained()
    yield found
    await found.close()


@pytest.fixture
async def partition(kit: Kit) -> TopicPartition:
    name = unique("retained")
    await kit.create_topic(name, 2)
    return TopicPartition(name, 0)


async def read(retained: Retained, partition: TopicPartition, end: int, *, position: int = 0, limit: int = 1000) -> list[Record]:
    """All of it, however often it takes."""
    found: list[Record] = []
    for _ in range(1000):
        records, onward = await retained.read(partition, position, end, limit)
        assert len(records) <= limit
        assert all(position <= record.offset < onward for record in records), "it goes on behind what it gave"
        found += records
        position = onward
        if position >= end:
            return found
    raise AssertionError(f"never at its end: {position} of {end}")


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]


async def test_what_is_there_comes_as_it_is(kit: Kit, retained: Retained, partition: TopicPartition) -> None:
    await kit.put(partition.topic, [(b"k", b"a"), (None, b"b"), (b"k", None)])
    found = await read(retained, partition, 3)
    assert [(record.topic, record.partition, record.offset, record.key, record.value) for record in found] == [
        (partition.topic, 0, 0, b"k", b"a"),
        (partition.topic, 0, 1, None, b"b"),
        (partition.topic, 0, 2, b"k", None),
    ]
    assert all(record.timestamp_ms > 0 for record in found)


async def test_only_what_is_asked_for_comes(kit: Kit, retained: Retained, partition: TopicPartition) -> None:
    await kit.put(partition.topic, [(b"k", b"%d" % number) for number in range(10)])
    assert values(await read(retained, partition, 7, position=3)) == [b"3", b"4", b"5", b"6"]
    assert values(await read(retained, partition, 2)) == [b"0", b"1"]
    assert await retained.read(partition, 5, 5, 10) == ([], 5)


async def test_it_goes_on_where_it_was_also_after_another_partition(kit: Kit, retained: Retained, partition: TopicPartition) -> None:
    other = TopicPartition(partition.topic, 1)
    await kit.put(partition.topic, [(b"k", b"%d" % number) for number in range(6)])
    await kit.put(partition.topic, [(b"k", b"other")], partition=1)
    first, onward = await retained.read(partition, 0, 6, 2)
    assert values(await read(retained, other, 1)) == [b"other"]
    rest = await read(retained, partition, 6, position=onward, limit=2)
    found = [*first, *rest]
    assert values(found) == [b"%d" % number for number in range(6)]
    assert all(before.offset < after.offset for before, after in pairwise(found))


async def test_what_was_aborted_does_not_come_and_markers_are_passed_over(kit: Kit, retained: Retained, partition: TopicPartition) -> None:
    await kit.put_in_transactions(partition.topic, [b"a", b"b", b"c"])
    (last, *_) = sorted((record.offset for record in await kit.read(partition.topic)), reverse=True)
    found = await read(retained, partition, last + 2)
    assert values(found) == values(list(await kit.read(partition.topic)))


async def test_what_retention_has_taken_is_passed_over(kit: Kit, retained: Retained, partition: TopicPartition) -> None:
    await kit.put(partition.topic, [(b"k", b"%d" % number) for number in range(6)])
    await kit.delete_records(partition, before=4)
    assert values(await read(retained, partition, 6)) == [b"4", b"5"]
