"""Commits that fail in every way, and what they leave: each output once, nothing stuck (R14, R18 to R20, R23)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from broker_kit import KafkaKit, joined, offsets, outgoing, unique
from confluent_kafka import IsolationLevel, Producer, TopicPartition as KafkaPartition
from confluent_kafka.admin import OffsetSpec
from site_of_workers import Job, Site, WatchedTransactions

from integration_fabric.backends.kafka import transactions as transactions_module
from integration_fabric.backends.kafka.inquiry import KafkaInquiry
from integration_fabric.backends.kafka.owner_thread import OwnerThread
from integration_fabric.delivery.dead_letters import topic_of
from integration_fabric.messages.errors import DataProblem
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.committer import COMMIT_INTERVAL_S
from integration_fabric.runtime.policy import AtDeadLetter, Policy
from integration_fabric.runtime.ports import Aborted, Commit, Refused, ResultUnknown
from integration_fabric.runtime.records import TopicPartition

LONGEST_TRANSACTION_S = 60


async def test_r14_what_is_done_while_a_commit_is_under_way_is_committed_next(site: Site) -> None:
    """R14: nothing that is done is forgotten because a commit of earlier results was under way, or failed."""
    worker = site.start()
    await site.until_owned(worker, 2)
    worker.transactions.open.clear()
    worker.transactions.fail_with = [Aborted("told to fail"), Refused("told to fail")]
    before = len(worker.transactions.asked)
    await site.put(["a"], [0], partition=0)
    await site.until(lambda: len(worker.transactions.asked) > before)
    await site.put(["a", "b"], [1])
    await site.until(lambda: sum(owned.progress.releasable for owned in worker.loop._owned.values()) == 2)
    worker.transactions.open.set()
    await site.until_committed()
    assert site.metric("fabric_commit_failures_total", kind="aborted") == 1
    assert site.metric("fabric_commit_failures_total", kind="refused") == 1
    assert await site.made_by_key() == {"a": [0, 1], "b": [1]}


async def test_r18_offsets_of_what_the_snapshot_does_not_own_are_refused(kafka_kit: KafkaKit) -> None:
    """R18: a broker takes offsets from a consumer that never joined, or no longer owns them; the port does not send them."""
    topic, group = unique("topic"), unique("group")
    await kafka_kit.create_topic(topic, 2)
    both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    transactions, stranger = kafka_kit.transactions(unique("tx")), kafka_kit.consumer(group)
    await transactions.start()
    async with joined(kafka_kit, group, topic) as member:
        await member.owns(*both)
        assert isinstance(stranger, OwnerThread)
        for snapshot in (stranger.snapshot(), type(member.consumer.snapshot())(member.consumer.snapshot().group_metadata, {both[0]: 1})):
            with pytest.raises(Refused):
                await transactions.commit(Commit(outgoing(topic, b"zombie"), offsets(*both, offset=7), snapshot))
        assert {found.offset for found in (await member.consumer.committed(both)).values()} == {0}
    await transactions.close()


class Stalling(WatchedTransactions):
    """A producer that stands still at one point of one transaction, on its own thread."""

    def __init__(self, *, transactional_id: str, config: Mapping[str, Any], at: str) -> None:
        super().__init__(transactional_id=transactional_id, config=config)
        self._at = at
        self.armed = False
        self.reached, self.go_on = threading.Event(), threading.Event()

    def _stand(self, at: str) -> None:
        if self.armed and at == self._at:
            self.armed = False
            self.reached.set()
            assert self.go_on.wait(20)

    def _produce(self, producer: Producer, commit: Commit) -> None:  # type: ignore[override]
        super()._produce(producer, commit)
        self._stand("before its offsets")

    def _end(self, producer: Producer) -> None:
        self._stand("before its end")
        super()._end(producer)


@pytest.mark.parametrize("at", ["before its offsets", "before its end"])
async def test_r18_a_partition_that_moves_inside_a_transaction_is_put_out_once(site: Site, at: str) -> None:
    """R18: the worker stands still inside a transaction while another takes the partition over; then it goes on."""
    stalling = Stalling(transactional_id=unique("tx"), config=site.kit.config, at=at)
    bounds = Bounds(revoke=timedelta(milliseconds=50), commit=timedelta(milliseconds=50))
    first = site.start(transactions=stalling, bounds=bounds)
    await site.until_owned(first, 2)
    stalling.armed = True
    await site.put(["a", "b"], range(3))
    await site.until(stalling.reached.is_set)
    second = site.start(bounds=bounds)
    await site.until_owned(second, 1)
    stalling.go_on.set()
    await site.put(["a", "b"], [3])
    await site.until_committed()
    assert await site.made_by_key() == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3]}


async def test_r19_a_producer_that_is_fenced_or_whose_answer_is_lost_goes_on(site: Site) -> None:
    """R19: aborted: the same results again; fenced: a new producer of the same id; unknown: the partitions are taken over again."""
    worker = site.start()
    await site.until_owned(worker, 2)
    other = site.kit.transactions(unique("tx"))
    await other.start()
    await other.fence(worker.transactions.transactional_id)
    await other.close()
    await site.put(["a", "b"], [0])
    await site.until_committed()
    worker.transactions.fail_with = [ResultUnknown("told to"), Aborted("told to")]
    await site.put(["a", "b"], [1])
    await site.until_committed()
    assert await site.made_by_key() == {"a": [0, 1], "b": [0, 1]}
    assert site.metric("fabric_commit_failures_total", kind="unknown") == 1


async def test_r19_a_transaction_that_the_broker_timed_out_is_done_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """R19: the broker ends it and fences its producer, which is fatal for that one: a new one commits the same."""
    monkeypatch.setattr(transactions_module, "TRANSACTION_TIMEOUT", timedelta(seconds=1))
    stalling = Stalling(transactional_id=unique("tx"), config=site.kit.config, at="before its end")
    worker = site.start(transactions=stalling)
    await site.until_owned(worker, 2)
    stalling.armed = True
    await site.put(["a", "b"], range(3))
    await site.until(stalling.reached.is_set)
    await timed_out(site)
    stalling.go_on.set()
    await site.until_committed()
    assert await site.made_by_key() == {"a": [0, 1, 2], "b": [0, 1, 2]}


async def timed_out(site: Site) -> None:
    """Wait until nothing is open on the topic that is written; brokers look every ten seconds."""
    async with asyncio.timeout(25):
        while await asyncio.to_thread(is_open, site):
            await asyncio.sleep(0.1)


def is_open(site: Site) -> bool:
    """Whether a transaction is open on the topic that is written: the last stable offset lies below the end."""
    client, place = KafkaInquiry(site.kit.config).client, KafkaPartition(site.writes.topic, 0)
    found = [
        client.list_offsets({place: OffsetSpec.latest()}, isolation_level=level)[place].result(5).offset  # type: ignore[no-untyped-call]
        for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
    ]
    return found[0] < found[1]


async def test_r20_no_transaction_is_open_while_a_handler_runs(site: Site) -> None:
    """R20: transactions are short and begun at the commit, so a handler, however slow, cannot have one time out."""
    assert transactions_module.TRANSACTION_TIMEOUT.total_seconds() < LONGEST_TRANSACTION_S
    assert transactions_module.TRANSACTION_TIMEOUT.total_seconds() > 100 * COMMIT_INTERVAL_S
    slow, go_on = asyncio.Event(), asyncio.Event()

    async def work(job: Job) -> None:
        if job.job == "slow":
            slow.set()
            await go_on.wait()

    worker = site.start(work)
    await site.until_owned(worker, 2)
    await site.put(["slow"], [0], partition=0)
    await site.put(["quick"], range(3), partition=0)
    await slow.wait()
    await site.until(lambda: site.metric("fabric_messages_total", outcome="applied") == 3)
    assert await site.made() == [("quick", number) for number in range(3)]
    assert not await asyncio.to_thread(is_open, site)
    go_on.set()
    await site.until_committed()


async def test_r20_a_producer_has_one_id_as_long_as_it_lives_and_successors_find_it(site: Site) -> None:
    """R20: the id stands in the lease, so whoever takes over ends what its owner left open; a new producer after a failure has the same."""
    worker = site.start()
    await site.until_owned(worker, 2)
    worker.transactions.fail_with = [ResultUnknown("told to")]
    await site.put(["a"], [0], partition=0)
    await site.until_committed()
    lease = await worker.loop._leases.read(site.name, worker.consumer.topic_id(site.reads.topic), 0)
    assert lease is not None
    assert lease.owner == worker.transactions.transactional_id
    assert lease.epoch == 2


async def test_r23_a_dead_letter_that_cannot_be_put_out_holds_its_message_back(kafka_kit: KafkaKit, store: Any) -> None:
    """R23: retries are bounded, and a message is done with its dead letter, in one transaction: without the topic it stays undone."""
    kafka_kit.config["topic.metadata.propagation.max.ms"] = 500
    site = Site(kafka_kit, store)
    await site.make_topics(dead_letters=False)

    async def refuse(_: Job) -> None:
        raise DataProblem(field="f", value="x", hint="h")

    worker = site.start(refuse, policy=Policy(at_dead_letter=AtDeadLetter.SKIP))
    await site.until_owned(worker, 2)
    await site.put(["a"], [0], partition=0)
    await site.until(lambda: site.metric("fabric_commit_failures_total", kind="aborted") >= 1)
    found = (await site.committed())[site.partition(0)]
    assert found is not None
    assert found.offset == 0
    await kafka_kit.create_topic(topic_of(site.name))
    await site.until_committed()
    (dead,) = await site.dead_letters()
    assert (dead.key, dead.value) == (b"a", site.encoded("a", 0))
    await site.close()
