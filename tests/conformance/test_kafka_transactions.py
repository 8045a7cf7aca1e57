"""How the Kafka producer takes what only Kafka does to it: ends whose answer does not come, brokers that are not there."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from broker_kit import KafkaKit, Stage, Unanswered, joined, offsets, outgoing, staged, unique

from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.inquiry import KafkaInquiry
from integration_fabric.backends.kafka.reader import KafkaReader
from integration_fabric.backends.kafka.transactions import KafkaTransactions
from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.ports import Aborted, Commit, Pending, ResultUnknown, Snapshot
from integration_fabric.runtime.records import TopicPartition

pytestmark = pytest.mark.kafka


@pytest.fixture
async def kafka_kit(kafka_bootstrap: str) -> AsyncIterator[KafkaKit]:
    kit = KafkaKit(kafka_bootstrap)
    yield kit
    await kit.close()


@pytest.fixture
async def stage(kafka_kit: KafkaKit) -> AsyncIterator[Stage]:
    """Everything is ready."""
    output = unique("output")
    await kafka_kit.create_topic(output)
    transactions = kafka_kit.transactions(unique("tx"))
    await transactions.start()
    async with staged(kafka_kit, transactions, output) as found:
        yield found
    await transactions.close()


@pytest.mark.parametrize("sent", [True, False], ids=["and it was committed", "and it was not"])
async def test_an_end_without_an_answer_is_unknown_and_blocks_nobody(stage: Stage, *, sent: bool) -> None:
    """The same worker takes the partition over again: it must find out what became of the offset without waiting for a timeout."""
    transactions = stage.transactions
    assert isinstance(transactions, KafkaTransactions)
    transactions._producer = Unanswered(transactions._producer, sent=sent)  # type: ignore[assignment]
    with pytest.raises(ResultUnknown):
        await stage.commit(b"a", offset=1)
    assert await stage.position() == (1 if sent else 0)
    assert await stage.put_out() == ([b"a"] if sent else [])
    await stage.commit(b"b", offset=2)
    await transactions.close()
    assert await stage.put_out() == ([b"a", b"b"] if sent else [b"b"])


class Hanging:
    """A producer whose client does not come back with offsets, whatever its timeout."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self.go_on = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def send_offsets_to_transaction(self, *arguments: Any) -> None:
        self.go_on.wait(30)
        self._producer.send_offsets_to_transaction(*arguments)


async def test_a_client_that_does_not_come_back_with_offsets_is_left(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka#5456: nothing was committed, a new producer goes on, and what the old one still does comes to nothing."""
    transactions = stage.transactions
    assert isinstance(transactions, KafkaTransactions)
    transactions._producer = hanging = Hanging(transactions._producer)  # type: ignore[assignment]
    with monkeypatch.context() as brief:
        brief.setattr("integration_fabric.backends.kafka.transactions.CALL_TIMEOUT_S", 0.2)
        brief.setattr("integration_fabric.backends.kafka.transactions.GRACE_S", 0.1)
        with pytest.raises(Aborted, match="not taken within"):
            await stage.commit(b"a", offset=1)
    await stage.commit(b"b", offset=2)
    hanging.go_on.set()
    await stage.commit(b"c", offset=3)
    assert await stage.position() == 3
    await transactions.close()
    assert await stage.put_out() == [b"b", b"c"]


async def test_what_a_predecessor_left_open_is_swept_wherever_it_is(kafka_kit: KafkaKit, stage: Stage) -> None:
    """As where its coordinator takes it for ended: offsets and outputs are free after it, and nothing of it is seen."""
    predecessor, output = unique("predecessor"), TopicPartition(stage.output_topic, 0)
    await kafka_kit.die_inside(predecessor, stage.made(b"lost", offset=2))
    with pytest.raises(Pending):
        await stage.position()
    inquiry = KafkaInquiry(kafka_kit.config)
    assert output in await asyncio.to_thread(inquiry.held_up)
    await stage.transactions.sweep(predecessor, [stage.partition], stage.member.consumer.snapshot())
    assert await stage.position() == 0
    assert output not in await asyncio.to_thread(inquiry.held_up)
    await stage.commit(b"kept", offset=1)
    await stage.transactions.close()
    assert await stage.put_out() == [b"kept"]


async def test_without_a_broker_a_producer_does_not_begin_and_a_commit_had_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integration_fabric.backends.kafka.transactions.INIT_TIMEOUT_S", 0.3)
    transactions = KafkaTransactions(transactional_id=unique("tx"), config=client_configuration("127.0.0.1:1"))
    with pytest.raises(Unavailable):
        await transactions.start()
    with pytest.raises(Aborted):
        await transactions.commit(Commit([], {TopicPartition("t", 0): (1, "")}, Snapshot(None, {TopicPartition("t", 0): 1})))
    async with asyncio.timeout(10):
        await transactions.close()


async def test_r23_whatever_a_topic_took_can_be_put_out_again(kafka_kit: KafkaKit) -> None:
    """R23: a dead letter is as large as its record, headers come on top; one that cannot be put out would hold everything up for ever."""
    topic, output, group = unique("topic"), unique("output"), unique("group")
    for name in (topic, output):
        await kafka_kit.create_topic(name)
    partition, large = TopicPartition(topic, 0), os.urandom(1_040_000)
    transactions = kafka_kit.transactions(unique("tx"))
    await transactions.start()
    async with joined(kafka_kit, group, topic) as member:
        await member.owns(partition)
        await transactions.commit(Commit(outgoing(output, large), offsets(partition, offset=1), member.consumer.snapshot()))
    await transactions.close()
    assert [record.value for record in await kafka_kit.read(output)] == [large]


async def test_r19_an_output_that_the_broker_does_not_take_is_aborted_and_others_go_through(kafka_kit: KafkaKit) -> None:
    """R19: the transaction after it may fail once more before one goes through."""
    topic, output, group = unique("topic"), unique("output"), unique("group")
    for name in (topic, output):
        await kafka_kit.create_topic(name)
    transactions = kafka_kit.transactions(unique("tx"))
    await transactions.start()
    async with joined(kafka_kit, group, topic) as member:
        await member.owns(TopicPartition(topic, 0))
        place, snapshot = offsets(TopicPartition(topic, 0), offset=1), member.consumer.snapshot()
        with pytest.raises(Aborted):
            await transactions.commit(Commit(outgoing(output, os.urandom(1_500_000)), place, snapshot))
        for _ in range(3):
            try:
                await transactions.commit(Commit(outgoing(output, b"small"), place, snapshot))
                break
            except Aborted:
                continue
    await transactions.close()
    assert [record.value for record in await kafka_kit.read(output)] == [b"small"]


async def test_what_an_open_transaction_hides_is_waited_for_where_the_whole_is_asked_for(kafka_kit: KafkaKit) -> None:
    """A worker that was killed has left one open: what others have committed behind it must not look as if it had never been."""
    await kafka_kit.create_topic(topic := unique("topic"))
    left_open = kafka_kit._begun(unique("left"))
    left_open.produce(topic, b"nobody sees it", partition=0)
    left_open.flush(10)
    await kafka_kit.put(topic, [(b"k", b"behind")])
    reader = KafkaReader(config=kafka_kit.config)
    assert await asyncio.to_thread(lambda: list(reader.read([topic]))) == []
    reading = asyncio.create_task(asyncio.to_thread(lambda: list(reader.read([topic], whole=True))))
    assert await asyncio.wait({reading}, timeout=1) == (set(), {reading})
    await asyncio.to_thread(left_open.abort_transaction, 10)
    assert [record.value for record in await reading] == [b"behind"]
