"""Offsets with gaps, maps of what is done, partitions that are found in any state (R09 to R12)."""

from __future__ import annotations

import asyncio
import time

import pytest
from broker_kit import KafkaKit, Member, joined, offsets, unique
from confluent_kafka import TopicPartition as KafkaPartition
from site_of_workers import Job, Site, Worker

from integration_fabric.backends.sql.leases import SqlLeases
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.feeding import UNFED_LOOKS
from integration_fabric.runtime.offset_map import OffsetMap
from integration_fabric.runtime.offsets import MAX_METADATA_CHARS, CommitMetadata
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Aborted, Commit, TakenLease
from integration_fabric.runtime.records import TopicPartition

FIRST_TAKEOVER_S = 2.0
"""With a predecessor that died inside its transaction."""


async def test_r09_gaps_hold_nothing_up_and_the_lag_reaches_nothing(site: Site) -> None:
    """R09: markers and aborted records take offsets up, also at the end of a partition; they count as done."""
    worker = site.start()
    await site.until_owned(worker, 2)
    await site.kit.put_in_transactions(site.reads.topic, [site.encoded("a", number) for number in range(4)])
    await site.until(lambda: site.metric("fabric_messages_total", outcome="applied") == 4)
    ends = await site.ends()
    assert ends[site.partition(0)] > 8
    async with asyncio.timeout(5):
        while not (lag := await worker.loop.lag(ends)).nothing:
            assert lag.open == 0
            await asyncio.sleep(0.02)
    assert await site.made() == [("a", number) for number in range(4)]


async def test_r09_what_is_gone_from_the_topic_is_done(site: Site) -> None:
    """R09: open offsets of the map that compaction or retention took hold the base up no longer."""
    gone = OffsetMap(6, (1, 2, 3))
    await found_at(site, 1, gone.encode(100) or "")
    await site.put(["a"], range(8), partition=0)
    await site.kit.delete_records(site.partition(0), before=4)
    worker = site.start()
    await site.until_owned(worker, 2)
    await site.until_committed()
    assert await site.made() == [("a", 6), ("a", 7)]
    (found,) = [at for p, at in (await site.committed()).items() if p == site.partition(0)]
    assert found is not None
    assert found.metadata is not None
    assert (found.offset, found.metadata.completed) == (8, "")


async def found_at(site: Site, offset: int, completed: str = "") -> None:
    """What a predecessor committed of the first partition, with this very store."""
    text = CommitMetadata(offset, 1, 0, site.database.store_id, completed).encode()
    await site.kit.commit_foreign(site.name, site.partition(0), offset, text)


async def test_r10_a_broker_takes_metadata_up_to_our_limit_and_no_more(kafka_kit: KafkaKit) -> None:
    """R10: at most 4,095 ASCII characters, as the client appends a NUL; what is too long is aborted, and the next commit goes through."""
    topic = unique("topic")
    await kafka_kit.create_topic(topic)
    partition = TopicPartition(topic, 0)
    transactions = kafka_kit.transactions(unique("tx"))
    await transactions.start()
    async with joined(kafka_kit, unique("group"), topic) as member:
        await member.owns(partition)
        snapshot = member.consumer.snapshot()
        with pytest.raises(Aborted, match="metadata"):
            await transactions.commit(Commit([], offsets(partition, offset=2, metadata="x" * (MAX_METADATA_CHARS + 1)), snapshot))
        await transactions.commit(Commit([], offsets(partition, offset=1, metadata="x" * MAX_METADATA_CHARS), snapshot))
        assert (await member.consumer.committed([partition]))[partition].offset == 1
    await transactions.close()


async def test_r11_a_full_map_stops_the_intake_and_is_never_dropped(site: Site) -> None:
    """R11: from 75 % on only what closes gaps is started, nothing more is fetched, a metric says so; freed, it takes everything again."""
    go_on = asyncio.Event()
    keys = [f"k{number}" for number in range(120)]

    stuck = set(keys[1::2])

    async def every_other_one_is_stuck(job: Job) -> None:
        if job.job in stuck:
            await go_on.wait()

    bounds = Bounds(map_chars=12)
    worker = site.start(every_other_one_is_stuck, policy=Policy(in_flight=200), bounds=bounds)
    await site.until_owned(worker, 2)
    await site.put(keys, [0], partition=0)
    await site.until(lambda: site.metric("fabric_tight_offset_maps") == 1)
    await site.put(keys, [1], partition=0)
    await site.put(["other"], [0, 1], partition=1)
    await site.until(lambda: worker.loop._owned[site.partition(1)].committed == 2)
    found = (await site.committed())[site.partition(0)]
    assert found is not None
    assert found.metadata is not None
    assert 0 < len(found.metadata.completed) <= bounds.map_chars
    lag = await worker.loop.lag(await site.ends())
    assert lag.behind >= len(keys) - 1, "it went on to fetch"
    go_on.set()
    await site.until_committed()
    await site.until(lambda: site.metric("fabric_tight_offset_maps") == 0)
    assert await site.made_by_key() == {key: [0, 1] for key in [*keys, "other"]}


