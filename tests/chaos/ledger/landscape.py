"""Broker, store, ledger and workers on it, each in a process of its own, and all that can befall them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from integration_fabric.backends.kafka.admin import KafkaAdmin, WantedTopic
from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.kafka.reader import KafkaReader
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.backends.sql.database import Database
from integration_fabric.connector_kit.actions import subscriber_name
from integration_fabric.local import kafka, postgres, state
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import Unavailable
from integration_fabric.messages.fabric import Activity, SubscriberAnnounced
from integration_fabric.messages.ids import System
from integration_fabric.operations.conservation import Balance
from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.operations import balances_of
from ledger.entries import ENTRIES, PARTITIONS, EntryPosted, EntryRefused, make_codec
from ledger.worker import Job

CHAOS = Path(__file__).parents[1]
LOOK_EVERY_S = 0.1
DIES_WITHIN_S = 10.0
DRAINS_WITHIN_S = 30.0


def start(module: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """One process of ours."""
    with log.open("ab") as said:
        return subprocess.Popen([sys.executable, "-m", f"ledger.{module}", *arguments], cwd=CHAOS, stdout=said, stderr=said)


async def until(condition: Callable[[], object], within_s: float, what: str) -> None:
    """Wait for what gives no signal. Raises TimeoutError that says for what."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise TimeoutError(f"{what}: not within {within_s:g} s") from None


