"""Key-ordered queues: one record of a (topic, partition, key) at a time, lanes side by side. Pure; the subscriber loop calls it."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from integration_fabric.runtime.records import Record, TopicPartition


@dataclass(slots=True, eq=False)
class Taken:
    """A record in its lane, with the local epoch under which it was taken."""

    record: Record
    epoch: int


@dataclass(slots=True, eq=False)
class Lane:
    """The queue of one key. Its head is what runs."""

    name: Hashable
    partition: TopicPartition
    queue: deque[Taken] = field(default_factory=deque)
    running: Taken | None = None


def lane_name(record: Record) -> Hashable:
    """The lane of a record: records without a key have no order among each other, so each is a lane of its own."""
    if record.key is None:
        return (record.topic, record.partition, None, record.offset)
    return (record.topic, record.partition, record.key)


class Lanes:
    """All lanes of one subscriber in one worker."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._limits: Mapping[TopicPartition, int] = {}
        self._keys: frozenset[bytes] = frozenset()
        self._halted = False
        self.queued = self.queued_bytes = 0
        self.running = 0

    def put(self, taken: Taken) -> None:
        """Append a record to its lane. A flight of an older epoch that still runs in the lane is waited for."""
        record = taken.record
        name = lane_name(record)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, TopicPartition(record.topic, record.partition))
        lane.queue.append(taken)
        self.queued += 1
        self.queued_bytes += record.size_bytes
        if lane.running is None and len(lane.queue) == 1 and self._may_start(lane):
            self._ready.append(lane)

    def start(self) -> Lane | None:
        """The next lane with something to run (`lane.running`), oldest first; None where there is none."""
        while self._ready:
            lane = self._ready.popleft()
            if lane.queue and lane.running is None:
                lane.running = lane.queue.popleft()
                self.queued -= 1
                self.queued_bytes -= lane.running.record.size_bytes
                self.running += 1
                return lane
        return None

    def finish(self, lane: Lane) -> None:
        """What ran has ended, well or not."""
        lane.running = None
        self.running -= 1
        if not lane.queue:
            del self._lanes[lane.name]
        elif self._may_start(lane):
            self._ready.append(lane)

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget what is queued of these partitions. What runs goes on; its result is the caller's to refuse, by its epoch."""
        gone = set(partitions)
        for lane in list(self._lanes.values()):
            if lane.partition not in gone:
                continue
            self.queued -= len(lane.queue)
            self.queued_bytes -= sum(taken.record.size_bytes for taken in lane.queue)
            lane.queue.clear()
            if lane.running is None:
                del self._lanes[lane.name]

    def restrain(self, *, limits: Mapping[TopicPartition, int], keys: frozenset[bytes], halted: bool) -> None:
        """From now on, start only what is left.

        Args:
            limits: Of these partitions only what lies below such an offset.
            keys: Of these nothing.
            halted: Nothing at all.
        """
        self._limits, self._keys, self._halted = limits, keys, halted
        waiting = [lane for lane in self._lanes.values() if lane.queue and lane.running is None and self._may_start(lane)]
        self._ready = deque(sorted(waiting, key=lambda lane: lane.queue[0].record.offset))

    def _may_start(self, lane: Lane) -> bool:
        if self._halted or (self._keys and lane.queue[0].record.key in self._keys):
            return False
        if not self._limits:
            return True
        limit = self._limits.get(lane.partition)
        return limit is None or lane.queue[0].record.offset < limit

    @property
    def ready(self) -> int:
        """How many lanes could start now."""
        return len(self._ready)
