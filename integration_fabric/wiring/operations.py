"""Joins what operations read: the activity log, dead letters, process instances. For tools: each call opens what it needs and closes it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, TypeVar

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.instances import SqlInstances
from integration_fabric.backends.sql.orders import SqlOrders
from integration_fabric.backends.sql.system_states import SqlSystemStates
from integration_fabric.delivery.dead_letters import DeadLetterView, topic_of, view
from integration_fabric.delivery.maintenance import left_of
from integration_fabric.delivery.ports import SystemState, SystemStates
from integration_fabric.governance.schema_files import read_all
from integration_fabric.messages.base import Message
from integration_fabric.messages.catalogue import BY_TOPIC
from integration_fabric.messages.errors import Undecodable, UsageProblem
from integration_fabric.messages.fabric import Activity, ProcessChanged, SubscriberAnnounced
from integration_fabric.operations.conservation import Balance, Fold
from integration_fabric.operations.journey import Journey, trace
from integration_fabric.operations.ports import TopicReader
from integration_fabric.process_engine.ports import InstanceRow, Instances
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.envelopes import learn_and_decode
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.steering import Order
from integration_fabric.wiring import landscape
from integration_fabric.wiring.fabric import open_database
from integration_fabric.wiring.kafka import client_config, open_reader, open_registry
from integration_fabric.wiring.settings import Settings, SystemSettings

M = TypeVar("M", bound=Message)
T = TypeVar("T")


def read_journey(settings: Settings, key: str) -> Journey:
    """Everything that the activity log knows about one business key. Raises UsageProblem."""
    reader, codec = open_reader(settings), _codec(settings)
    return trace(key, messages(reader, codec, Activity), messages(reader, codec, ProcessChanged))


def read_balances(settings: Settings) -> Sequence[Balance]:
    """The sum of every topic at every subscriber. Raises UsageProblem."""
    return balances(settings, open_reader(settings), _codec(settings))


def balances(settings: Settings, reader: TopicReader, codec: Codec) -> Sequence[Balance]:
    """As `read_balances`, on a reader that is open."""
    return balances_of({item.name: item.topics for item in landscape.subscribers(settings)}, reader, codec)


def balances_of(read_by: Mapping[str, Sequence[str]], reader: TopicReader, codec: Codec) -> Sequence[Balance]:
    """The sums of these topics, by the subscriber that reads them."""
    committed = {name: reader.committed(name, topics) for name, topics in read_by.items()}
    fold = Fold()
    for activity in messages(reader, codec, Activity, whole=True):
        fold.add(activity)
    # the topics are read last: what was committed before is then surely in the log that was read
    offsets: dict[str, dict[TopicPartition, list[int]]] = defaultdict(lambda: defaultdict(list))
    for record in reader.read(sorted({topic for topics in read_by.values() for topic in topics})):
        offsets[record.topic][TopicPartition(record.topic, record.partition)].append(record.offset)
    return [
        fold.balance(
            subscriber=name,
            topic=topic,
            offsets=offsets[topic],
            committed={p: position.done if position else None for p, position in committed[name].items()},
        )
        for name, topics in read_by.items()
        for topic in topics
    ]


def read_dead_letters(settings: Settings) -> Sequence[DeadLetterView]:
    """All dead letters, the oldest first. Raises UsageProblem."""
    reader = open_reader(settings)
    topics = [topic for topic in reader.topics() if topic.startswith(topic_of(""))]
    found = [view(record) for record in reader.read(topics)]
    return sorted(found, key=lambda item: (item.last_failed_at is not None, item.last_failed_at, item.stored_at))


def read_announced(settings: Settings) -> Sequence[SubscriberAnnounced]:
    """Where each subscriber's worker answers, as the workers said it. Raises UsageProblem."""
    latest = {(item.subscriber, item.worker): item for item in messages(open_reader(settings), _codec(settings), SubscriberAnnounced)}
    return list(latest.values())


def decode_body(settings: Settings, dead: DeadLetterView) -> Any:
    """The body of a dead letter as plain values; None where it cannot be read."""
    kind = BY_TOPIC.get(dead.position.topic)
    if kind is None or dead.value is None:
        return None
    try:
        return learn_and_decode(dead.value, kind, _codec(settings)).model_dump(mode="json")
    except Undecodable:
        return None


def owner_of(dead: DeadLetterView) -> str | None:
    """Who owns the message type of a dead letter, by its schema."""
    owners = {file.topic: str(file.schema.get("owner")) for file in read_all()}
    return owners.get(dead.position.topic)