@dataclass(slots=True)
class Landscape:
    """What runs."""

    folder: Path
    settings: LocalSettings
    bootstrap: str
    store_url: str
    ledger_url: str
    dice: random.Random
    publisher: KafkaPublisher
    client: httpx.AsyncClient
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)
    born: int = 0

    def tell(self, line: str) -> None:
        """Write down what happened, and when."""
        self.story.append(f"{time.monotonic() - self.began_s:6.1f} s  {line}")

    # -- workers

    def job(self, **more: Any) -> Job:
        """For one worker."""
        self.born += 1
        return Job(
            **{"name": f"w{self.born}", "bootstrap": self.bootstrap, "store_url": self.store_url, "ledger_url": self.ledger_url, **more}
        )

    def hire(self, job: Job) -> subprocess.Popen[bytes]:
        """Start a worker."""
        process = start("worker", json.dumps(asdict(job)), log=self.folder / f"{job.ledger}-{job.name}.log")
        self.processes.append(process)
        self.workers[job.name] = process
        return process

    async def kill(self, name: str) -> None:
        """`kill -9`."""
        process = self.workers.pop(name)
        process.kill()
        process.send_signal(signal.SIGCONT)
        await until(lambda: process.poll() is not None, DIES_WITHIN_S, f"{name} is killed")
        self.tell(f"killed {name}")

    async def drain(self, name: str) -> None:
        """Ask it to end."""
        process = self.workers.pop(name)
        process.terminate()
        await until(lambda: process.poll() is not None, DRAINS_WITHIN_S, f"{name} drains")
        began = any(path.stat().st_size for path in self.folder.glob(f"*-{name}.log"))
        assert process.returncode == 0 or not began, f"{name} ended with {process.returncode}"
        self.tell(f"drained {name}")

    # -- the broker

    async def kill_broker(self) -> None:
        """`kill -9`, and start it again."""
        service = state.read(self.settings.state_dir).services[kafka.NAME]
        assert service.pid is not None
        os.kill(service.pid, signal.SIGKILL)
        self.tell("killed the broker")
        await asyncio.to_thread(kafka.up, self.settings, lambda _: None)
        self.tell("the broker serves again")

    # -- the ledger

    async def faults(self, ledger: str = "ledger", **given: Any) -> None:
        """Have it misbehave."""
        (await self.client.post("/faults", json=given, headers={"x-ledger": ledger})).raise_for_status()

    async def known(self, ledger: str = "ledger") -> int:
        """How many entries it has."""
        found: int = (await self.client.get("/count", headers={"x-ledger": ledger})).json()["known"]
        return found

    async def journal(self, ledger: str = "ledger") -> dict[str, Any]:
        """What it did."""
        found: dict[str, Any] = (await self.client.get("/journal", headers={"x-ledger": ledger})).json()
        return found

    # -- messages

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish them, however often it takes: some may then stand twice."""
        async with asyncio.timeout(120):
            while True:
                with suppress(Unavailable):
                    return await self.publisher.publish(envelopes)
                self.tell("publishing failed, once more")

    async def until_known(self, count: int, *, within_s: float, ledger: str = "ledger") -> None:
        """Wait until the ledger has so many entries."""
        found = 0
        try:
            async with asyncio.timeout(within_s):
                while (found := await self.known(ledger)) < count:
                    await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self.tell(f"{ledger}: {found} of {count} entries")

    async def settled(self, ledger: str = "ledger", *, within_s: float = 60) -> Sequence[Balance]:
        """The sums, once nothing is in flight."""
        deadline_s = time.monotonic() + within_s
        while True:
            found = await asyncio.to_thread(self.balances, ledger)
            if not any(balance.in_flight for balance in found) or time.monotonic() > deadline_s:
                return found
            await asyncio.sleep(1)

    def balances(self, ledger: str) -> Sequence[Balance]:
        """The sum of each topic at its subscriber, as `fabric balance` makes it."""
        config = client_configuration(self.bootstrap)
        read_by = {subscriber_name(System(ledger), kind): [kind.topic] for kind in ENTRIES}
        return balances_of(read_by, KafkaReader(config=config), make_codec(EmbeddedRegistry(config)))

    def replies(self, ledger: str) -> list[tuple[str, int]]:
        """What was committed of its replies: account and version, in the order of their partitions."""
        config = client_configuration(self.bootstrap)
        reader, codec = KafkaReader(config=config), make_codec(EmbeddedRegistry(config))
        found = []
        for record in reader.read([EntryPosted.topic, EntryRefused.topic], whole=True):
            if dict(record.headers or ()).get("ce_system") == ledger.encode():
                body = codec.decode(record.value or b"", EntryPosted)
                assert isinstance(body, EntryPosted)
                found.append((body.account, body.version))
        return found

    async def demand_one_of_each(self, wanted: set[str], ledger: str = "ledger") -> None:
        """Each entry was made once, in the order of its account; each was answered once, in that order; every sum is even."""
        journal = await self.journal(ledger)
        effects = Counter(journal["effects"])
        assert wanted - effects.keys() == set(), "missing in the ledger"
        assert [name for name, count in effects.items() if count > 1] == [], "doubled in the ledger"
        assert journal["disorder"] == []
        assert effects.keys() == wanted
        balances = await self.settled(ledger)
        for balance in balances:
            self.tell(f"{balance.subscriber}: {balance.accepted} accepted, {balance.in_flight} in flight, {dict(balance.outcomes)}")
        assert [balance for balance in balances if not balance.balanced or balance.in_flight] == []
        replies = await asyncio.to_thread(self.replies, ledger)
        assert Counter(f"{account}.{version}" for account, version in replies) == Counter(wanted)
        assert out_of_order(replies) == []


def out_of_order(replies: Iterable[tuple[str, int]]) -> list[str]:
    """Those that come after a later one of their account."""
    highest: dict[str, int] = {}
    found = []
    for account, version in replies:
        if highest.get(account, -1) > version:
            found.append(f"{account}.{version}")
        highest[account] = version
    return found


@asynccontextmanager
async def landscape(folder: Path, seed: int, *, store: Store) -> AsyncIterator[Landscape]:
    """Everything but the workers; all of it is gone at the end."""
    settings = LocalSettings(state_dir=folder / "state")
    async with _broker(settings) as bootstrap, _store(folder, settings, store) as store_url:
        config = client_configuration(bootstrap)
        topics = [WantedTopic(kind.topic, partitions=PARTITIONS) for kind in (*ENTRIES, EntryPosted, EntryRefused)]
        await asyncio.to_thread(KafkaAdmin(config).apply, [*topics, WantedTopic(Activity.topic), WantedTopic(SubscriberAnnounced.topic)])
        codec = await asyncio.to_thread(lambda: make_codec(EmbeddedRegistry(config), register=True))
        publisher = KafkaPublisher(codec=codec, config=config)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        vendor = start("vendor", str(port), str(seed), log=folder / "vendor.log")
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client:
            found = Landscape(folder, settings, bootstrap, store_url, url, random.Random(seed), publisher, client, [vendor])
            try:
                await _answers(lambda: client.get("/count"))
                yield found
            finally:
                for process in found.processes:
                    process.kill()
                    process.wait()
                await publisher.close()


async def _answers(ask: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(20):
        while True:
            with suppress(httpx.TransportError):
                await ask()
                return
            await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def _broker(settings: LocalSettings) -> AsyncIterator[str]:
    address = await asyncio.to_thread(kafka.up, settings, lambda _: None)
    try:
        yield address.bootstrap
    finally:
        await asyncio.to_thread(kafka.down, settings, lambda _: None)


@asynccontextmanager
async def _store(folder: Path, settings: LocalSettings, store: Store) -> AsyncIterator[str]:
    if store is Store.SQLITE:
        url = f"sqlite:///{folder / 'store.sqlite'}"
    else:
        url = (await asyncio.to_thread(postgres.up, settings, lambda _: None)).url
    database = Database(url)
    await asyncio.to_thread(database.open)
    database.close()
    try:
        yield url
    finally:
        if store is not Store.SQLITE:
            await asyncio.to_thread(postgres.forget, settings)
