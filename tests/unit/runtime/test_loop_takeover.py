"""Taking a partition over (protocol.md, A): nothing of it is handled before Kafka and SQL agree on whose it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from loop_bench import NAME, Bench, copier, owned, tax_code
from prometheus_client import REGISTRY

from integration_fabric.runtime.ports import Codec, Stop
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Delivery

TAX_CODES = TopicPartition("erp.tax-code-changed.v1", 0)
KEYS = tuple("abcdefgh")


async def test_a_member_that_was_fenced_in_sql_takes_its_partition_over_again(codec: Codec) -> None:
    """Somebody raised the lease meanwhile, but Kafka still says that the partition is ours."""

    async def handle(delivery: Delivery) -> None:
        await bench.leases.stop(delivery.fence, Stop(TAX_CODES, 10**6, b"k", "c", "m"))

    async with Bench(codec) as bench, bench.running(copier(handle)) as member:
        await bench.until(lambda: owned(member))
        key = (NAME, member.consumer.topic_id(TAX_CODES.topic), 0)
        lease = bench.store.leases[key]
        bench.store.leases[key] = type(lease)(lease.epoch + 5, lease.serial, "somebody")
        bench.publish_many(("a",), 3)
        await bench.until_committed()
        assert bench.store.leases[key].epoch > lease.epoch + 5
    assert bench.versions("a") == [0, 1, 2]


async def test_a_predecessor_that_died_inside_its_transaction_is_ended(codec: Codec) -> None:
    """Its open transaction blocks the committed offset; the takeover ends it instead of waiting for its timeout."""
    async with Bench(codec) as bench:
        bench.publish_many(("a",), 2)
        first = bench.start(copier())
        await bench.until_committed()
        text = bench.broker.committed_by(NAME)[TAX_CODES][1]
        await first.kill()
        bench.broker.leave_open(first.transactions.transactional_id, (), NAME, {TAX_CODES: (2, text)})
        began_s = bench.clock.monotonic_s()
        bench.publish_many(("b",), 1)
        async with bench.running(copier()):
            await bench.until_committed()
            assert bench.clock.monotonic_s() - began_s < 2
    assert (bench.versions("a"), bench.versions("b")) == ([0, 1], [0])


async def test_a_store_that_is_away_for_an_hour_during_the_takeover_is_waited_for(codec: Codec) -> None:
    """Some thousand attempts later it is back, and the partition is taken over."""
    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        bench.store.is_down = True
        member = bench.start(copier())
        await bench.clock.sleep(3600)
        bench.store.is_down = False
        await bench.until(lambda: bench.lag() == 0, within_s=10)
        await member.drain()
    assert bench.versions("a") == [0]


async def test_a_zombie_does_not_take_the_lease_from_the_owner(codec: Codec) -> None:
    """It tries to take a partition over while the store is away, loses its session unnoticed, and goes on trying: Kafka says no first."""
    async with Bench(codec) as bench:
        bench.store.is_down = True
        zombie = bench.start(copier())
        await bench.clock.sleep(3)
        zombie.consumer.deafen()
        bench.broker.expire(NAME, zombie.consumer.member)
        bench.store.is_down = False
        owner = bench.start(copier())
        bench.publish_many(("a",), 3)
        await bench.until_committed()
        await bench.clock.sleep(60)
        assert (owned(zombie), owned(owner)) == (set(), {TAX_CODES})
        lease = bench.store.leases[NAME, owner.consumer.topic_id(TAX_CODES.topic), 0]
        assert lease.owner == owner.transactions.transactional_id
        await zombie.kill()
        await owner.drain()
    assert bench.versions("a") == [0, 1, 2]


@pytest.mark.parametrize("behind", ["Kafka", "SQL"])
async def test_a_new_epoch_is_higher_than_any_that_either_side_has_seen(codec: Codec, behind: str) -> None:
    """Somebody reset the group's offsets; or SQL is an older copy."""
    async with Bench(codec) as bench:
        for version in range(3):
            bench.publish(tax_code("a", version))
            async with bench.running(copier()) as member:
                await bench.until_committed()
        before = bench.metadata(TAX_CODES)
        assert before is not None
        key = (NAME, member.consumer.topic_id(TAX_CODES.topic), 0)
        highest = before.epoch
        if behind == "Kafka":
            bench.broker.commit_foreign(NAME, TAX_CODES, 3, "")
            highest = 10**6
            bench.store.leases[key] = replace(bench.store.leases[key], epoch=highest)
        else:
            bench.store.leases[key] = replace(bench.store.leases[key], epoch=1)
        bench.publish(tax_code("a", 3))
        async with bench.running(copier()):
            await bench.until_committed()
        after = bench.metadata(TAX_CODES)
    assert after is not None
    assert after.epoch > highest
    assert bench.store.leases[key].epoch == after.epoch
    assert bench.versions("a") == [0, 1, 2, 3]


async def test_offsets_that_belong_to_another_store_stop_the_subscriber_with_a_reason(codec: Codec) -> None:
    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        async with bench.running(copier()):
            await bench.until_committed()
        offset, text = bench.broker.committed_by(NAME)[TAX_CODES]
        metadata = bench.metadata(TAX_CODES)
        assert metadata is not None
        other = type(metadata)(metadata.base, metadata.epoch, 0, "another").encode()
        bench.broker.commit_foreign(NAME, TAX_CODES, offset, other)
        member = bench.start(copier())
        with pytest.raises(Exception, match="committed with store another"):
            await member.task
        assert text


async def test_r10_metadata_that_something_else_wrote_means_from_the_committed_offset_on(codec: Codec) -> None:
    """R10: it is passed over and counted."""
    async with Bench(codec) as bench:
        bench.publish_many(("a",), 4)
        bench.broker.commit_foreign(NAME, TAX_CODES, 2, "AgAAAAAAAAA=")
        before = ignored()
        async with bench.running(copier()):
            await bench.until_committed()
        assert ignored() == before + 1
    assert bench.versions("a") == [2, 3]


def ignored() -> float:
    """How often metadata was passed over, by its metric."""
    return REGISTRY.get_sample_value("fabric_ignored_commit_metadata_total", {"subscriber": NAME}) or 0.0
