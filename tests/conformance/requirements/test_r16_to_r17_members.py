"""Members of one group, by each protocol: fenced for good, or coming and going by the dozen (R16, R17)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest
from broker_kit import KafkaKit, Member, Recorder, unique
from confluent_kafka import KafkaError, KafkaException
from site_of_workers import Job, Site, Worker

from integration_fabric.backends.kafka.owner_thread import OwnerThread
from integration_fabric.backends.sql.database import Database
from integration_fabric.runtime.records import TopicPartition

KEYS = [f"k{number}" for number in range(24)]
FEW, MANY = 3, 12


async def test_r16_a_fatal_error_ends_the_consumer_and_is_told(kafka_kit: KafkaKit) -> None:
    """R16: two members with one static id: by the classic protocols the older one is fenced for good, by the other the newer one."""
    topic, group = unique("topic"), unique("group")
    await kafka_kit.create_topic(topic)
    config: Mapping[str, Any] = {**kafka_kit.config, "group.instance.id": "static"}
    members = []
    for _ in range(2):
        member = Member(OwnerThread(group=group, config=config, protocol=kafka_kit.protocol), Recorder())
        await member.consumer.start([topic], member.listener)
        members.append(member)
        if len(members) == 1:
            await member.owns(TopicPartition(topic, 0))
    async with asyncio.timeout(20):
        while not any(member.listener.errors for member in members):
            await asyncio.sleep(0.02)
    (fenced,) = [member for member in members if member.listener.errors]
    (error,) = fenced.listener.errors
    assert isinstance(error, KafkaException)
    (other,) = [member for member in members if member is not fenced]
    await other.owns(TopicPartition(topic, 0))
    for member in members:
        await member.consumer.close()


@pytest.mark.parametrize("code", [KafkaError._FATAL, KafkaError._AUTO_OFFSET_RESET], ids=["fatal", "reset"])
def test_r16_an_error_is_fatal_by_its_code_too(kafka_kit: KafkaKit, code: int) -> None:
    """R16: fatal errors of a consumer come with `fatal()` false, so the code counts; what librdkafka mends by itself passes."""
    consumer = OwnerThread(group="g", config=kafka_kit.config, protocol=kafka_kit.protocol)
    with pytest.raises(KafkaException):
        consumer._judge(KafkaError(code))
    consumer._judge(KafkaError(KafkaError._TRANSPORT))


@pytest.fixture
async def wide_site(kafka_kit: KafkaKit, store: Database) -> Any:
    site = Site(kafka_kit, store, partitions=MANY)
    await site.make_topics()
    yield site
    await site.close()


async def test_r17_members_come_and_go_and_all_is_done_once_in_order(wide_site: Site) -> None:
    """R17: by each protocol: three workers become twelve and three again while jobs come in."""
    site, dice = wide_site, random.Random(17)

    async def work(_: Job) -> None:
        await asyncio.sleep(dice.choice((0, 0.001, 0.02)))

    workers: list[Worker] = []

    async def join(count: int) -> None:
        workers.extend(site.start(work) for _ in range(count))
        await settled(site, workers)

    rounds = iter(range(100))
    await join(FEW)
    for more in (3, 6):
        await site.put(KEYS, [next(rounds) for _ in range(3)])
        await join(more)
    assert len(workers) == MANY
    assert all(len(worker.owned()) == 1 for worker in workers)
    for fewer in (4, 5):
        await site.put(KEYS, [next(rounds) for _ in range(3)])
        leaving, workers = workers[:fewer], workers[fewer:]
        await asyncio.gather(*(worker.drain() for worker in leaving))
        await settled(site, workers)
    assert len(workers) == FEW
    await site.put(KEYS, [next(rounds)])
    await site.until_committed()
    expected = list(range(next(rounds)))
    assert await site.made_by_key() == dict.fromkeys(KEYS, expected)


async def settled(site: Site, workers: list[Worker]) -> None:
    """Everybody has a share, and together they have everything."""
    most = -(-MANY // len(workers))
    await site.until(
        lambda: (
            all(0 < len(worker.owned()) <= most for worker in workers)
            and set().union(*(worker.owned() for worker in workers)) == site.all_partitions()
        )
    )
