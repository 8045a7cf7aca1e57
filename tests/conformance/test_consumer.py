"""`runtime.ports.Consumer`: one member of one group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from broker_kit import Kit, joined, offsets, outgoing, unique, until

from integration_fabric.messages.errors import UsageProblem
from integration_fabric.runtime.offsets import MAX_METADATA_CHARS, CommitMetadata
from integration_fabric.runtime.ports import Commit, CommittedOffset, Pending
from integration_fabric.runtime.records import TopicPartition

pytestmark = pytest.mark.every_protocol

# -- assignment


async def test_an_assigned_partition_is_silent_until_it_is_let_go(kit: Kit, wide_topic: str, group: str) -> None:
    first, second = TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)
    await kit.put(wide_topic, [(b"k", b"0")], partition=0)
    await kit.put(wide_topic, [(b"k", b"1")], partition=1)
    async with joined(kit, group, wide_topic) as member:
        await member.owns(first, second)
        await member.go(second)
        await member.receives(b"1")
        await member.go(first)
        await member.receives(b"1", b"0")


async def test_records_come_with_everything_that_they_have(kit: Kit, topic: str, group: str) -> None:
    partition = TopicPartition(topic, 0)
    await kit.put(topic, [(None, b"no key"), (b"no value", None), (b"", b""), (b"\xff\x00", b"\x00\xff")])
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        await member.go(partition)
        await member.receives(b"no key", None, b"", b"\x00\xff")
    records = member.listener.records
    assert [record.key for record in records] == [None, b"no value", b"", b"\xff\x00"]
    assert [record.offset for record in records] == [0, 1, 2, 3]
    assert {(record.topic, record.partition) for record in records} == {partition}
    assert all(record.timestamp_ms > 1_700_000_000_000 for record in records)
    assert not any(record.headers for record in records)


async def test_headers_come_in_order_also_two_of_one_name(kit: Kit, topic: str, group: str) -> None:
    partition = TopicPartition(topic, 0)
    transactions = kit.transactions(unique("tx"))
    await transactions.start()
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        (output,) = outgoing(topic, b"v")
        many = type(output)(topic, b"k", b"v", (("a", b"1"), ("b", b"\xff"), ("a", b"2")))
        await transactions.commit(Commit([many], offsets(partition, offset=0), member.consumer.snapshot()))
        await member.go(partition)
        await member.receives(b"v")
    await transactions.close()
    assert member.listener.records[0].headers == [("a", b"1"), ("b", b"\xff"), ("a", b"2")]


async def test_partitions_are_let_go_at_a_position(kit: Kit, topic: str, group: str) -> None:
    partition = TopicPartition(topic, 0)
    await kit.put(topic, [(b"k", b"%d" % number) for number in range(5)])
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        await member.consumer.go({partition: 3, TopicPartition(topic, 99): 0})
        await member.receives(b"3", b"4")


async def test_a_partition_that_is_owned_in_another_epoch_is_not_let_go(kit: Kit, wide_topic: str, group: str) -> None:
    """It was lost and came back meanwhile: nobody has taken it over in the new epoch yet."""
    first, second = TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)
    async with joined(kit, group, wide_topic) as member:
        await member.owns(first, second)
        old = dict(member.listener.owned)
        await member.consumer.retake([first])
        await kit.put(wide_topic, [(b"k", b"0")], partition=0)
        await kit.put(wide_topic, [(b"k", b"1")], partition=1)
        await member.consumer.go({first: 0, second: 0}, epochs=old)
        await member.receives(b"1")
        await member.consumer.go({first: 0}, epochs=member.consumer.snapshot().epochs)
        await member.receives(b"1", b"0")


async def test_gaps_of_transactions_are_passed_over(kit: Kit, topic: str, group: str) -> None:
    """Markers and aborted records take offsets up and are not handed out; the position passes those between records."""
    partition = TopicPartition(topic, 0)
    await kit.put_in_transactions(topic, [b"a", b"b", b"c"])
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        await member.go(partition)
        await member.receives(b"a", b"b", b"c")
        found = [record.offset for record in member.listener.records]
        assert found == sorted(found)
        assert found[-1] - found[0] > 2
        assert (await member.consumer.positions())[partition] > found[-1]


async def test_two_members_share_and_the_one_that_gives_is_waited_for(kit: Kit, wide_topic: str, group: str) -> None:
    """What the first does when it is told to hand over ends before the second has the partition."""
    partitions = {TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)}
    handed_over, finished = asyncio.Event(), asyncio.Event()

    async def finish(_: Sequence[TopicPartition]) -> None:
        handed_over.set()
        await finished.wait()

    async with joined(kit, group, wide_topic, revoked=finish) as first:
        await first.owns(*partitions)
        async with joined(kit, group, wide_topic) as second:
            async with asyncio.timeout(20):
                await handed_over.wait()
            assert second.listener.owned == {}
            finished.set()
            await second.listener.until(lambda: len(second.listener.owned) == 1)
            await first.listener.until(lambda: len(first.listener.owned) == 1)
            assert set(first.listener.owned) | set(second.listener.owned) == partitions
        await first.owns(*partitions)


async def test_each_assignment_has_an_epoch_of_its_own_and_a_snapshot_shows_what_is_owned(kit: Kit, wide_topic: str, group: str) -> None:
    partitions = [TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)]
    async with joined(kit, group, wide_topic) as first:
        await first.owns(*partitions)
        before = dict(first.listener.owned)
        assert first.consumer.snapshot().epochs == before
        async with joined(kit, group, wide_topic) as second:
            await second.listener.until(lambda: len(second.listener.owned) == 1)
            await first.listener.until(lambda: len(first.listener.owned) == 1)
            assert first.consumer.snapshot().epochs == first.listener.owned
            (kept,) = first.listener.owned
        await first.owns(*partitions)
        (regained,) = set(partitions) - {kept}
        assert (first.listener.owned[kept] == before[kept]) is kit.is_incremental
        assert first.listener.owned[regained] > before[regained]


async def test_leaving_hands_over_and_is_quick(kit: Kit, topic: str, group: str) -> None:
    partition = TopicPartition(topic, 0)
    async with joined(kit, group, topic) as first:
        await first.owns(partition)
        async with joined(kit, group, topic) as second:
            if not kit.is_incremental:  # the partition is given up, and may be the other's then
                await first.listener.until(lambda: ("revoked", (partition,)) in first.listener.told)
                await until(lambda: first.listener.owned or second.listener.owned)
            leaving, heir = (first, second) if first.listener.owned else (second, first)
            async with asyncio.timeout(5):
                await leaving.consumer.close()
            assert leaving.listener.told[-2:] == [("revoking", (partition,)), ("revoked", (partition,))]
            async with asyncio.timeout(5):
                await heir.owns(partition)


async def test_leaving_is_bounded_though_the_listener_hangs(kit: Kit, topic: str, group: str) -> None:
    async def hang(_: Sequence[TopicPartition]) -> None:
        await asyncio.Event().wait()

    async with joined(kit, group, topic, revoked=hang) as member:
        await member.owns(TopicPartition(topic, 0))
        async with asyncio.timeout(10):
            await member.consumer.close()


async def test_a_topic_that_is_not_there_is_said_so(kit: Kit, topic: str, group: str) -> None:
    consumer = kit.consumer(group)
    missing = unique("missing")
    with pytest.raises(UsageProblem, match=missing):
        await consumer.start([topic, missing], None)  # type: ignore[arg-type]
    await consumer.close()


async def test_a_topic_made_again_has_another_id(kit: Kit, group: str) -> None:
    topic = unique("again")
    ids = []
    for _ in range(2):
        await kit.create_topic(topic)
        async with joined(kit, group, topic) as member:
            ids.append(member.consumer.topic_id(topic))
        await kit.delete_topic(topic)
    assert ids[0] != ids[1]


# -- holding and retaking


@pytest.mark.parametrize("long", [False, True], ids=["briefly", "for long"])
async def test_holding_and_releasing_loses_nothing_and_keeps_the_order(kit: Kit, topic: str, group: str, *, long: bool) -> None:
    partition = TopicPartition(topic, 0)
    values = [b"%d" % number for number in range(3000)]
    await kit.put(topic, [(b"k", value) for value in values[:2000]])
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        await member.go(partition)
        await member.listener.until(lambda: member.listener.records)
        member.consumer.hold()
        await kit.put(topic, [(b"k", value) for value in values[2000:]])
        if long:
            await kit.held_for_long(member.consumer)
        member.consumer.release()
        await member.receives(*values)


async def test_a_held_member_is_given_partitions_and_stays_silent(kit: Kit, topic: str, group: str) -> None:
    partition = TopicPartition(topic, 0)
    await kit.put(topic, [(b"k", b"0")])
    async with joined(kit, group, topic) as member:
        member.consumer.hold()
        await member.owns(partition)
        await member.go(partition)
        await kit.held_for_long(member.consumer)
        assert member.listener.records == []
        member.consumer.release()
        await member.receives(b"0")


async def test_a_partition_that_is_held_back_is_silent_and_the_others_are_not(kit: Kit, wide_topic: str, group: str) -> None:
    first, second = TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)
    async with joined(kit, group, wide_topic) as member:
        await member.owns(first, second)
        await member.go(first, second)
        member.consumer.hold_back([first, TopicPartition(wide_topic, 99)])
        await member.consumer.positions()  # it has obeyed
        await kit.put(wide_topic, [(b"k", b"0")], partition=0)
        await kit.put(wide_topic, [(b"k", b"1")], partition=1)
        await member.receives(b"1")
        member.consumer.hold()
        member.consumer.release()
        await member.consumer.retake([first])
        await member.consumer.go({first: 0})
        await kit.put(wide_topic, [(b"k", b"2")], partition=1)
        await member.receives(b"1", b"2")
        member.consumer.hold_back([])
        await member.receives(b"1", b"2", b"0")


async def test_a_partition_that_is_held_back_stays_so_when_it_was_lost_and_comes_back(kit: Kit, wide_topic: str, group: str) -> None:
    first, second = TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)
    async with joined(kit, group, wide_topic) as member:
        await member.owns(first, second)
        await member.go(first, second)
        member.consumer.hold_back([first, second])
        async with joined(kit, group, wide_topic) as other:
            await other.listener.until(lambda: other.listener.owned)
        await member.owns(first, second)
        await member.go(first, second)
        await kit.put(wide_topic, [(b"k", b"0")], partition=0)
        await kit.put(wide_topic, [(b"k", b"1")], partition=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await member.listener.until(lambda: member.listener.records)
        member.consumer.hold_back([])
        await member.listener.until(lambda: len(member.listener.records) == 2)
        assert set(member.listener.values()) == {b"0", b"1"}


async def test_what_is_retaken_is_handed_out_again_under_a_new_epoch(kit: Kit, topic: str, group: str) -> None:
    partition = TopicPartition(topic, 0)
    await kit.put(topic, [(b"k", b"%d" % number) for number in range(4)])
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        await member.go(partition)
        await member.receives(b"0", b"1", b"2", b"3")
        old = member.listener.owned[partition]
        snapshot = await member.consumer.retake([partition, TopicPartition(topic, 99)])
        assert list(snapshot.epochs) == [partition]
        assert snapshot.epochs[partition] > old
        await member.consumer.go({partition: 2})
        await member.receives(b"0", b"1", b"2", b"3", b"2", b"3")
    assert member.listener.epochs == [old] * 4 + [snapshot.epochs[partition]] * 2


async def test_what_is_retaken_stays_silent_until_it_is_let_go(kit: Kit, wide_topic: str, group: str) -> None:
    first, second = TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)
    async with joined(kit, group, wide_topic) as member:
        await member.owns(first, second)
        await member.go(first, second)
        await member.consumer.retake([first])
        await kit.put(wide_topic, [(b"k", b"0")], partition=0)
        await kit.put(wide_topic, [(b"k", b"1")], partition=1)
        await member.receives(b"1")
        await member.consumer.go({first: 0})
        await member.receives(b"1", b"0")


# -- what is committed


async def test_what_was_never_committed_begins_at_the_start_of_the_topic(kit: Kit, topic: str, group: str) -> None:
    partition = TopicPartition(topic, 0)
    await kit.put(topic, [(b"k", b"%d" % number) for number in range(5)])
    await kit.delete_records(partition, before=3)
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        assert await member.consumer.committed([partition]) == {partition: CommittedOffset(3, None)}
        await member.go(partition)
        await member.receives(b"3", b"4")


async def test_metadata_comes_back_as_it_was_committed(kit: Kit, topic: str, group: str) -> None:
    partition = TopicPartition(topic, 0)
    short = CommitMetadata(2, 7, 9, "store")
    longest = CommitMetadata(3, 7, 9, "store", completed="x" * (MAX_METADATA_CHARS - len(CommitMetadata(3, 7, 9, "store").encode())))
    assert len(longest.encode()) == MAX_METADATA_CHARS
    transactions = kit.transactions(unique("tx"))
    await transactions.start()
    await kit.put(topic, [(b"k", b"%d" % number) for number in range(5)])
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        for metadata in (short, longest):
            commit = Commit([], offsets(partition, offset=metadata.base, metadata=metadata.encode()), member.consumer.snapshot())
            await transactions.commit(commit)
            assert await member.consumer.committed([partition]) == {partition: CommittedOffset(metadata.base, metadata)}
    await transactions.close()


@pytest.mark.parametrize(
    ("metadata", "foreign"),
    [("", False), ("AgAAAYx", True), (CommitMetadata(1, 7, 0, "store").encode(), True)],
    ids=["none", "another's", "ours, of another offset"],
)
async def test_metadata_that_is_not_ours_is_told_apart(kit: Kit, topic: str, group: str, metadata: str, *, foreign: bool) -> None:
    partition = TopicPartition(topic, 0)
    await kit.put(topic, [(b"k", b"%d" % number) for number in range(3)])
    await kit.commit_foreign(group, partition, 2, metadata)
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        assert await member.consumer.committed([partition]) == {partition: CommittedOffset(2, None, foreign=foreign)}
        await member.go(partition)
        await member.receives(b"2")


async def test_an_open_transaction_of_a_predecessor_is_told_and_can_be_ended(kit: Kit, topic: str, group: str) -> None:
    partition = TopicPartition(topic, 0)
    await kit.put(topic, [(b"k", b"%d" % number) for number in range(3)])
    predecessor, transactions = unique("predecessor"), kit.transactions(unique("tx"))
    await transactions.start()
    async with joined(kit, group, topic) as member:
        await member.owns(partition)
        await kit.die_inside(predecessor, Commit([], offsets(partition, offset=2), member.consumer.snapshot()))
        with pytest.raises(Pending):
            await member.consumer.committed([partition])
        async with asyncio.timeout(5):
            await transactions.fence(predecessor)
            found = await member.consumer.committed([partition])
        assert found == {partition: CommittedOffset(0, None)}, "what it left open was aborted"
    await transactions.close()
