"""Publisher and topic administration on a real broker, and on one that is away."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Message as KafkaMessage, TopicPartition

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.kafka import publisher as publisher_module
from integration_fabric.backends.kafka.admin import KafkaAdmin, TopicState, WantedTopic
from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.governance.ports import subject_of
from integration_fabric.governance.schema_files import read
from integration_fabric.local import kafka
from integration_fabric.local.errors import LocalError
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.envelope import Envelope, text_headers, to_headers
from integration_fabric.messages.errors import ContractBroken, Unavailable, Unreachable, UsageProblem
from integration_fabric.messages.ids import MessageId, System
from integration_fabric.messages.orders import OrderBooked, OrderCancelled

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = LocalSettings(state_dir=tmp_path_factory.mktemp("kafka"))
    try:
        address = kafka.up(settings, lambda _: None)
    except LocalError as error:
        pytest.skip(f"no Kafka can be started here: {error}")
    yield address.bootstrap
    kafka.down(settings, lambda _: None)


@pytest.fixture
def config(bootstrap: str) -> dict[str, Any]:
    return client_configuration(bootstrap)


@pytest.fixture
def away() -> dict[str, Any]:
    """Configuration for a broker that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return client_configuration(f"127.0.0.1:{probe.getsockname()[1]}")


@pytest.fixture(scope="module")
def prepared() -> AvroCodec:
    registry = MemoryRegistry()
    for kind in (OrderBooked, OrderCancelled):
        registry.register(subject_of(kind), read(kind).text)
    codec = AvroCodec(registry)
    codec.prepare([OrderBooked, OrderCancelled])
    return codec


@pytest.fixture
def topic(config: dict[str, Any]) -> str:
    KafkaAdmin(config).apply([WantedTopic(OrderBooked.topic)])
    return OrderBooked.topic


def envelopes(count: int, *, run: str, **fields: Any) -> list[Envelope]:
    return [
        Envelope(
            body=_order_booked(f"SO-{number % 7}", aggregate_version=number, **fields),
            id=MessageId(f"{run}-{number}"),
            source="/systems/tryton",
            time=datetime(2026, 11, 23, tzinfo=UTC),
            correlation_id=run,
            system=System("tryton"),
            business_keys={"order": f"SO-{number % 7}"},
        )
        for number in range(count)
    ]


def _order_booked(order_id: str, **fields: Any) -> OrderBooked:
    some = {"quote_id": "Q-1", "legal_entity": "acme", "currency": "NOK", "native_id": "7", "number": "8", "total_amount": Decimal("1.5")}
    return OrderBooked(**{**some, "order_id": order_id, **fields})


def read_all(config: dict[str, Any], topic: str, *, run: str) -> list[KafkaMessage]:
    """Every record of one run, partition by partition."""
    consumer = Consumer({**config, "group.id": run, "enable.partition.eof": True, "enable.auto.commit": False})
    places = [TopicPartition(topic, number, 0) for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions]
    consumer.assign(places)
    ends, found = 0, []
    deadline_s = time.monotonic() + 30
    while ends < len(places) and time.monotonic() < deadline_s:
        for message in consumer.consume(1000, 0.2):
            if message.error() is not None:
                ends += 1
            elif text_headers(_headers(message))["ce_correlationid"] == run:
                found.append(message)
    consumer.close()
    assert ends >= len(places)
    return found


def _headers(message: KafkaMessage) -> Sequence[tuple[str, bytes]]:
    headers: Any = message.headers()
    return headers or ()


@pytest.fixture
def run() -> str:
    return uuid4().hex


# Publishing


async def test_what_is_published_is_there_with_key_headers_and_order(
    config: dict[str, Any], topic: str, prepared: AvroCodec, run: str
) -> None:
    publisher = KafkaPublisher(codec=prepared, config=config)
    sent = envelopes(1000, run=run)
    await publisher.publish(sent)
    found = read_all(config, topic, run=run)
    await publisher.close()
    assert len(found) == len(sent)
    by_id = {text_headers(_headers(message))["ce_id"]: message for message in found}
    for envelope in sent[:50]:
        message = by_id[envelope.id]
        value: Any = message.value()
        assert message.key() == envelope.body.key.encode()
        assert list(_headers(message)) == to_headers(envelope, dataschema=prepared.dataschema(OrderBooked))
        assert prepared.decode(value, OrderBooked) == envelope.body
    for key in {envelope.body.key for envelope in sent}:
        of_key = [text_headers(_headers(message))["ce_id"] for message in found if message.key() == key.encode()]
        assert of_key == [envelope.id for envelope in sent if envelope.body.key == key]


