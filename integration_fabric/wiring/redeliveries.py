"""Redeliveries for tools: what is asked for goes into the store, and the owners of the partitions carry it out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from integration_fabric.backends.kafka.inquiry import KafkaInquiry
from integration_fabric.backends.sql.redeliveries import SqlRedeliveries
from integration_fabric.messages.errors import UsageProblem
from integration_fabric.runtime.ports import Redeliveries
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.redelivery import Redelivery, RedeliveryProgress, RedeliveryState, Stretch
from integration_fabric.wiring.fabric import open_database
from integration_fabric.wiring.kafka import client_config
from integration_fabric.wiring.operations import declared
from integration_fabric.wiring.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """Which of the retained messages of a subscriber."""

    since: datetime | None
    """None from the first that is there."""
    until: datetime | None
    """None up to the last that is there now."""
    key: bytes | None


def stretches(settings: Settings, subscriber: str, window: Window) -> Sequence[Stretch]:
    """What a redelivery would cover: partitions in which nothing of the window stands are left out.

    Raises:
        UsageProblem: there is no such subscriber, or it is a process.
        Unreachable: the broker does not answer.
    """
    found = declared(settings, subscriber)
    if found.system is None:
        raise UsageProblem(
            f"{subscriber} is a process: its state is the messages that it has received, so it takes none of them again; "
            "`fabric process list` shows its instances"
        )
    inquiry = KafkaInquiry(client_config(settings))
    known = inquiry.partitions(found.topics)
    ids = inquiry.topic_ids(found.topics)
    partitions = [TopicPartition(topic, number) for topic in found.topics for number in known.get(topic, ())]
    first = inquiry.offsets_at(partitions, window.since)
    end = inquiry.ends(partitions) if window.until is None else inquiry.offsets_at(partitions, window.until)
    return [Stretch(p, ids[p.topic], first[p], end[p], first[p]) for p in partitions if first[p] < end[p]]


def file(settings: Settings, redelivery: Redelivery, wanted: Sequence[Stretch]) -> int:
    """Ask for it; its number. Raises UsageProblem."""
    return _asked(settings, lambda redeliveries: redeliveries.file(redelivery, wanted))


def look(settings: Settings, number: int | None = None) -> Sequence[RedeliveryProgress]:
    """How far they are, or this one is. Raises UsageProblem where there is none such."""
    found = _asked(settings, lambda redeliveries: redeliveries.look(number))
    if number is not None and not found:
        raise UsageProblem(f"there is no redelivery {number}; `fabric replay list` names them all")
    return found


def order(settings: Settings, number: int, state: RedeliveryState) -> None:
    """Have one go on, wait or end. Raises UsageProblem where there is none such, or it is over."""
    (found,) = look(settings, number)
    if not _asked(settings, lambda redeliveries: redeliveries.order(number, state)):
        raise UsageProblem(f"redelivery {number} is {found.state}, so it cannot be changed any more")


def _asked(settings: Settings, ask: Callable[[Redeliveries], Awaitable[T]]) -> T:
    async def run() -> T:
        async with AsyncExitStack() as stack:
            return await ask(SqlRedeliveries(await open_database(settings, stack)))

    return asyncio.run(run())
