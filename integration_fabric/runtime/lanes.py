"""Key-ordered queues: one record of a (topic, partition, key) at a time, lanes side by side. Pure; the subscriber loop calls it."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from integration_fabric.runtime.records import Record, TopicPartition
from integration_fabric.runtime.redelivery import Redelivery


@dataclass(slots=True, eq=False)
class Taken:
    """A record in its lane, with the local epoch under which it was taken."""

    record: Record
    epoch: int
    redelivery: Redelivery | None = None
    """By which it comes once more; None for the live ones."""


@dataclass(slots=True, eq=False)
class Lane:
    """The queue of one key. Its head is what runs."""

    name: Hashable
    partition: TopicPartition
    queue: deque[Taken] = field(default_factory=deque)
    again: deque[Taken] = field(default_factory=deque)
    """What is redelivered: its turn comes when nothing live is queued."""
    running: Taken | None = None


def lane_name(record: Record) -> Hashable:
    """The lane of a record: records without a key have no order among each other, so each is a lane of its own."""
    if record.key is None:
        return (record.topic, record.partition, None, record.offset)
    return (record.topic, record.partition, record.key)


class Lanes:
    """All lanes of one subscriber in one worker. What is live starts before what is redelivered, of which only so many run at once."""

    def __init__(self, *, again_at_once: int = 1) -> None:
        """Empty ones; `again_at_once` is how many redelivered messages run at once at the most."""
        self._lanes: dict[Hashable, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._again_ready: deque[Lane] = deque()
        self._again_at_once, self._again_running = again_at_once, 0
        self.again_bytes = 0
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
        if taken.redelivery is not None:
            lane.again.append(taken)
            self.again_bytes += record.size_bytes
            self._make_ready(lane)
            return
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
        return self._start_again() if self._again_ready else None

    def _start_again(self) -> Lane | None:
        while self._again_ready and self._again_running < self._again_at_once:
            lane = self._again_ready.popleft()
            if lane.again and not lane.queue and lane.running is None:
                lane.running = lane.again.popleft()
                self.again_bytes -= lane.running.record.size_bytes
                self._again_running += 1
                self.running += 1
                return lane
        return None

    def finish(self, lane: Lane) -> None:
        """What ran has ended, well or not."""
        if lane.running is not None and lane.running.redelivery is not None:
            self._again_running -= 1
        lane.running = None
        self.running -= 1
        if lane.queue or lane.again:
            self._make_ready(lane)
        else:
            del self._lanes[lane.name]

    def _make_ready(self, lane: Lane) -> None:
        if lane.running is None and self._may_start(lane):
            (self._ready if lane.queue else self._again_ready).append(lane)

    def put_back(self, lane: Lane) -> None:
        """What runs, and was redelivered, is to run again once nothing live is queued; before `finish`."""
        assert lane.running is not None
        lane.again.appendleft(lane.running)
        self.again_bytes += lane.running.record.size_bytes

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget what is queued of these partitions. What runs goes on; its result is the caller's to refuse, by its epoch."""
        gone = set(partitions)
        for lane in list(self._lanes.values()):
            if lane.partition not in gone:
                continue
            self.queued -= len(lane.queue)
            self.queued_bytes -= sum(taken.record.size_bytes for taken in lane.queue)
            self.again_bytes -= sum(taken.record.size_bytes for taken in lane.again)
            lane.queue.clear()
            lane.again.clear()
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
        waiting = [lane for lane in self._lanes.values() if lane.running is None and (lane.queue or lane.again) and self._may_start(lane)]
        self._ready = deque(sorted((lane for lane in waiting if lane.queue), key=lambda lane: lane.queue[0].record.offset))
        self._again_ready = deque(lane for lane in waiting if not lane.queue)

    def _may_start(self, lane: Lane) -> bool:
        head = (lane.queue or lane.again)[0]
        if self._halted or (self._keys and head.record.key in self._keys):
            return False
        if not self._limits:
            return True
        limit = self._limits.get(lane.partition)
        return limit is None or (head.redelivery is None and head.record.offset < limit)

    @property
    def ready(self) -> int:
        """How many lanes could start now."""
        if not self._again_ready:
            return len(self._ready)
        return len(self._ready) + min(len(self._again_ready), max(0, self._again_at_once - self._again_running))
