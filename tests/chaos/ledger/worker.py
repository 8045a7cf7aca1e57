"""A worker on a ledger, as the fabric's own: real Kafka, real SQL, governor, pruning. It can be told to be gone at a named point.

`python -m ledger.worker '{"name": …}'`, with the fields of `Job`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from confluent_kafka import Producer

from integration_fabric.apps.worker import Worker, end_on_signals
from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.groups import GroupProtocol
from integration_fabric.backends.kafka.owner_thread import OwnerThread
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.kafka.reader import KafkaReader
from integration_fabric.backends.kafka.transactions import KafkaTransactions
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.effects import SqlEffects
from integration_fabric.backends.sql.leases import SqlLeases
from integration_fabric.canonical.routing import Routes
from integration_fabric.connector_kit.actions import Action, action
from integration_fabric.connector_kit.http_client import HttpClient, http_client
from integration_fabric.delivery.governor import Governors, Limits
from integration_fabric.delivery.ports import Claim, Fresh
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.errors import DataProblem
from integration_fabric.messages.ids import System
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.context import Context
from integration_fabric.runtime.ports import Commit, Done, Fence, Stop, TakenLease
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Handled, Running
from integration_fabric.telemetry import logs
from integration_fabric.wiring.fabric import Fabric, sql_stores
from integration_fabric.wiring.settings import Settings
from ledger.entries import AddEntry, Entry, EntryPosted, PostEntry, PutEntry, make_codec

TIMEOUT, SETTLES_AFTER = timedelta(seconds=1), timedelta(seconds=1)
IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker is to do."""

    name: str
    bootstrap: str
    store_url: str
    ledger_url: str
    ledger: str = "ledger"
    """Which of the vendor's; its subscribers are named after it."""
    protocol: str = GroupProtocol.CONSUMER
    point: str = ""
    """Where it is gone."""
    count: int = 1
    """The so-manieth time that it comes there."""
    signal: int = signal.SIGKILL
    """SIGKILL to end there, SIGSTOP to stand still until it is told to go on."""


class Point:
    """The named point at which this process is gone."""

    def __init__(self, job: Job) -> None:
        self._name, self._left, self._signal = job.point, job.count, job.signal

    def come_to(self, name: str) -> None:
        """Be gone, if this is it."""
        if self.is_next(name):
            os.kill(os.getpid(), self._signal)

    def is_next(self, name: str) -> bool:
        """Whether it is it; counts."""
        if name != self._name:
            return False
        self._left -= 1
        return self._left == 0

    def come_to_soon(self, name: str) -> None:
        """Be gone in the middle of what comes next."""
        if self.is_next(name):
            threading.Timer(END_TAKES_S, os.kill, (os.getpid(), self._signal)).start()


END_TAKES_S = 0.002
"""About as long as the end of a transaction takes to be carried out by the broker and answered."""


class CrashingLeases(SqlLeases):
    point: Point

    async def take(self, subscriber: str, taken: Sequence[TakenLease], owner: str) -> Sequence[bool]:
        answer = await super().take(subscriber, taken, owner)
        self.point.come_to("lease_raised")
        return answer

    async def stops(self, subscriber: str, taken: Sequence[TakenLease], done: Mapping[TopicPartition, Done]) -> Sequence[Stop]:
        answer = await super().stops(subscriber, taken, done)
        self.point.come_to("stops_voided")
        return answer

    async def stop(self, fence: Fence, stop: Stop) -> None:
        await super().stop(fence, stop)
        self.point.come_to("stop_written")


class CrashingEffects(SqlEffects):
    point: Point

    async def claim(self, fence: Fence, message_id: str, coordinates: Coordinates, *, within: timedelta) -> Claim:
        answer = await super().claim(fence, message_id, coordinates, within=within)
        if isinstance(answer, Fresh):
            self.point.come_to("intended")
        return answer

    async def settle(self, fence: Fence, message_id: str, coordinates: Coordinates, handled: Handled, **more: Any) -> bool:
        self.point.come_to("answered")
        is_mine = await super().settle(fence, message_id, coordinates, handled, **more)
        self.point.come_to("settled")
        return is_mine


class CrashingTransactions(KafkaTransactions):
    point: Point

    def _commit(self, commit: Commit) -> None:
        super()._commit(commit)
        self.point.come_to("committed" if commit.outputs else "epoch_committed")

    def _produce(self, producer: Producer, commit: Commit) -> None:  # type: ignore[override]
        super()._produce(producer, commit)
        if commit.outputs:
            producer.flush(5)
            self.point.come_to("outputs_sent")

    def _end(self, producer: Producer) -> None:
        self.point.come_to("offsets_sent")
        self.point.come_to_soon("end_sent")
        super()._end(producer)


