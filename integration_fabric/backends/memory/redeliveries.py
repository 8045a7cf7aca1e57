"""What subscribers are to be given once more, in memory; and topics of the memory broker, read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.runtime.ports import Fence, Redeliveries, Retained
from integration_fabric.runtime.records import Record, TopicPartition
from integration_fabric.runtime.redelivery import FAILED, FailedAgain, Redelivered, Redelivery, RedeliveryProgress, RedeliveryState, Stretch

Place = tuple[int, str, int]
"""Number, topic id, partition."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch, and what became of the messages below its position."""

    stretch: Stretch
    counts: Counter[str] = field(default_factory=Counter)


class MemoryRedeliveries(Redeliveries):
    """Implements `runtime.ports.Redeliveries`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._asked: dict[int, Redelivery] = {}
        self._parts: dict[Place, _Part] = {}
        self._results: dict[tuple[Place, int], tuple[int, str, Redelivered]] = {}
        """By offset: serial, subscriber, result."""

    async def file(self, redelivery: Redelivery, stretches: Sequence[Stretch]) -> int:
        """Write it down, with the next number."""

        def work() -> int:
            number = max(self._asked, default=0) + 1
            asked = replace(redelivery, number=number, state=RedeliveryState.RUNNING, filed_at=self._store.clock.now())
            self._store.put(self._asked, number, asked)
            for stretch in stretches:
                self._store.put(self._parts, (number, stretch.topic_id, stretch.partition.partition), _Part(stretch))
            return number

        return await self._store.run(work)

    async def order(self, number: int, state: RedeliveryState) -> bool:
        """Change its state."""

        def work() -> bool:
            found = self._asked.get(number)
            if found is None or found.state is RedeliveryState.CANCELLED or not self._is_open(number):
                return False
            self._store.put(self._asked, number, replace(found, state=state))
            return True

        return await self._store.run(work)

    async def look(self, number: int | None = None) -> Sequence[RedeliveryProgress]:
        """Read all of them, or one."""
        wanted = sorted((known for known in self._asked if number in {None, known}), reverse=True)
        return await self._store.run(lambda: [self._progress(known) for known in wanted])

    async def open(self) -> Sequence[Redelivery]:
        """Those that go on."""

        def work() -> list[Redelivery]:
            running = [asked for _, asked in sorted(self._asked.items()) if asked.state is RedeliveryState.RUNNING]
            return [asked for asked in running if self._is_open(asked.number)]

        return await self._store.run(work)

    async def stretch(self, fence: Fence, number: int) -> tuple[Stretch, frozenset[int]] | None:
        """What it covers of a partition."""

        def work() -> tuple[Stretch, frozenset[int]] | None:
            place = (number, fence.topic_id, fence.partition)
            part = self._parts.get(place)
            if part is None:
                return None
            beyond = [offset for found, offset in self._results if found == place and offset >= part.stretch.position]
            return part.stretch, frozenset(beyond)

        return await self._store.run(work)

    async def unconfirmed(self, above: Mapping[Fence, int]) -> Sequence[tuple[Fence, int, Redelivered]]:
        """Read what their stretches are not past."""

        def work() -> list[tuple[Fence, int, Redelivered]]:
            fences = {(fence.subscriber, fence.topic_id, fence.partition): fence for fence in above}
            found = [
                (fences[subscriber, *place[1:]], serial, result)
                for (place, offset), (serial, subscriber, result) in self._results.items()
                if (subscriber, *place[1:]) in fences and offset >= self._parts[place].stretch.position
            ]
            return sorted((item for item in found if item[1] > above[item[0]]), key=lambda item: (item[1], item[2].offset))

        return await self._store.run(work)

    async def write(self, fence: Fence, result: Redelivered) -> int:
        """Write it."""

        def work() -> int:
            self._store.hold_fence(fence)
            key = ((result.number, fence.topic_id, fence.partition), result.offset)
            if key not in self._results:
                serial = self._store.leases[fence.subscriber, fence.topic_id, fence.partition].serial
                self._store.put(self._results, key, (serial, fence.subscriber, result))
            return self._results[key][0]

        return await self._store.run(work)

    async def advance(self, fence: Fence, number: int, position: int) -> None:
        """Count what is below, and forget it."""

        def work() -> None:
            self._store.hold_fence(fence)
            place = (number, fence.topic_id, fence.partition)
            part = self._parts.get(place)
            if part is None or position <= part.stretch.position:
                return
            passed = [
                (key, result)
                for key, (_, _, result) in self._results.items()
                if key[0] == place and key[1] < position and result.outcome != FAILED
            ]
            counts = part.counts + Counter(result.outcome for _, result in passed)
            self._store.put(self._parts, place, _Part(replace(part.stretch, position=position), counts))
            for key, _ in passed:
                self._store.drop(self._results, key)

        await self._store.run(work)

    def _is_open(self, number: int) -> bool:
        return any(place[0] == number and not part.stretch.is_over for place, part in self._parts.items())

    def _progress(self, number: int) -> RedeliveryProgress:
        parts = [part for place, part in sorted(self._parts.items()) if place[0] == number]
        kept = [result for (place, _), (_, _, result) in sorted(self._results.items()) if place[0] == number]
        counts = sum((part.counts for part in parts), Counter(result.outcome for result in kept))
        failures = [FailedAgain(result.partition, result.offset, result.detail) for result in kept if result.outcome == FAILED]
        return RedeliveryProgress(self._asked[number], [part.stretch for part in parts], counts, failures)


class MemoryRetained(Retained):
    """Implements `runtime.ports.Retained`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def read(self, partition: TopicPartition, position: int, end: int, limit: int) -> tuple[Sequence[Record], int]:
        """Read on."""
        records, onward = self._broker.take(partition, max(position, self._broker.low(partition)), limit)
        wanted = [record for record in records if record.offset < end]
        is_over = len(wanted) < len(records) or onward >= end
        return wanted, end if is_over else onward

    async def close(self) -> None:
        """Nothing is held."""
