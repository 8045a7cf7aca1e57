"""`runtime.ports.Transactions`: outputs and offsets, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from broker_kit import Kit, Stage, joined, offsets, outgoing, staged, unique

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
async def stage(kit: Kit, transactions: Transactions, output_topic: str) -> AsyncIterator[Stage]:
    """Everything is ready."""
    async with staged(kit, transactions, output_topic) as found:
        yield found


async def test_outputs_and_offsets_are_there_together(stage: Stage) -> None:
    await stage.commit(b"a", b"b", offset=2)
    await stage.commit(b"c", offset=3)
    found = await stage.kit.read(stage.output_topic)
    assert [record.value for record in found] == [b"a", b"b", b"c"]
    assert [(record.key, record.headers) for record in found[:2]] == [(b"k", [("n", b"0")]), (b"k", [("n", b"1")])]
    assert await stage.position() == 3


async def test_what_is_not_committed_is_not_seen(stage: Stage) -> None:
    """A predecessor died inside its transaction: neither its outputs nor what comes after them is seen until it is ended."""
    predecessor = unique("predecessor")
    await stage.kit.die_inside(predecessor, stage.made(b"lost", offset=5))
    assert await stage.put_out() == []
    await stage.transactions.fence(predecessor)
    await stage.commit(b"kept", offset=1)
    assert await stage.put_out() == [b"kept"]
    assert await stage.position() == 1


async def test_keys_and_values_may_be_absent(stage: Stage) -> None:
    odd = [Outgoing(stage.output_topic, None, None, ()), Outgoing(stage.output_topic, b"", b"", (("empty", b""),))]
    await stage.transactions.commit(replace(stage.made(offset=1), outputs=odd))
    found = await stage.kit.read(stage.output_topic)
    assert [(record.key, record.value, record.headers or []) for record in found] == [(None, None, []), (b"", b"", [("empty", b"")])]


async def test_offsets_alone_are_a_commit(stage: Stage) -> None:
    await stage.commit(offset=4)
    assert await stage.position() == 4


@pytest.mark.every_protocol
async def test_offsets_of_a_partition_that_has_moved_are_refused_under_the_old_snapshot(
    kit: Kit, transactions: Transactions, wide_topic: str, output_topic: str
) -> None:
    """And nothing of the transaction is seen; the next one under a fresh snapshot goes through."""
    both, group = [TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)], unique("group")
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
    assert [record.value for record in await kit.read(output_topic)] == [b"ours"]


@pytest.mark.every_protocol
async def test_a_member_that_has_left_is_refused(kit: Kit, transactions: Transactions, topic: str, output_topic: str) -> None:
    partition, group = TopicPartition(topic, 0), unique("group")
    async with joined(kit, group, topic) as first:
        await first.owns(partition)
        old = first.consumer.snapshot()
    async with joined(kit, group, topic) as second:
        await second.owns(partition)
        with pytest.raises(Refused):
            await transactions.commit(Commit(outgoing(output_topic, b"zombie"), offsets(partition, offset=7), old))
        assert (await second.consumer.committed([partition]))[partition].offset == 0
    assert await kit.read(output_topic) == []


@pytest.mark.every_protocol
async def test_an_older_snapshot_of_what_is_still_owned_commits_wholly_or_is_refused_wholly(
    kit: Kit, transactions: Transactions, wide_topic: str, group: str
) -> None:
    """Another member took the other partition meanwhile; which of the two it is depends on the group protocol."""
    both = [TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)]
    async with joined(kit, group, wide_topic) as first:
        await first.owns(*both)
        old = first.consumer.snapshot()
        async with joined(kit, group, wide_topic) as second:
            await second.listener.until(lambda: len(second.listener.owned) == 1)
            await first.listener.until(lambda: len(first.listener.owned) == 1)
            (kept,) = first.listener.owned
            try:
                await transactions.commit(Commit([], offsets(kept, offset=1), replace(old, epochs={kept: old.epochs[kept]})))
                expected = 1
            except Refused:
                expected = 0
            assert (await first.consumer.committed([kept]))[kept].offset == expected


async def test_a_producer_that_was_fenced_begins_anew(stage: Stage) -> None:
    """A successor ended us by mistake: nothing of what we tried is seen, and trying again works."""
    other = stage.kit.transactions(unique("tx"))
    await other.start()
    await other.fence(stage.transactions.transactional_id)
    await other.close()
    with pytest.raises(Aborted):
        await stage.commit(b"again", offset=1)
    assert await stage.put_out() == []
    await stage.commit(b"again", offset=1)
    assert await stage.put_out() == [b"again"]


async def test_ending_what_nobody_has_open_is_fine(transactions: Transactions) -> None:
    await transactions.fence(unique("nobody"))


async def test_many_outputs_keep_their_order(stage: Stage) -> None:
    many = [b"%d" % number for number in range(5000)]
    await stage.commit(*many, offset=1)
    assert await stage.put_out() == many


async def test_a_commit_that_is_no_longer_waited_for_happens_wholly_or_not_at_all(stage: Stage) -> None:
    """And before the next one."""
    first = asyncio.create_task(stage.commit(b"1", b"1", offset=1))
    await asyncio.sleep(0)
    first.cancel()
    await stage.commit(b"2", offset=2)
    assert await stage.put_out() in ([b"1", b"1", b"2"], [b"2"])
    assert await stage.position() == 2


async def test_closing_is_quick_and_may_be_done_twice(kit: Kit) -> None:
    transactions = kit.transactions(unique("tx"))
    await transactions.start()
    async with asyncio.timeout(5):
        await transactions.close()
        await transactions.close()
