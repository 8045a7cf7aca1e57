"""A worker whose subscriber stalls is not ready, says which it is, and is ready again once it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from integration_fabric.apps import worker as worker_module
from integration_fabric.apps.worker import Worker
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.records import Outgoing
from integration_fabric.runtime.stall import StallWatch
from integration_fabric.wiring.memory import open_memory_fabric
from integration_fabric.wiring.settings import Settings

PATIENCE_S = 20.0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def stalled(name: str) -> float | None:
    return REGISTRY.get_sample_value("fabric_subscriber_stalled", {"subscriber": name})


async def test_r26_a_worker_is_unhealthy_while_a_subscriber_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """R26: log, metric, and not ready."""
    monkeypatch.setattr(worker_module, "STALL_LOOK_S", 0.02)
    async with open_memory_fabric(Settings(), clock=SystemClock()) as fabric:
        worker = Worker(name="w", fabric=fabric, parts=("processes",), started_at=fabric.clock.now())
        task = asyncio.create_task(worker.run("http://127.0.0.1:1"))
        await until(lambda: worker.hosted and worker.health()["ready"])
        hosted = worker.hosted[0]
        hosted.stall = StallWatch(after_s=0.2)
        assert hosted.loop is not None
        hosted.loop._reins.full = True
        hosted.loop._reins.apply()
        topic = hosted.running.reads[0].topic
        await fabric.publisher.put([Outgoing(topic, None, b"no message, but it comes to an end, too", ())])
        await until(lambda: not worker.health()["ready"])
        assert hosted.state == "stalled"
        assert stalled(hosted.running.name) == 1
        hosted.loop._reins.full = False
        hosted.loop._reins.apply()
        await until(lambda: worker.health()["ready"])
        assert stalled(hosted.running.name) == 0
        worker.ending.set()
        await task
