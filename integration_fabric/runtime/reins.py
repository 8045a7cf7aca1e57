"""All that keeps a subscriber from taking messages or starting them, in one place: memory, tight maps, dead letters, orders."""

from __future__ import annotations

from collections.abc import Mapping

from integration_fabric.runtime.lanes import Lanes
from integration_fabric.runtime.ports import Consumer
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.steering import Steering
from integration_fabric.runtime.workers import Workers


class Reins:
    """Of one subscriber. Whoever changes a reason calls `apply`."""

    def __init__(self, *, consumer: Consumer, lanes: Lanes, workers: Workers) -> None:
        self._consumer, self._lanes, self._workers = consumer, lanes, workers
        self.full = False
        """Whether as much is held in memory as may be."""
        self.still = False
        """Whether it stands still at a dead letter, or after too many."""
        self.ending = False
        """Whether its worker ends."""
        self.tight: Mapping[TopicPartition, int] = {}
        """Partitions whose offset map is nearly full, and up to where they still start what they have."""
        self.steering = Steering()
        self._held = False
        self._held_back: frozenset[TopicPartition] = frozenset()
        self._applied: tuple[object, ...] = ({}, frozenset(), False)

    @property
    def starts_nothing(self) -> bool:
        """Whether nothing is started at all."""
        return self.still or self.steering.is_paused

    @property
    def held(self) -> bool:
        """Whether nothing is taken for now."""
        return self._held

    @property
    def held_back(self) -> frozenset[TopicPartition]:
        """Partitions of which nothing is taken for now."""
        return self._held_back

    def keeps(self, partition: TopicPartition) -> bool:
        """Whether nothing more of a partition is to be read for now."""
        return self._held or partition in self._held_back or self.starts_nothing

    def apply(self) -> None:
        """Have consumer and lanes do what all reasons together ask for."""
        held = self.full or self.still or self.ending or self.steering.stands
        if held != self._held:
            self._held = held
            (self._consumer.hold if held else self._consumer.release)()
        back = frozenset(self.tight.keys() | self.steering.partitions)
        if back != self._held_back:
            self._held_back = back
            self._consumer.hold_back(back)
        limits = {**self.tight, **dict.fromkeys(self.steering.partitions, 0)}
        wanted = (limits, self.steering.keys, self.starts_nothing)
        if wanted != self._applied:
            self._applied = wanted
            self._lanes.restrain(limits=limits, keys=self.steering.keys, halted=self.starts_nothing)
            self._workers.wake(1)
