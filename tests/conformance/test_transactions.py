"""`runtime.ports.Transactions`: outputs and offsets, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from broker_kit import Kit, Member, joined, offsets, outgoing, unique

from integration_fabric.runtime.ports import Aborted, Commit, Refused, Transactions
from integration_fabric.runtime.records import Outgoing, TopicPartition


@pytest.fixture
async def transactions(kit: Kit) -> AsyncIterator[Transactions]:
    """A producer that has begun."""
    transactions = kit.transactions(unique("tx"))
    await transactions.start()
    yield transactions
    await transactions.close()


@pytest.fixture
async def output_topic(kit: Kit) -> str:
    """Where outputs go."""
    name = unique("output")
    await kit.create_topic(name)
    return name


@pytest.fixture
async def member(kit: Kit, topic: str, group: str) -> AsyncIterator[Member]:
    """Owns the topic's only partition, which holds ten records."""
    await kit.put(topic, [(b"k", b"%d" % number) for number in range(10)])
    async with joined(kit, group, topic) as member:
        await member.owns(TopicPartition(topic, 0))
        yield member


async def position(member: Member, topic: str) -> int:
    partition = TopicPartition(topic, 0)
    return (await member.consumer.committed([partition]))[partition].offset


def values(records: Sequence[object]) -> list[object]:
    return [getattr(record, "value", None) for record in records]


async def test_outputs_and_offsets_are_there_together(
    kit: Kit, transactions: Transactions, member: Member, topic: str, output_topic: str
) -> None:
    partition = TopicPartition(topic, 0)
    await transactions.commit(Commit(outgoing(output_topic, b"a", b"b"), offsets(partition, offset=2), member.consumer.snapshot()))
    await transactions.commit(Commit(outgoing(output_topic, b"c"), offsets(partition, offset=3), member.consumer.snapshot()))
    found = await kit.read(output_topic)
    assert values(found) == [b"a", b"b", b"c"]
    assert [(record.key, record.headers) for record in found[:2]] == [(b"k", [("n", b"0")]), (b"k", [("n", b"1")])]
    assert await position(member, topic) == 3


async def test_what_is_not_committed_is_not_seen(
    kit: Kit, transactions: Transactions, member: Member, topic: str, output_topic: str
) -> None:
    """A predecessor died inside its transaction: neither its outputs nor what comes after them is seen until it is ended."""
    predecessor, partition = unique("predecessor"), TopicPartition(topic, 0)
    await kit.die_inside(predecessor, Commit(outgoing(output_topic, b"lost"), offsets(partition, offset=5), member.consumer.snapshot()))
    assert await kit.read(output_topic) == []
    await transactions.fence(predecessor)
    await transactions.commit(Commit(outgoing(output_topic, b"kept"), offsets(partition, offset=1), member.consumer.snapshot()))
    assert values(await kit.read(output_topic)) == [b"kept"]
    assert await position(member, topic) == 1


async def test_keys_and_values_may_be_absent(kit: Kit, transactions: Transactions, member: Member, topic: str, output_topic: str) -> None:
    odd = [Outgoing(output_topic, None, None, ()), Outgoing(output_topic, b"", b"", (("empty", b""),))]
    await transactions.commit(Commit(odd, offsets(TopicPartition(topic, 0), offset=1), member.consumer.snapshot()))
    found = await kit.read(output_topic)
    assert [(record.key, record.value, record.headers or []) for record in found] == [(None, None, []), (b"", b"", [("empty", b"")])]


async def test_offsets_alone_are_a_commit(transactions: Transactions, member: Member, topic: str) -> None:
    await transactions.commit(Commit([], offsets(TopicPartition(topic, 0), offset=4), member.consumer.snapshot()))
    assert await position(member, topic) == 4


async def test_offsets_of_a_partition_that_has_moved_are_refused_under_the_old_snapshot(
    kit: Kit, transactions: Transactions, wide_topic: str, output_topic: str, group: str
) -> None:
    """And nothing of the transaction is seen; the next one under a fresh snapshot goes through."""
    both = [TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)]
    async with joined(kit, group, wide_topic) as first:
        await first.owns(*both)
        old = first.consumer.snapshot()
        await transactions.commit(Commit([], offsets(*both, offset=0), old))
        async with joined(kit, group, wide_topic) as second:
            await second.listener.until(lambda: len(second.listener.owned) == 1)
            await first.listener.until(lambda: len(first.listener.owned) == 1)
            with pytest.raises(Refused):
                await transactions.commit(Commit(outgoing(output_topic, b"zombie"), offsets(*both, offset=7), old))
            (kept,) = first.listener.owned
            (moved,) = second.listener.owned
            assert (await second.consumer.committed([moved]))[moved].offset == 0
            await transactions.commit(Commit(outgoing(output_topic, b"ours"), offsets(kept, offset=1), first.consumer.snapshot()))
    assert values(await kit.read(output_topic)) == [b"ours"]


