"""The same protocol on Apache Kafka with SQLite and PostgreSQL: fewer things happen, and the same must hold at rest (tests 1, 9, 12).

What happens is drawn from a seed: `MACHINE_SEED=7 MACHINE_ROUNDS=50 python -m pytest tests/conformance/machine -k real`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from broker_kit import KafkaKit
from destination import Fate
from network import Trap
from real_stage import RealStage
from stage import World
from store_kit import open_database

from integration_fabric.backends.kafka import owner_thread
from integration_fabric.backends.memory.transactions import Fault
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.tables import METADATA
from integration_fabric.delivery import effects
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.takeover import ForeignStore

pytestmark = pytest.mark.kafka

SEED = int(os.environ.get("MACHINE_SEED", "7"))
ROUNDS = int(os.environ.get("MACHINE_ROUNDS", "6"))
FATES = (Fate.DONE, Fate.UNANSWERED, Fate.LATE, Fate.HANGS, Fate.UNREACHABLE, Fate.BAD_DATA, Fate.DEFECT)
POINTS = (
    "claim done",
    "settle sent",
    "settle done",
    "transaction sent",
    "transaction done",
    "take sent",
    "read done",
    "answer",
    "write sent",
    "write done",
    "advance done",
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are real here."""
    monkeypatch.setattr(effects, "MARGIN", timedelta(seconds=0.6))
    monkeypatch.setattr(effects, "STORE_RETRY_S", 0.05)


@asynccontextmanager
async def real_stage(bootstrap: str, url: str, world: World, codec: Codec) -> AsyncIterator[RealStage]:
    kit = KafkaKit(bootstrap)
    with open_database(url) as database:
        stage = RealStage(world=world, codec=codec, kit=kit, database=database)
        await stage.open()
        try:
            yield stage
        finally:
            await stage.close()
            await kit.close()


async def happen(stage: RealStage, dice: random.Random) -> None:
    """One thing, with something to do before it."""
    for _ in range(dice.randint(1, 5)):
        await stage.publish(dice.choice("ab"), dice.randrange(stage.world.partitions))
    if stage.world.strategy is not None:
        stage.destination.fates.extend(dice.choices(FATES, k=dice.randint(0, 2)))
    worker = dice.choice(stage.alive or [stage.start()])

    async def aborted() -> None:
        await stage.publish_aborted(0)

    async def start() -> None:
        if len(stage.alive) < 3:
            stage.start()

    async def let_go() -> None:
        for each in stage.workers:
            each.heal()

    async def trap() -> None:
        worker.network.set_trap(dice.choice(POINTS), dice.choice(list(Trap)))

    async def fault() -> None:
        worker.transactions.faults.append(dice.choice(list(Fault)))

    async def crash() -> None:
        worker.crash()

    async def drain() -> None:
        worker.loop.drain()

    async def redeliver() -> None:
        await stage.redeliver(force=dice.random() < 0.7)

    kinds = (aborted, start, start, let_go, trap, trap, trap, fault, fault, crash, drain, redeliver, redeliver, redeliver)
    events: list[Callable[[], Awaitable[None]]] = list(kinds)
    await dice.choice(events)()
    await stage.go(dice.choice((0.05, 0.3, 1.0)))


@pytest.mark.timeout(0 if "MACHINE_SEED" in os.environ else 240)
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("strategy", [Strategy.LOOKUP_FIRST, None], ids=["calls", "copies"])
async def test_whatever_happens_on_real_stores_all_is_right_at_rest(
    codec: Codec, kafka_bootstrap: str, database_url: str, strategy: Strategy | None
) -> None:
    print(f"MACHINE_SEED={SEED} MACHINE_ROUNDS={ROUNDS}")
    dice = random.Random(f"{SEED} {strategy}")
    world = World(strategy, partitions=2, seed=SEED)
    async with real_stage(kafka_bootstrap, database_url, world, codec) as stage:
        stage.start()
        for _ in range(ROUNDS):
            await happen(stage, dice)
        await stage.rest()


@pytest.mark.usefixtures("quick")
async def test_reading_what_is_not_committed_is_noticed(
    codec: Codec, kafka_bootstrap: str, make_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`isolation.level` (protocol.md, A1) is Kafka's own: this is its mutation."""
    consumer = owner_thread.KafkaConsumer
    monkeypatch.setattr(owner_thread, "KafkaConsumer", lambda config: consumer({**config, "isolation.level": "read_uncommitted"}))
    async with real_stage(kafka_bootstrap, make_url("sqlite"), World(None), codec) as stage:
        await stage.publish("a", 0)
        await stage.publish_aborted(0)
        await stage.publish("a", 0)
        stage.start()
        with pytest.raises(AssertionError, match="was never published"):
            await stage.rest()


@pytest.mark.usefixtures("quick")
async def test_another_store_than_the_one_that_offsets_were_committed_with_is_refused(
    codec: Codec, kafka_bootstrap: str, database_url: str, tmp_path: Path
) -> None:
    """Its file was swapped, or its address changed: what was done is not known there (test 10)."""
    async with real_stage(kafka_bootstrap, database_url, World(), codec) as stage:
        stage.start()
        await stage.publish("a", 0)
        await stage.rest()
        for worker in stage.alive:
            worker.crash()
        await stage.publish("a", 0)
        with open_database(f"sqlite:///{tmp_path}/another.sqlite") as another:
            stage.database = another
            with pytest.raises(ForeignStore, match="committed with store"):
                await asyncio.wait_for(stage.start().task, 30)
        assert len(stage.destination.landed) == 1


@pytest.mark.usefixtures("quick")
async def test_an_older_copy_of_the_store_is_refused(codec: Codec, kafka_bootstrap: str, database_url: str, tmp_path: Path) -> None:
    """It was restored: a call of which Kafka was told is not known there (test 10)."""
    async with real_stage(kafka_bootstrap, database_url, World(), codec) as stage:
        stage.start()
        await stage.publish("a", 0)
        await stage.rest()
        with open_database(f"sqlite:///{tmp_path}/copy.sqlite") as copy:
            _copy(stage.database, copy)
            await stage.publish("a", 0)
            await stage.rest()
            for worker in stage.alive:
                worker.crash()
            await stage.publish("a", 0)
            stage.database = copy
            with pytest.raises(ForeignStore, match="older copy"):
                await asyncio.wait_for(stage.start().task, 60)
        assert len(stage.destination.landed) == 2


def _copy(database: Database, other: Database) -> None:
    """Row by row, so that it is the same on every database."""
    with database.engine.connect() as source, other.engine.begin() as target:
        for table in METADATA.sorted_tables:
            target.execute(table.delete())
            if rows := [dict(row) for row in source.execute(table.select()).mappings()]:
                target.execute(table.insert(), rows)
    other.store_id = database.store_id
