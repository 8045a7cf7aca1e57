"""A worker ends in bounded time, whatever has become of the broker (R29)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from broker_kit import KafkaKit, joined, unique
from site_of_workers import Job, Site

from integration_fabric.local import kafka, state
from integration_fabric.local.errors import LocalError
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.records import TopicPartition

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[2]
DEADLINE_S = 25.0
"""A second for what runs, one for its commit, eight for the consumer to leave, five for the producer, and a busy machine."""


async def test_r29_what_runs_is_finished_and_committed_and_what_is_queued_is_left(site: Site) -> None:
    """R29: draining finishes and commits what is in flight, and starts nothing."""
    begun: list[int] = []
    go_on = asyncio.Event()

    async def work(job: Job) -> None:
        begun.append(job.number)
        await go_on.wait()

    worker = site.start(work, policy=Policy(in_flight=4))
    await site.put(["a"], range(5), partition=0)
    await site.until(lambda: begun)
    worker.loop.drain()
    await site.until(lambda: worker.loop.state is LoopState.DRAINING)
    go_on.set()
    await worker.task
    assert begun == [0]
    found = (await site.committed())[site.partition(0)]
    assert found is not None
    assert found.offset == 1
    assert await site.made() == [("a", 0)]


async def test_r29_whoever_still_asks_a_consumer_that_leaves_is_answered(kafka_kit: KafkaKit) -> None:
    """R29: also beside somebody who has stopped waiting: no question keeps a task for ever."""
    topic = unique("topic")
    await kafka_kit.create_topic(topic)
    asked: list[asyncio.Task[object]] = []

    async def ask(_: Sequence[TopicPartition]) -> None:
        asked.extend(asyncio.create_task(member.consumer.positions()) for _ in range(2))
        await asyncio.sleep(0)
        asked[0].cancel()
        await asyncio.sleep(0)

    async with joined(kafka_kit, unique("group"), topic, revoked=ask) as member:
        await member.owns(TopicPartition(topic, 0))
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await asked[1]
    assert asked[0].cancelled()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A broker that may be killed: its address and its process."""
    settings = LocalSettings(state_dir=tmp_path)
    try:
        address = kafka.up(settings, lambda _: None)
    except LocalError as error:
        pytest.skip(f"no Kafka can be started here: {error}")
    process = state.read(tmp_path).services[kafka.NAME].process
    if process is None:
        pytest.skip("the broker is no process here")
    yield address.bootstrap, process.pid
    os.kill(process.pid, signal.SIGKILL)
    kafka.down(settings, lambda _: None)


@pytest.mark.kafka
@pytest.mark.timeout(300)  # a broker is started for it
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "hanging"])
def test_r29_a_process_ends_though_its_broker_is_gone(mortal: tuple[str, int], tmp_path: Path, sent: signal.Signals) -> None:
    """R29: leaving, aborting and flushing have bounds, and no thread keeps a process from ending; by all protocols, side by side."""
    bootstrap, broker = mortal
    paths = os.pathsep.join(map(str, (HERE, HERE.parent, CHECKOUT)))
    command = [sys.executable, "-X", "faulthandler", str(HERE / "dying_workers.py"), bootstrap, f"sqlite:///{tmp_path}/store.db"]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": paths}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line == "ready\n" for line in lines), process.stderr and process.stderr.read()
        os.kill(broker, sent)
        began_s = time.monotonic()
        out, err = process.communicate("drain\n", timeout=DEADLINE_S)
        assert time.monotonic() - began_s < DEADLINE_S
        assert (process.returncode, "drained" in out) == (0, True), err
    finally:
        process.kill()
        process.communicate()
