"""Shadows for tools: retained messages through the handlers of this process, while the workers go on (delivery/shadow.py)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from integration_fabric.backends.kafka.retained import KafkaRetained
from integration_fabric.delivery.shadow import Shadowed, Verdict
from integration_fabric.runtime.ports import Retained
from integration_fabric.runtime.redelivery import Stretch
from integration_fabric.wiring.fabric import Fabric, open_fabric
from integration_fabric.wiring.kafka import client_config
from integration_fabric.wiring.settings import Settings

TOGETHER = 50
"""Messages whose outcomes are looked up by one statement."""
LISTED = 1_000
"""Of what is not the same, so much is kept to be told; the rest is counted."""


@dataclass(slots=True)
class Report:
    """What a subscriber would make of the messages of some stretches."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    unlike: list[Shadowed] = field(default_factory=list)
    """Those that are not the same, in the order of their offsets, at most `LISTED`."""

    @property
    def is_same(self) -> bool:
        """Whether all of them are."""
        return not set(self.counts) - {Verdict.SAME}

    def add(self, found: Shadowed) -> None:
        """One more."""
        self.counts[found.verdict] += 1
        if found.verdict is not Verdict.SAME and len(self.unlike) < LISTED:
            self.unlike.append(found)


def run(
    settings: Settings, subscriber: str, wanted: Sequence[Stretch], *, key: bytes | None, told: Callable[[int, Report], None]
) -> Report:
    """Have one subscriber's handler go through retained messages, here, without writing anything.

    Args:
        settings: All of them.
        subscriber: Its name; one of a system.
        wanted: Which messages, by partition.
        key: Only those with this key.
        told: Called now and then, with the offsets that are behind, and with the report as it stands.

    Raises:
        UsageProblem: a setting is wrong, or schemas are missing.
        Unreachable: broker, registry or store do not answer.
        Unavailable: they do not answer any more.
    """

    async def through_it() -> Report:
        async with open_fabric(settings, parts=[subscriber]) as fabric, AsyncExitStack() as stack:
            retained = KafkaRetained(client_config(settings))
            stack.push_async_callback(retained.close)
            return await go_through(fabric, subscriber, retained, wanted, key=key, told=told)

    return asyncio.run(through_it())


async def go_through(
    fabric: Fabric,
    subscriber: str,
    retained: Retained,
    wanted: Sequence[Stretch],
    *,
    key: bytes | None = None,
    told: Callable[[int, Report], None] = lambda _, __: None,
) -> Report:
    """As `run`, on a fabric that is open."""
    shadow, report, behind, ending = fabric.shadow(subscriber), Report(), 0, asyncio.Event()
    await fabric.governors.look()
    governors = asyncio.create_task(fabric.governors.run(ending), name="governors")
    try:
        for stretch in wanted:
            position = stretch.first
            while position < stretch.end:
                records, onward = await retained.read(stretch.partition, position, stretch.end, TOGETHER)
                for found in await shadow.of([record for record in records if key is None or record.key == key]):
                    report.add(found)
                behind, position = behind + onward - position, onward
                told(behind, report)
    finally:
        ending.set()
        await governors
    return report
