"""How long nobody handles a partition whose worker is gone: killed, or drained. Two workers of one group, and events that keep coming."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from integration_fabric.backends.kafka.admin import KafkaAdmin, WantedTopic
from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.local.broker_properties import FAILOVER
from tests.performance.contenders import ROOT, Failed
from tests.performance.contest import Task, Work
from tests.performance.invoices import envelopes, issued_on, make_codec
from tests.performance.report import Figure, Unit
from tests.performance.workload import PARTITIONS, WATCHED_TOPIC

SESSION_S = int(FAILOVER["group.consumer.session.timeout.ms"]) / 1000
EVERY_S = 0.01
"""Between two events of each partition, so that the first one handled is not late for want of one."""
LOOK_S = 0.02
PATIENCE_S = 30.0
SETTLED_S = 0.7
"""For so long each of two workers has handled its own partitions: more than a heartbeat."""


@dataclass(slots=True)
class Member:
    """One worker's process."""

    process: asyncio.subprocess.Process
    handled: list[tuple[int, float]] = field(default_factory=list)
    """Partition and moment of each message."""

    async def read(self) -> None:
        """Note what it says."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            partition, at_s = json.loads(line)
            self.handled.append((partition, at_s))

    def partitions(self, since_s: float) -> set[int]:
        """Those of which it has handled something since."""
        return {partition for partition, at_s in self.handled if at_s >= since_s}

    def first_of(self, partitions: set[int], since_s: float) -> float | None:
        """When it first handled something of these."""
        return next((at_s for partition, at_s in self.handled if partition in partitions and at_s > since_s), None)


async def measure(bootstrap: str, folder: Path, rounds: int, tell: Callable[[str], None]) -> Mapping[str, Figure]:
    """Kill one, drain one, several times.

    Raises:
        Failed: The workers did not come to share the partitions, or nobody took over.
    """
    found: dict[str, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        group = f"bench-handover-{uuid4().hex[:8]}"
        await stack.enter_async_context(publishing(bootstrap))
        watched = Watched(bootstrap, group)
        task = Task(bootstrap, Work.CONSUME, 0, WATCHED_TOPIC, group=group, store=f"sqlite:///{folder / 'handover.db'}")
        staying = await stack.enter_async_context(member(task))
        for number in range(1, rounds + 1):
            async with member(task) as leaving:
                theirs = await settled(leaving, staying)
                began_s = time.monotonic()
                leaving.process.kill()
                noticing = asyncio.create_task(watched.alone())
                first_s = await taken_over(staying, theirs, began_s)
                noticed_s = await noticing
            found["killed"].append(first_s - began_s)
            found["killed, noticed by the broker"].append(noticed_s - began_s)
            found["killed, once noticed"].append(max(0.0, first_s - noticed_s))
            found[f"killed, less the session timeout of {SESSION_S:g} s"].append(max(0.0, first_s - began_s - SESSION_S))
            async with member(task) as leaving:
                theirs = await settled(leaving, staying)
                began_s = time.monotonic()
                leaving.process.terminate()
                found["drained"].append(await taken_over(staying, theirs, began_s) - began_s)
            tell(f"P11, round {number}: " + ", ".join(f"{name} {times[-1]:.2f} s" for name, times in found.items()))
    return {name: Figure(tuple(times), Unit.S) for name, times in found.items()}


async def settled(leaving: Member, staying: Member) -> set[int]:
    """Wait until both handle partitions of their own. Returns those of the first."""
    async with patience("two workers did not come to share the partitions"):
        while True:
            since_s = time.monotonic() - SETTLED_S
            theirs, others = leaving.partitions(since_s), staying.partitions(since_s)
            if theirs and others and not theirs & others and len(theirs | others) == PARTITIONS:
                return theirs
            await asyncio.sleep(LOOK_S)


async def taken_over(staying: Member, theirs: set[int], since_s: float) -> float:
    """When the one that stays first handled something of those."""
    async with patience("nobody took the partitions over"):
        while (first_s := staying.first_of(theirs, since_s)) is None:
            await asyncio.sleep(LOOK_S)
        return first_s


@asynccontextmanager
async def patience(why: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError:
        raise Failed(f"P11: {why} within {PATIENCE_S:g} s") from None


@asynccontextmanager
async def member(task: Task) -> AsyncIterator[Member]:
    """A worker; gone at the end."""
    command = (sys.executable, "-m", "tests.performance.peers.fabric_member")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write((task.to_json() + "\n").encode())
    found = Member(process)
    reading = asyncio.create_task(found.read())
    try:
        yield found
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        with suppress(ProcessLookupError):
            process.kill()
        await reading


@asynccontextmanager
async def publishing(bootstrap: str) -> AsyncIterator[None]:
    """Events come in all the time, in every partition."""
    config, kind = client_configuration(bootstrap), issued_on(WATCHED_TOPIC)
    await asyncio.to_thread(KafkaAdmin(config).apply, [WantedTopic(WATCHED_TOPIC, PARTITIONS)])
    publisher = KafkaPublisher(codec=make_codec(EmbeddedRegistry(config), more=[kind], register=True), config=config)
    source = envelopes(kind)

    async def publish() -> None:
        while True:
            await publisher.publish(list(islice(source, PARTITIONS)))
            await asyncio.sleep(EVERY_S)

    going_on = asyncio.create_task(publish())
    try:
        yield
    finally:
        going_on.cancel()
        with suppress(asyncio.CancelledError):
            await going_on
        await publisher.close()


class Watched:
    """What the broker knows of the group."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._admin, self._group = AdminClient({"bootstrap.servers": bootstrap}), group

    async def alone(self) -> float:
        """When the broker first said that one member is left."""
        async with patience("the broker did not notice that a worker was gone"):
            while True:
                at_s = time.monotonic()
                if await asyncio.to_thread(self._members) == 1:
                    return at_s
                await asyncio.sleep(LOOK_S)

    def _members(self) -> int | None:
        future = self._admin.describe_consumer_groups([self._group], request_timeout=5)[self._group]
        try:
            return len(future.result().members)
        except KafkaException:
            return None