async def test_r12_a_partition_that_was_paused_lost_and_regained_delivers(site: Site) -> None:
    """R12: a pause survives revocation in librdkafka: what is assigned anew is resumed, and what was held here is forgotten."""
    worker = site.start()
    await site.until_owned(worker, 2)
    worker.consumer.hold()
    await site.kit.held_for_long(worker.consumer)
    async with joined(site.kit, site.name, site.reads.topic) as other:
        await other.listener.until(lambda: len(other.listener.owned) == 1)
        await site.until(lambda: len(worker.owned()) == 1)
    await site.until_owned(worker, 2)
    worker.consumer.release()
    await site.put(["a", "b"], range(3))
    await site.until_committed()
    assert await site.made_by_key() == {"a": [0, 1, 2], "b": [0, 1, 2]}


async def test_r12_a_partition_that_the_client_forgets_is_fetched_anew(site: Site) -> None:
    """R12: librdkafka passes a resume over that comes close to an assignment (#5591): here one partition stays paused as if it had."""
    worker, forgotten = site.start(), site.partition(0)
    await site.until_owned(worker, 2)
    await site.put(["a", "b"], [0])
    await site.until_committed()
    await worker.consumer._ask(lambda: worker.consumer._consumer.pause([KafkaPartition(*forgotten)]))
    await site.put(["a", "b"], [1])
    for _ in range(UNFED_LOOKS):
        await look_at_feeding(site, worker)
    assert await site.made_by_key() == {"a": [0], "b": [0, 1]}
    await look_at_feeding(site, worker)
    await site.until_committed()
    assert await site.made_by_key() == {"a": [0, 1], "b": [0, 1]}


async def test_r12_markers_at_the_end_of_a_partition_are_no_reason_to_start_anew(site: Site) -> None:
    """R12: they are fetched, and never handed out."""
    worker = site.start()
    await site.until_owned(worker, 2)
    await site.kit.put_in_transactions(site.reads.topic, [site.encoded("a", number) for number in range(2)])
    await site.until(lambda: site.metric("fabric_messages_total", outcome="applied") == 2)
    for _ in range(4 * UNFED_LOOKS):
        await look_at_feeding(site, worker)
    assert not worker.task.done()
    await site.put(["b"], [0], partition=0)
    await site.until(lambda: site.metric("fabric_messages_total", outcome="applied") == 3)


async def look_at_feeding(site: Site, worker: Worker) -> None:
    """As a worker does, but more often."""
    await asyncio.sleep(0.3)
    await worker.loop.look_at_feeding(await site.ends())


async def test_r12_a_predecessors_open_transaction_is_ended(site: Site) -> None:
    """R12: it would block the answer to what is committed until it times out; the first message is handled within two seconds."""
    predecessor, partition = unique("predecessor"), site.partition(0)
    await site.put(["a"], range(3), partition=0)
    async with joined(site.kit, site.name, site.reads.topic) as member:
        await member.owns(*site.all_partitions())
        await die_inside(site, member, predecessor, partition)
    began_s = time.monotonic()
    worker = site.start()
    await site.until(lambda: site.metric("fabric_messages_total", outcome="applied") > 0)
    assert time.monotonic() - began_s < FIRST_TAKEOVER_S + JOIN_S
    await site.until_committed()
    assert await site.made() == [("a", 0), ("a", 1), ("a", 2)]
    assert worker.owned() == site.all_partitions()


JOIN_S = 2.0
"""To join a group and be given partitions, by the slowest protocol."""


async def die_inside(site: Site, member: Member, predecessor: str, partition: TopicPartition) -> None:
    """A predecessor that owns the partition dies with offsets and an output of it in an open transaction."""
    topic_id = member.consumer.topic_id(partition.topic)
    leases = SqlLeases(site.database)
    assert all(await leases.take(site.name, [TakenLease(partition, topic_id, 1)], predecessor))
    metadata = CommitMetadata(2, 1, 0, site.database.store_id).encode()
    commit = Commit([], offsets(partition, offset=2, metadata=metadata), member.consumer.snapshot())
    await site.kit.die_inside(predecessor, commit)


@pytest.mark.parametrize("at", [0, 3, 5])
async def test_r12_offsets_that_somebody_has_set_are_where_it_goes_on(site: Site, at: int) -> None:
    """R12: lower, higher or at the end, with no map of ours: from the committed offset on."""
    await site.put(["a"], range(5), partition=0)
    first = site.start()
    await site.until_committed()
    await first.drain()
    await site.kit.commit_foreign(site.name, site.partition(0), at, "")
    site.start()
    await site.put(["a"], [5], partition=0)
    await site.until_committed()
    again = list(range(at, 5))
    assert await site.made() == [("a", number) for number in (*range(5), *again, 5)]


async def test_r12_an_offset_beyond_the_end_or_deleted_is_no_dead_end(site: Site) -> None:
    """R12, R16: the committed offset is no longer there (retention), so the partition goes on at its new start."""
    await site.put(["a"], range(6), partition=0)
    await found_at(site, 2)
    await site.kit.delete_records(site.partition(0), before=4)
    site.start()
    await site.until_committed()
    assert await site.made() == [("a", 4), ("a", 5)]
