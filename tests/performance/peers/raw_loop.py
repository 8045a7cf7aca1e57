"""The floor: confluent-kafka and fastavro with nothing around them. No handler, no order, no retry, no headers."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, Producer

from tests.performance.contest import Stopwatch, Task, Work, read_task
from tests.performance.workload import COPIED_TOPIC, DISTINCT, PUBLISHED_TOPIC, decode, encode, event

BATCH = 1_000
COMMIT_EVERY_S = 0.1
PRODUCER = {"linger.ms": 20, "compression.type": "lz4", "queue.buffering.max.messages": 500_000}


def consume(task: Task) -> None:
    consumer, watch, done = subscribed(task), Stopwatch(), 0
    while done < task.events:
        messages = consumer.consume(BATCH, 1.0)
        if messages and not watch.began:
            watch.begin()
        for message in messages:
            decode(message.value())
        done += len(messages)
    watch.end(done)
    consumer.close()


def wait(task: Task) -> None:
    """One after the other, as whoever writes such a loop by hand does."""
    consumer, watch = subscribed(task), Stopwatch()
    for number in range(task.events):
        while (message := consumer.poll(1.0)) is None:
            pass
        if number == 0:
            watch.begin()
        decode(message.value())
        time.sleep(task.latency_ms / 1000)
    watch.end(task.events)
    consumer.close()


def pipe(task: Task) -> None:
    """Offsets and outputs are committed in a Kafka transaction every 100 ms."""
    consumer, watch, done = subscribed(task), Stopwatch(), 0
    producer = Producer({**PRODUCER, "bootstrap.servers": task.bootstrap, "transactional.id": task.name})
    producer.init_transactions()
    producer.begin_transaction()
    committed_s = time.perf_counter()
    while done < task.events:
        messages = consumer.consume(BATCH, 1.0)
        if messages and not watch.began:
            watch.begin()
        for message in messages:
            producer.produce(COPIED_TOPIC, key=message.key(), value=encode(decode(message.value())))
        done += len(messages)
        if time.perf_counter() - committed_s > COMMIT_EVERY_S:
            commit(consumer, producer)
            producer.begin_transaction()
            committed_s = time.perf_counter()
    commit(consumer, producer)
    watch.end(done)
    consumer.close()


def publish(task: Task) -> None:
    producer = Producer({**PRODUCER, "bootstrap.servers": task.bootstrap, "enable.idempotence": True})
    events = [event(number) for number in range(DISTINCT)]
    producer.list_topics(PUBLISHED_TOPIC, timeout=10)  # connected, as a publisher in a worker is
    watch = Stopwatch()
    watch.begin()
    for number in range(task.events):
        record = events[number % DISTINCT]
        producer.produce(PUBLISHED_TOPIC, key=record["customer_id"].encode(), value=encode(record))
        if number % BATCH == 0:
            producer.poll(0)
    producer.flush()
    watch.end(task.events)


def subscribed(task: Task) -> Any:
    consumer = Consumer(
        {
            "bootstrap.servers": task.bootstrap,
            "group.id": task.name,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([task.topic])
    return consumer


def commit(consumer: Any, producer: Any) -> None:
    positions = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
    producer.commit_transaction()


if __name__ == "__main__":
    given = read_task()
    {Work.CONSUME: consume, Work.PIPE: pipe, Work.PUBLISH: publish, Work.WAIT: wait}[given.work](given)