async def test_nothing_is_sent_where_one_body_breaks_its_schema(config: dict[str, Any], topic: str, prepared: AvroCodec, run: str) -> None:
    publisher = KafkaPublisher(codec=prepared, config=config)
    good, (bad,) = envelopes(300, run=run), envelopes(1, run=run, total_amount=Decimal("0.00001"))
    with pytest.raises(ContractBroken, match=r"erp\.v1\.OrderBooked: total_amount"):
        await publisher.publish([*good, bad])
    await publisher.publish(good[:1])
    assert len(read_all(config, topic, run=run)) == 1
    await publisher.close()


async def test_nothing_is_published_for_nothing(away: dict[str, Any], prepared: AvroCodec) -> None:
    publisher = KafkaPublisher(codec=prepared, config=away)
    await publisher.publish([])
    await publisher.close()


async def test_many_may_publish_at_once(config: dict[str, Any], topic: str, prepared: AvroCodec, run: str) -> None:
    publisher = KafkaPublisher(codec=prepared, config=config)
    await asyncio.gather(*(publisher.publish([envelope]) for envelope in envelopes(200, run=run)))
    assert len(read_all(config, topic, run=run)) == 200
    await publisher.close()


async def test_a_full_queue_slows_the_publisher_and_nobody_else(config: dict[str, Any], topic: str, prepared: AvroCodec, run: str) -> None:
    publisher = KafkaPublisher(codec=prepared, config={**config, "queue.buffering.max.messages": 100})
    longest_s = 0.0
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal longest_s
        while not done.is_set():
            began_s = time.monotonic()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.monotonic() - began_s)

    watching = asyncio.create_task(watch())
    await publisher.publish(envelopes(3000, run=run))
    done.set()
    await watching
    await publisher.close()
    assert len(read_all(config, topic, run=run)) == 3000
    assert longest_s < 1.0


async def test_a_topic_that_is_not_there_is_unavailable_by_name(config: dict[str, Any], prepared: AvroCodec, run: str) -> None:
    assert not KafkaAdmin(config).describe([OrderCancelled.topic])
    publisher = KafkaPublisher(codec=prepared, config={**config, "topic.metadata.propagation.max.ms": 500})
    (some,) = envelopes(1, run=run)
    cancelled = OrderCancelled.model_validate({"order_id": "1", "legal_entity": "a", "aggregate_version": 1})
    lost = Envelope(body=cancelled, id=some.id, source=some.source, time=some.time, correlation_id=run)
    with pytest.raises(Unavailable, match=r"erp\.order-cancelled\.v1: not acknowledged \(.+\); make it with `fabric topics apply`"):
        await publisher.publish([lost])
    await publisher.close()


async def test_a_broker_that_is_away_is_unavailable_in_bounded_time(
    away: dict[str, Any], prepared: AvroCodec, run: str, capfd: pytest.CaptureFixture[str]
) -> None:
    publisher = KafkaPublisher(codec=prepared, config=away, deliver_within=timedelta(seconds=1))
    began_s = time.monotonic()
    with pytest.raises(Unavailable, match=r"erp\.order-booked\.v1: not acknowledged"):
        await publisher.publish(envelopes(10, run=run))
    await publisher.close()
    assert time.monotonic() - began_s < 10
    assert capfd.readouterr().err == ""


async def test_closing_is_bounded_and_tells_who_waits(
    away: dict[str, Any], prepared: AvroCodec, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "CLOSE_WITHIN", timedelta(seconds=0.5))
    publisher = KafkaPublisher(codec=prepared, config=away)
    waiting = asyncio.create_task(publisher.publish(envelopes(10, run=run)))
    await asyncio.sleep(0)
    began_s = time.monotonic()
    await publisher.close()
    assert time.monotonic() - began_s < 5
    with pytest.raises(Unavailable):
        await waiting


