"""Each subscriber's pruner forgets what that subscriber keeps: a process its inbox, a connector its effects."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.delivery.ports import EffectState, Fresh
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.ids import MessageId
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.ports import Fence, TakenLease
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.subscriber import Delivery, Handled, Running
from integration_fabric.wiring.fabric import Fabric
from integration_fabric.wiring.memory import open_memory_fabric
from integration_fabric.wiring.settings import Settings

FIRST, AGAIN = Coordinates("topic", 0, 1), Coordinates("topic", 0, 7)
HANDLED = Handled(OutcomeKind.APPLIED)
MESSAGE = MessageId("m-1")


async def fence_of(fabric: Fabric, subscriber: str) -> Fence:
    await fabric.stores.leases.take(subscriber, [TakenLease(TopicPartition("topic", 0), "topic-1", 1)], "worker")
    return Fence(subscriber, "topic-1", 0, 1)


async def prune_once(fabric: Fabric, running: Running, fence: Fence) -> None:
    ending = asyncio.Event()

    def bases() -> dict[Fence, int]:
        ending.set()
        return {fence: 5}

    await fabric.pruner(running, bases).run(every=timedelta(milliseconds=1), ending=ending)


async def test_a_process_forgets_its_inbox_after_35_days() -> None:
    clock = FakeClock()
    async with open_memory_fabric(Settings(), clock=clock) as fabric:
        running = fabric.subscribers(["processes"])[0]
        fence = await fence_of(fabric, running.name)

        async def handle(place: Coordinates) -> OutcomeKind:
            return (await fabric.stores.instances.handle(fence, MESSAGE, place, process="p", decide=lambda _: HANDLED)).kind

        assert await handle(FIRST) is OutcomeKind.APPLIED
        await clock.advance(timedelta(days=34).total_seconds())
        await prune_once(fabric, running, fence)
        assert await handle(AGAIN) is OutcomeKind.DUPLICATE
        await clock.advance(timedelta(days=2).total_seconds())
        await prune_once(fabric, running, fence)
        assert await handle(AGAIN) is OutcomeKind.APPLIED


async def test_a_connector_forgets_its_effects_after_what_is_set() -> None:
    async def run(delivery: Delivery) -> Handled:
        raise NotImplementedError

    clock = FakeClock()
    async with open_memory_fabric(Settings(store={"remembered": timedelta(days=10)}), clock=clock) as fabric:  # type: ignore[arg-type]
        running = Running("tryton.create-order", (), Policy(), run)
        fence = await fence_of(fabric, running.name)
        minute = timedelta(minutes=1)
        await fabric.stores.effects.claim(fence, MESSAGE, FIRST, within=minute)
        await fabric.stores.effects.settle(fence, MESSAGE, FIRST, HANDLED, state=EffectState.DONE)
        await clock.advance(timedelta(days=11).total_seconds())
        await prune_once(fabric, running, fence)
        assert await fabric.stores.effects.claim(fence, MESSAGE, AGAIN, within=minute) == Fresh(0)
