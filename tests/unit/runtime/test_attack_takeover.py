"""Attacks on takeovers: assignments that come and go while one is under way must not cost a record, or a partition its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest
from loop_bench import NAME, Bench, copier, tax_code

from integration_fabric.backends.memory.consumer import MemoryConsumer
from integration_fabric.backends.memory.transactions import MemoryTransactions
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.ports import Codec, CommittedOffset, Pending
from integration_fabric.runtime.records import TopicPartition

FIRST, SECOND = (TopicPartition(TaxCodeChanged.topic, number) for number in range(2))


def publish(bench: Bench) -> None:
    for partition in (FIRST, SECOND):
        for version in range(3):
            bench.publish(tax_code(f"k{partition.partition}", version), partition=partition.partition)


async def test_a_takeover_that_ends_late_does_not_let_go_what_was_assigned_anew(codec: Codec) -> None:
    """The store is slow, and meanwhile the second partition leaves and comes back: what is handed out too early would be dropped."""
    async with Bench(codec, partitions=2) as bench:
        publish(bench)
        bench.store.latency_s = 5
        async with bench.running(copier()) as member:
            await bench.until(lambda: bench.metadata(SECOND))
            before = member.consumer.snapshot().epochs[SECOND]
            guest = bench.broker.join(NAME, [TaxCodeChanged.topic])
            await bench.until(lambda: SECOND not in member.consumer.snapshot().epochs)
            bench.broker.expire(NAME, guest)
            await bench.until(lambda: member.consumer.snapshot().epochs.get(SECOND, 0) > before)
            await bench.until_committed()
    assert [bench.versions("k0"), bench.versions("k1")] == [[0, 1, 2], [0, 1, 2]]


async def test_a_partition_that_is_assigned_anew_just_before_it_is_retaken_is_taken_over(codec: Codec) -> None:
    """The consumer's turn, which goes on by itself, is ahead of the loop: `retake` then hits an assignment that the loop hears of later."""
    async with Bench(codec, partitions=2) as bench:
        publish(bench)
        async with bench.running(copier()) as member:
            await bench.until_committed()
            owned = member.loop._owned[SECOND]
            retake = member.consumer.retake

            async def retake_behind_an_assignment(partitions: list[TopicPartition]) -> object:
                member.loop.lost(partitions)
                member.consumer._begin(partitions)
                member.consumer._look()
                member.loop.assigned(partitions, member.consumer.snapshot())
                return await retake(partitions)

            member.consumer.retake = retake_behind_an_assignment  # type: ignore[method-assign,assignment]
            member.loop._retake([owned])
            await asyncio.sleep(0)
            publish(bench)
            bench.publish(tax_code("k1", 7), partition=1)
            await bench.until_committed()
    assert bench.versions("k1")[-1] == 7


async def test_a_handover_that_is_called_off_forgets_no_later_assignment(codec: Codec) -> None:
    """The rebalance has not waited: the partition is back before the handover notices that nobody waits for it."""
    async with Bench(codec) as bench, bench.running(copier()) as member:
        await bench.until(member.loop.partitions)
        member.loop._owned[FIRST].enter()
        handover = asyncio.create_task(member.loop.revoked([FIRST]))
        await asyncio.sleep(0)
        handover.cancel()
        member.consumer._waiting.add(FIRST)
        member.consumer._begin([FIRST])
        member.consumer._look()
        member.loop.assigned([FIRST], member.consumer.snapshot())
        await asyncio.wait({handover})
        bench.publish(tax_code("k", 1))
        await bench.until_committed()
    assert bench.versions("k") == [1]


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_what_a_predecessor_left_open_is_ended_and_swept_only_where_that_was_in_vain(
    codec: Codec, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So often the committed offset is still pending: first the predecessor is fenced, then what hangs of it is swept."""
    async with Bench(codec) as bench:
        async with bench.running(copier()) as first:
            bench.publish(tax_code("a", 0))
            await bench.until_committed()
        bench.publish(tax_code("a", 1))
        committed, pending, done = MemoryConsumer.committed, [Pending("open")] * times, []

        async def at_first_pending(self: MemoryConsumer, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
            if pending:
                raise pending.pop()
            return await committed(self, partitions)

        def note(name: str) -> Callable[..., Awaitable[None]]:
            async def call(_: MemoryTransactions, transactional_id: str, *__: object) -> None:
                done.append((name, transactional_id))

            return call

        monkeypatch.setattr(MemoryConsumer, "committed", at_first_pending)
        for name in ("fence", "sweep"):
            monkeypatch.setattr(MemoryTransactions, name, note(name))
        async with bench.running(copier()):
            await bench.until_committed()
        owner = first.transactions.transactional_id
        assert done == [("fence", owner), ("sweep", owner)][:times]