async def test_who_is_cancelled_leaves_nothing_behind(config: dict[str, Any], topic: str, prepared: AvroCodec, run: str) -> None:
    publisher = KafkaPublisher(codec=prepared, config=config)
    cancelled = asyncio.create_task(publisher.publish(envelopes(2000, run=run)))
    for _ in range(12):
        await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await publisher.publish(envelopes(1, run=run))
    await publisher.close()
    assert topic


async def test_after_a_fatal_error_a_new_producer_is_used(config: dict[str, Any], topic: str, prepared: AvroCodec, run: str) -> None:
    publisher = KafkaPublisher(codec=prepared, config=config)
    broken = publisher._sender
    broken.is_broken = True
    await publisher.publish(envelopes(3, run=run))
    assert publisher._sender is not broken
    assert not broken._thread.is_alive()
    assert len(read_all(config, topic, run=run)) == 3
    await publisher.close()


# Topics


def test_topics_are_made_once_and_differences_are_told(config: dict[str, Any], run: str) -> None:
    admin = KafkaAdmin(config)
    plain, compacted = WantedTopic(f"{run}.plain"), WantedTopic(f"{run}.compacted", partitions=2, compacted=True)
    assert [made.state for made in admin.apply([plain, compacted])] == [TopicState.MADE, TopicState.MADE]
    assert [there.state for there in admin.apply([compacted, plain])] == [TopicState.THERE, TopicState.THERE]
    found = {
        topic.name: (topic.partitions, topic.replication_factor, topic.compacted) for topic in admin.describe([plain.name, compacted.name])
    }
    assert found == {plain.name: (4, 1, False), compacted.name: (2, 1, True)}
    (differs,) = admin.apply([WantedTopic(compacted.name)])
    assert differs.state is TopicState.DIFFERS
    assert differs.differences == ("partitions are 2, not 4", "cleanup.policy is compact, not delete")
    assert {topic.name for topic in admin.describe()} >= {plain.name, compacted.name}
    assert not [topic.name for topic in admin.describe() if topic.name.startswith("__")]


def test_two_that_apply_at_once_do_not_disturb_each_other(config: dict[str, Any], run: str) -> None:
    wanted = [WantedTopic(f"{run}.{number}") for number in range(20)]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: KafkaAdmin(config).apply(wanted), range(4)))
    states = [topic.state for result in results for topic in result]
    assert states.count(TopicState.MADE) == 20
    assert states.count(TopicState.THERE) == 60


def test_more_replicas_than_brokers_are_refused_in_the_brokers_words(config: dict[str, Any], run: str) -> None:
    with pytest.raises(UsageProblem, match=rf"topic {run}: .*replication factor"):
        KafkaAdmin(config, replication_factor=3).apply([WantedTopic(run)])


def test_a_broker_that_is_away_is_told_with_the_setting(away: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    began_s = time.monotonic()
    with pytest.raises(
        Unreachable, match=r"FABRIC_KAFKA__BOOTSTRAP: no Kafka broker answered at 127\.0\.0\.1:\d+ within 0\.5 s \(.*refused.*\)"
    ):
        KafkaAdmin(away).reach(within=timedelta(seconds=0.5))
    assert time.monotonic() - began_s < 3
    assert capfd.readouterr().err == ""


def test_a_broker_that_is_there_is_counted(config: dict[str, Any]) -> None:
    assert KafkaAdmin(config).reach() == 1


@pytest.mark.parametrize(
    ("security", "words"),
    [
        ({"enable.idempotence": "false"}, r"FABRIC_KAFKA__SECURITY: enable\.idempotence cannot be set here"),
        ({"security.protocols": "ssl"}, r"FABRIC_KAFKA__SECURITY: No such configuration property: \"security\.protocols\""),
        ({"ssl.ca.location": "/nowhere", "security.protocol": "ssl"}, "FABRIC_KAFKA__SECURITY: .*ssl.ca.location failed"),
    ],
)
def test_security_settings_that_do_not_work_are_told(security: dict[str, str], words: str) -> None:
    with pytest.raises(UsageProblem, match=words):
        KafkaAdmin(client_configuration("127.0.0.1:9092", security=security))
