"""Lanes against a model: what a machine of arbitrary arrivals, starts, ends and losses of partitions may never break."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import integers, sampled_from

from integration_fabric.runtime.lanes import Lane, Lanes, Taken, lane_name
from integration_fabric.runtime.records import Record, TopicPartition
from integration_fabric.runtime.redelivery import Redelivery

REDELIVERY = Redelivery(1, "copier", force=False, key=None, by="ola", why="why")
AGAIN_AT_ONCE = 2
PARTITIONS = (TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0))
KEYS = (b"x", b"y", None)


def record(partition: TopicPartition, offset: int, key: bytes | None) -> Record:
    return Record(partition.topic, partition.partition, offset, key, b"v" * (offset % 7) or None, None, 0)


class LanesMachine(RuleBasedStateMachine):
    """Keeps beside `Lanes` what should be queued, and looks at what is handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes(again_at_once=AGAIN_AT_ONCE)
        self.epoch = 0
        self.offsets = dict.fromkeys(PARTITIONS, 0)
        self.queued: dict[object, list[Taken]] = defaultdict(list)
        self.again: dict[object, list[Taken]] = defaultdict(list)
        self.running: list[Lane] = []

    @rule(partition=sampled_from(PARTITIONS), key=sampled_from(KEYS))
    def arrive(self, partition: TopicPartition, key: bytes | None) -> None:
        taken = Taken(record(partition, self.offsets[partition], key), self.epoch)
        self.offsets[partition] += 1
        self.lanes.put(taken)
        self.queued[lane_name(taken.record)].append(taken)

    @rule(partition=sampled_from(PARTITIONS), key=sampled_from(KEYS), offset=integers(0, 3))
    def come_again(self, partition: TopicPartition, key: bytes | None, offset: int) -> None:
        taken = Taken(record(partition, offset, key), self.epoch, REDELIVERY)
        self.lanes.put(taken)
        self.again[lane_name(taken.record)].append(taken)

    def free(self, queued: dict[object, list[Taken]]) -> set[object]:
        return {name for name, queue in queued.items() if queue} - {lane.name for lane in self.running}

    def may_again(self) -> set[object]:
        running = sum(lane.running is not None and lane.running.redelivery is not None for lane in self.running)
        return self.free(self.again) if running < AGAIN_AT_ONCE else set()

    @rule()
    def start(self) -> None:
        free = self.free(self.queued)
        lane = self.lanes.start()
        if lane is None:
            assert not free | self.may_again(), f"these could run: {free | self.may_again()}"
            return
        assert lane.running is not None
        if free:
            assert lane.running.redelivery is None, "something live was ready"
            assert lane.name in free, "a second one of its lane, or one that was forgotten"
        else:
            assert lane.name in self.may_again(), "too many that are redelivered"
        queue = (self.queued if lane.running.redelivery is None else self.again)[lane.name]
        assert lane.running is queue.pop(0), "not the oldest of its lane"
        self.running.append(lane)

    @precondition(lambda self: any(lane.running.redelivery for lane in self.running))
    @rule()
    def make_way(self) -> None:
        """What is redelivered and waits lets others go first; its turn comes again."""
        lane = next(lane for lane in self.running if lane.running is not None and lane.running.redelivery)
        assert lane.running is not None
        if lane.running.epoch == self.epoch:
            self.lanes.put_back(lane)
            self.again[lane.name].insert(0, lane.running)
        self.running.remove(lane)
        self.lanes.finish(lane)

    @precondition(lambda self: self.running)
    @rule(place=integers(0, 20))
    def finish(self, place: int) -> None:
        self.lanes.finish(self.running.pop(place % len(self.running)))

    @rule(partition=sampled_from(PARTITIONS))
    def lose(self, partition: TopicPartition) -> None:
        """What is queued goes; what runs goes on, and a new epoch begins."""
        self.lanes.drop([partition])
        self.epoch += 1
        for queue in (*self.queued.values(), *self.again.values()):
            queue[:] = [taken for taken in queue if (taken.record.topic, taken.record.partition) != partition]

    @invariant()
    def counts_are_right(self) -> None:
        assert self.lanes.queued == sum(len(queue) for queue in self.queued.values())
        assert self.lanes.queued_bytes == sum(taken.record.size_bytes for queue in self.queued.values() for taken in queue)
        assert self.lanes.again_bytes == sum(taken.record.size_bytes for queue in self.again.values() for taken in queue)
        assert self.lanes.running == len(self.running)
        assert (self.lanes.ready > 0) or not self.free(self.queued) | self.may_again()


LanesMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLanes = LanesMachine.TestCase


def test_r04_records_without_a_key_are_lanes_of_their_own() -> None:
    """R04: without a key there is no order to keep."""
    first, second = record(PARTITIONS[0], 0, None), record(PARTITIONS[0], 1, None)
    assert lane_name(first) != lane_name(second)


def test_r04_equal_keys_of_other_topics_or_partitions_are_other_lanes() -> None:
    """R04: a lane is named by topic, partition and key."""
    names = {lane_name(record(partition, 0, b"x")) for partition in PARTITIONS}
    assert len(names) == len(PARTITIONS)


def test_r04_keys_are_equal_by_their_bytes() -> None:
    """R04: two records of one key have one lane, though their keys are two objects; an empty key is a key."""
    first, second = record(PARTITIONS[0], 0, b"key"), record(PARTITIONS[0], 1, b"".join([b"k", b"ey"]))
    assert first.key is not second.key
    assert lane_name(first) == lane_name(second)
    assert lane_name(record(PARTITIONS[0], 0, b"")) == lane_name(record(PARTITIONS[0], 1, b""))


def test_r05_a_flight_of_an_older_epoch_is_waited_for() -> None:
    """R05: revoked and regained while the handler of a key runs: the new delivery of that key waits for it."""
    lanes = Lanes()
    lanes.put(Taken(record(PARTITIONS[0], 0, b"x"), 1))
    flight = lanes.start()
    assert flight is not None

    lanes.drop([PARTITIONS[0]])
    lanes.put(again := Taken(record(PARTITIONS[0], 0, b"x"), 2))
    assert lanes.start() is None

    lanes.finish(flight)
    resumed = lanes.start()
    assert resumed is not None
    assert resumed.running is again


def test_lanes_leave_nothing_behind() -> None:
    """A thousand keys come and go: what is kept does not grow with them."""
    lanes = Lanes()
    for number in range(1000):
        lanes.put(Taken(record(PARTITIONS[0], number, b"%d" % number), 1))
        lane = lanes.start()
        assert lane is not None
        lanes.finish(lane)
    assert not lanes._lanes
    assert lanes.ready == 0