async def open_instances(settings: Settings, stack: AsyncExitStack) -> Instances:
    """The process instances of the store; it is closed with the stack. Raises UsageProblem."""
    return SqlInstances(await open_database(settings, stack))


def find_instances(
    settings: Settings, *, process: str | None = None, state: str | None = None, key: str | None = None, limit: int = 200
) -> Sequence[InstanceRow]:
    """Process instances. Raises UsageProblem."""

    async def find() -> Sequence[InstanceRow]:
        async with AsyncExitStack() as stack:
            instances = await open_instances(settings, stack)
            return await instances.find(process=process, state=state, key=key, limit=limit)

    return asyncio.run(find())


@dataclass(frozen=True, slots=True)
class SystemStanding:
    """A system of the settings, and how it stands."""

    name: str
    settings: SystemSettings
    state: SystemState
    maintenance_left: timedelta


def read_systems(settings: Settings) -> Sequence[SystemStanding]:
    """How each system of the settings stands. Raises UsageProblem."""
    found = _with_states(settings, lambda states: states.read())
    now = SystemClock().now()
    return [
        SystemStanding(name, system, found.get(name, SystemState()), left_of(system.maintenance, now))
        for name, system in sorted(settings.systems.items())
    ]


def pause_system(settings: Settings, system: str, *, by: str, why: str, within: timedelta | None) -> None:
    """Stop all calls of a system. Raises UsageProblem where it is none."""
    _known(settings, system)
    _with_states(settings, lambda states: states.pause(system, by=by, why=why, within=within))


def resume_system(settings: Settings, system: str) -> bool:
    """Let its calls go on; whether anything had stopped them. Raises UsageProblem where it is none."""
    _known(settings, system)
    return _with_states(settings, lambda states: states.resume(system))


def read_orders(settings: Settings) -> Sequence[Order]:
    """What people have ordered of subscribers. Raises UsageProblem."""
    return _with_store(settings, lambda database: SqlOrders(database).read())


def give_order(settings: Settings, order: Order) -> None:
    """Order something of a subscriber; its workers look within a second. Raises UsageProblem where it is none, or has no such topic."""
    topics = declared(settings, order.subscriber).topics
    if order.partition is not None and order.partition.topic not in topics:
        raise UsageProblem(f"{order.subscriber} does not read {order.partition.topic}; it reads {', '.join(topics)}")
    _with_store(settings, lambda database: SqlOrders(database).give(order))


def declared(settings: Settings, subscriber: str) -> landscape.Declared:
    """One of the subscribers that the settings call for. Raises UsageProblem where it is none."""
    known = {item.name: item for item in landscape.subscribers(settings)}
    if subscriber not in known:
        close = get_close_matches(subscriber, known, n=3) or sorted(known)[:3]
        raise UsageProblem(f"there is no subscriber {subscriber}; do you mean {' or '.join(close)}?")
    return known[subscriber]


def lift_orders(settings: Settings, subscriber: str, *, partition: TopicPartition | None, key: bytes | None) -> int:
    """Take back pauses and drains; how many there were. Raises UsageProblem."""
    return _with_store(settings, lambda database: SqlOrders(database).lift(subscriber, partition=partition, key=key))


def _known(settings: Settings, system: str) -> None:
    if system not in settings.systems:
        raise UsageProblem(f"there is no system {system}; there are {', '.join(sorted(settings.systems)) or 'none'}")


def _with_states(settings: Settings, ask: Callable[[SystemStates], Awaitable[T]]) -> T:
    return _with_store(settings, lambda database: ask(SqlSystemStates(database)))


def _with_store(settings: Settings, ask: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        async with AsyncExitStack() as stack:
            return await ask(await open_database(settings, stack))

    return asyncio.run(run())


def messages(reader: TopicReader, codec: Codec, kind: type[M], *, whole: bool = False) -> Iterator[M]:
    """The bodies of a topic, in partition order; what cannot be read is passed over. `whole` as `TopicReader.read` has it."""
    for record in reader.read([kind.topic], whole=whole):
        if record.value is None:
            continue
        try:
            found = learn_and_decode(record.value, kind, codec)
        except Undecodable:
            continue
        if isinstance(found, kind):
            yield found


def _codec(settings: Settings) -> Codec:
    return AvroCodec(open_registry(settings, client_config(settings)))