async def test_a_member_that_has_left_is_refused(
    kit: Kit, transactions: Transactions, topic: str, output_topic: str, group: str
) -> None:
    partition = TopicPartition(topic, 0)
    async with joined(kit, group, topic) as first:
        await first.owns(partition)
        old = first.consumer.snapshot()
    async with joined(kit, group, topic) as second:
        await second.owns(partition)
        with pytest.raises(Refused):
            await transactions.commit(Commit(outgoing(output_topic, b"zombie"), offsets(partition, offset=7), old))
        assert (await second.consumer.committed([partition]))[partition].offset == 0
    assert await kit.read(output_topic) == []


async def test_a_snapshot_stays_good_while_its_partitions_are_owned(
    kit: Kit, transactions: Transactions, wide_topic: str, group: str
) -> None:
    """Others join and leave; what this member kept all the while may be committed under the older snapshot, or is refused whole."""
    both = [TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)]
    async with joined(kit, group, wide_topic) as first:
        await first.owns(*both)
        old = first.consumer.snapshot()
        async with joined(kit, group, wide_topic) as second:
            await second.listener.until(lambda: len(second.listener.owned) == 1)
            await first.listener.until(lambda: len(first.listener.owned) == 1)
            (kept,) = first.listener.owned
            narrowed = replace(old, epochs={kept: old.epochs[kept]})
            try:
                await transactions.commit(Commit([], offsets(kept, offset=1), narrowed))
                expected = 1
            except Refused:
                expected = 0
            assert (await first.consumer.committed([kept]))[kept].offset == expected


async def test_a_producer_that_was_fenced_begins_anew(
    kit: Kit, transactions: Transactions, member: Member, topic: str, output_topic: str
) -> None:
    """A successor ended us by mistake: nothing of what we tried is seen, and trying again works."""
    partition = TopicPartition(topic, 0)
    other = kit.transactions(unique("tx"))
    await other.start()
    await other.fence(transactions.transactional_id)
    await other.close()
    commit = Commit(outgoing(output_topic, b"again"), offsets(partition, offset=1), member.consumer.snapshot())
    with pytest.raises(Aborted):
        await transactions.commit(commit)
    assert await kit.read(output_topic) == []
    await transactions.commit(commit)
    assert values(await kit.read(output_topic)) == [b"again"]


async def test_ending_what_nobody_has_open_is_fine(transactions: Transactions) -> None:
    await transactions.fence(unique("nobody"))


async def test_many_outputs_keep_their_order(kit: Kit, transactions: Transactions, member: Member, topic: str, output_topic: str) -> None:
    many = [b"%d" % number for number in range(5000)]
    await transactions.commit(Commit(outgoing(output_topic, *many), offsets(TopicPartition(topic, 0), offset=1), member.consumer.snapshot()))
    assert values(await kit.read(output_topic)) == many


async def test_a_commit_that_is_no_longer_waited_for_happens_wholly_or_not_at_all(
    kit: Kit, transactions: Transactions, member: Member, topic: str, output_topic: str
) -> None:
    """And before the next one."""
    partition = TopicPartition(topic, 0)
    snapshot = member.consumer.snapshot()
    first = asyncio.create_task(transactions.commit(Commit(outgoing(output_topic, b"1", b"1"), offsets(partition, offset=1), snapshot)))
    await asyncio.sleep(0)
    first.cancel()
    await transactions.commit(Commit(outgoing(output_topic, b"2"), offsets(partition, offset=2), snapshot))
    assert values(await kit.read(output_topic)) in ([b"1", b"1", b"2"], [b"2"])
    assert await position(member, topic) == 2


async def test_closing_is_quick_and_may_be_done_twice(kit: Kit) -> None:
    transactions = kit.transactions(unique("tx"))
    await transactions.start()
    async with asyncio.timeout(5):
        await transactions.close()
        await transactions.close()
