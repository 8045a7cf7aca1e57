"""The thread that owns a consumer: nobody else calls it, it hands out at once, and it never stops polling (R01 to R03)."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from broker_kit import KafkaKit, joined, unique
from site_of_workers import Job, Site

from integration_fabric.backends.kafka import owner_thread
from integration_fabric.backends.kafka.owner_thread import BATCH, TURN_S, OwnerThread
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Aborted
from integration_fabric.runtime.records import TopicPartition


class Overheard:
    """A consumer that notes the thread of each call."""

    threads: set[str] = set()
    calls: set[str] = set()

    def __init__(self, config: dict[str, Any]) -> None:
        self._consumer = owner_thread_consumer(config)
        self._note("made")

    def __getattr__(self, name: str) -> Any:
        self._note(name)
        return getattr(self._consumer, name)

    def _note(self, name: str) -> None:
        self.threads.add(threading.current_thread().name)
        self.calls.add(name)


owner_thread_consumer = owner_thread.KafkaConsumer


async def test_r01_one_thread_makes_every_call_on_a_consumer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """R01: a single owner thread performs every call on a consumer; others send it commands."""
    monkeypatch.setattr(Overheard, "threads", set())
    monkeypatch.setattr(Overheard, "calls", set())
    monkeypatch.setattr(owner_thread, "KafkaConsumer", Overheard)
    worker = site.start(policy=Policy(in_flight=4), bounds=Bounds(high_messages=20, low_messages=10))
    await site.until_owned(worker, site.partitions)
    await site.put(["a", "b", "c", "d"], range(50))
    await site.until_committed()
    worker.consumer.hold()
    worker.consumer.hold_back([site.partition(0)])
    await worker.loop.lag(await site.ends())
    worker.loop._retake(list(worker.loop._owned.values()))
    worker.consumer.release()
    await site.until(lambda: "seek" in Overheard.calls)
    await worker.drain()
    assert Overheard.threads == {f"consumer {site.name}"}
    assert Overheard.calls >= {"made", "subscribe", "consume", "poll", "committed", "position", "seek", "pause", "resume", "close"}


async def test_r01_a_command_is_obeyed_within_a_turn_though_partitions_are_idle(kafka_kit: KafkaKit) -> None:
    """R01: with 2.16 a second thread starves beside one that polls; a command waits for no more than the turn that is under way."""
    topic = unique("topic")
    await kafka_kit.create_topic(topic)
    async with joined(kafka_kit, unique("group"), topic) as member:
        await member.owns(TopicPartition(topic, 0))
        await member.go(TopicPartition(topic, 0))
        await asyncio.sleep(owner_thread.EAGER_FOR_S)  # turns are short for a while after an assignment; these are the long ones
        took_s = []
        for _ in range(20):
            began_s = time.monotonic()
            await member.consumer.positions()
            took_s.append(time.monotonic() - began_s)
    assert statistics.median(took_s) < TURN_S + 0.05
    assert max(took_s) < 2


async def test_r02_a_lone_record_comes_at_once_and_so_does_the_one_after_a_full_batch(kafka_kit: KafkaKit) -> None:
    """R02: the loop polls briefly and then takes what is there, since `consume` waits for n records or its whole timeout."""
    topic = unique("topic")
    await kafka_kit.create_topic(topic)
    partition = TopicPartition(topic, 0)
    async with joined(kafka_kit, unique("group"), topic) as member:
        await member.owns(partition)
        await member.go(partition)
        waits_s = []
        for number in range(20):
            await kafka_kit.put(topic, [(b"k", b"%d" % number)])
            acknowledged_s = time.monotonic()
            await member.listener.until(lambda number=number: len(member.listener.records) > number)  # type: ignore[misc]
            waits_s.append(time.monotonic() - acknowledged_s)
        assert statistics.median(waits_s) < 0.01
        await kafka_kit.put(topic, [(b"k", b"%d" % number) for number in range(BATCH + 1)])
        acknowledged_s = time.monotonic()
        await member.listener.until(lambda: len(member.listener.records) == 20 + BATCH + 1)
        assert time.monotonic() - acknowledged_s < 0.5


async def test_r03_polling_goes_on_whatever_is_stuck(site: Site) -> None:
    """R03: handlers that hang, a consumer that is held and commits that fail for longer than `max.poll.interval.ms` cost no partition."""
    most = timedelta(seconds=6)  # the classic protocols take none below the session's
    go_on = asyncio.Event()

    async def hang(_: Job) -> None:
        await go_on.wait()

    consumer = OwnerThread(group=site.name, config=site.kit.config, protocol=site.kit.protocol, max_poll_interval=most)
    worker = site.start(hang, consumer=consumer, policy=Policy(in_flight=2), bounds=Bounds(high_messages=10, low_messages=2))
    await site.until_owned(worker, site.partitions)
    before = dict(consumer.snapshot().epochs)
    worker.transactions.fail_with = [Aborted("told to fail")] * 1000
    await site.put(["a", "b"], range(20))
    await site.until(lambda: consumer._paused)
    await asyncio.sleep(most.total_seconds() + 1.5)
    go_on.set()
    await site.until(lambda: len(worker.transactions.fail_with) < 995)
    assert consumer.snapshot().epochs == before
    assert site.metric("fabric_takeovers_total") == site.partitions
    worker.transactions.fail_with.clear()
    await site.until_committed()
    assert await site.made_by_key() == {"a": list(range(20)), "b": list(range(20))}
