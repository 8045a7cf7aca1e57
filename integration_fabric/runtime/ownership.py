"""One partition that this worker owns, from its assignment to its loss. The subscriber loop alone changes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from integration_fabric.runtime.activity import Settled
from integration_fabric.runtime.ending import sleep_unless
from integration_fabric.runtime.executor import Abandoned
from integration_fabric.runtime.offsets import Progress
from integration_fabric.runtime.ports import Clock, Fence, Stop
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.redelivery import Unconfirmed


@dataclass(slots=True, eq=False)
class Owned:
    """What is known of a partition in one local epoch."""

    partition: TopicPartition
    local_epoch: int
    """The consumer's; a new one with each assignment."""
    clock: Clock
    fence: Fence | None = None
    """None until the takeover is through: nothing is handled before."""
    progress: Progress[Settled] = field(default_factory=lambda: Progress(0))
    committed: int = 0
    """The base that Kafka has: nothing below it comes again."""
    serial: int = 0
    """The highest that is known of SQL's transactions for it."""
    running: int = 0
    stop: Stop | None = None
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is to be handed over."""
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is to be handed over and nothing of it runs."""
    unconfirmed: Unconfirmed = field(default_factory=Unconfirmed)
    """What became of redelivered messages, and Kafka does not have yet."""
    redelivering: dict[int, set[int]] = field(default_factory=dict)
    """By redelivery: the offsets that are read again and whose outcome is not committed."""

    def enter(self) -> None:
        """A message of it begins."""
        self.running += 1

    def end(self) -> None:
        """A message of it has ended."""
        self.running -= 1
        if self.running == 0 and self.leaving.is_set():
            self.quiet.set()

    def leave(self) -> None:
        """It is to be handed over: nothing of it begins any more, and what waits in its lanes gives up."""
        self.leaving.set()
        if self.running == 0:
            self.quiet.set()

    async def pause(self, seconds: float) -> None:
        """Wait in a lane; raises Abandoned as soon as the partition is to be handed over."""
        if self.leaving.is_set():
            raise Abandoned
        await sleep_unless(self.leaving, self.clock, seconds)
        if self.leaving.is_set():
            raise Abandoned