def reply(command: Entry) -> EntryPosted:
    return EntryPosted(account=command.account, version=command.version, aggregate_version=command.version)


async def write(client: HttpClient, method: str, path: str, command: Entry) -> EntryPosted:
    answer = await client.call(method, path, json={"account": command.account, "version": command.version})
    if not answer.is_success:
        raise DataProblem(field="account", value=command.account, hint="the ledger does not take it")
    return reply(command)


@action(Strategy.NATIVE_KEY, in_flight=IN_FLIGHT, timeout=TIMEOUT, settles_after=SETTLES_AFTER)
async def post(command: PostEntry, context: Context[HttpClient]) -> EntryPosted:
    return await write(context.needs, "POST", "/post", command)


@action(Strategy.UPSERT, in_flight=IN_FLIGHT, timeout=TIMEOUT, settles_after=SETTLES_AFTER)
async def put(command: PutEntry, context: Context[HttpClient]) -> EntryPosted:
    return await write(context.needs, "PUT", "/put", command)


@action(Strategy.LOOKUP_FIRST, in_flight=IN_FLIGHT, timeout=TIMEOUT, settles_after=SETTLES_AFTER)
async def add(command: AddEntry, context: Context[HttpClient]) -> EntryPosted:
    return await write(context.needs, "POST", "/add", command)


@post.read_back
@add.read_back
async def look(command: Entry, context: Context[HttpClient]) -> EntryPosted | None:
    answer = await context.needs.call("GET", f"/entries/{command.name}")
    return reply(command) if answer.is_success else None


ACTIONS: tuple[Action[Any, HttpClient, Any], ...] = (post, put, add)


@dataclass(frozen=True, slots=True)
class LedgerFabric(Fabric):
    """A fabric that has the ledger's subscribers and no others."""

    ledger: System
    client: HttpClient

    def subscribers(self, names: Sequence[str]) -> Sequence[Running]:
        gate = self.governors.by_system[self.ledger]
        return [found.bind(self.ledger, self.client, effects=self.stores.effects, clock=self.clock, gate=gate) for found in ACTIONS]

    def pollers(self, names: Sequence[str]) -> Sequence[Any]:
        return ()

    def timers(self, names: Sequence[str]) -> Sequence[Any]:
        return ()


@asynccontextmanager
async def open_ledger_fabric(job: Job) -> AsyncIterator[LedgerFabric]:
    async with AsyncExitStack() as stack:
        ledger, point = System(job.ledger), Point(job)
        producing = client_configuration(job.bootstrap)
        codec = make_codec(EmbeddedRegistry(producing))
        database = Database(job.store_url)
        await asyncio.to_thread(database.open)
        stack.callback(database.close)
        leases, effects = CrashingLeases(database), CrashingEffects(database)
        leases.point = effects.point = point
        stores = replace(sql_stores(database), leases=leases, effects=effects)
        publisher = KafkaPublisher(codec=codec, config=producing)
        stack.push_async_callback(publisher.close)
        headers = {"x-pid": str(os.getpid()), "x-ledger": ledger}
        opened = http_client(
            system=ledger, base_url=job.ledger_url, headers=headers, answer_within=timedelta(seconds=5), connections=4 * IN_FLIGHT
        )
        client = await stack.enter_async_context(opened)
        clock = SystemClock()

        def backing(subscriber: str) -> Backing:
            transactions = CrashingTransactions(transactional_id=f"{subscriber}-{uuid4().hex[:12]}", config=producing)
            transactions.point = point
            consumer = OwnerThread(group=subscriber, config=producing, protocol=GroupProtocol(job.protocol))
            return Backing(consumer, transactions, leases, codec, clock)

        yield LedgerFabric(
            settings=Settings(),
            clock=clock,
            codec=codec,
            publisher=publisher,
            stores=stores,
            systems={},
            governors=Governors({ledger: Limits()}, states=stores.system_states, clock=clock),
            routes=Routes({}),
            reader=KafkaReader(config=producing),
            backing=backing,
            make_topics=lambda _: None,
            ledger=ledger,
            client=client,
        )


async def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    async with open_ledger_fabric(job) as fabric:
        worker = Worker(name=job.name, fabric=fabric, parts=(), started_at=fabric.clock.now())
        end_on_signals(worker.ending)
        await worker.run("")


if __name__ == "__main__":
    logs.set_up(level="INFO")
    asyncio.run(main())
