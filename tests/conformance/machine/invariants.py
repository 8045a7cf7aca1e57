"""What the broker, the store and the destination show, looked at after each step: the invariants of protocol.md, as far as they apply."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from destination import Fate, may_end_so

from integration_fabric.delivery.dead_letters import topic_of, view
from integration_fabric.delivery.effects import MAX_ROUNDS
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.base import Message
from integration_fabric.messages.fabric import Activity, Transition
from integration_fabric.messages.master_data import AccountChanged
from integration_fabric.operations.conservation import Fold
from integration_fabric.runtime.offsets import CommitMetadata
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.policy import AtDeadLetter
from integration_fabric.runtime.ports import Commit
from integration_fabric.runtime.records import Record, TopicPartition
from integration_fabric.runtime.redelivery import FAILED

if TYPE_CHECKING:
    from real_stage import RealStage
    from stage import Stage

M = TypeVar("M", bound=Message)
Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A redelivery."""

    force: bool
    key: bytes | None
    ends: Mapping[int, int]
    """By partition."""


class Invariants:
    """Follows one run."""

    def __init__(self, stage: Stage | RealStage, group: str) -> None:
        self._stage, self._group = stage, group
        self.published: dict[Place, tuple[str, str]] = {}
        """Message and key of each record."""
        self.offences: list[str] = []
        self._read_to: Counter[str] = Counter()
        self._fold = Fold()
        self.first: dict[Place, Transition] = {}
        self._last_in_lane: dict[tuple[int, bytes | None], Transition] = {}
        self.applied: dict[str, list[Transition]] = defaultdict(list)
        self._owed: list[tuple[str, int]] = []
        """Outputs that transitions promise, in order."""
        self._emitted: list[tuple[str, int]] = []
        self._dead: Counter[Place] = Counter()
        self._buried: Counter[Place] = Counter()
        self._owners: dict[tuple[TopicPartition, int], tuple[str, int]] = {}
        self._highest: Counter[TopicPartition] = Counter()
        self._lease: Counter[int] = Counter()
        self._base: Counter[int] = Counter()
        self.skipped_below: Counter[int] = Counter()
        self._asked: dict[int, Asked] = {}
        self.again: dict[tuple[int, Place], Transition] = {}
        """What became of each message in each redelivery."""

    def offend(self, what: str) -> None:
        """Something is broken."""
        self.offences.append(what)

    def arrived(self, partition: int, offset: int, message: str, key: str) -> None:
        self.published[partition, offset] = (message, key)

    def recent_messages(self, since: int) -> Sequence[str]:
        """Those of the records from this one on."""
        return sorted({message for message, _ in list(self.published.values())[since:]})

    def asked(self, number: int, *, force: bool, key: bytes | None, ends: Mapping[int, int]) -> None:
        self._asked[number] = Asked(force, key, ends)

    def is_all_committed(self) -> bool:
        return len(self._looked().first) == len(self.published) and not self._left_again()

    def _left_again(self) -> list[tuple[int, Place]]:
        """What was to be redelivered and was not."""
        return [
            (number, place)
            for number, asked in self._asked.items()
            for place, (_, key) in self.published.items()
            if place[1] < asked.ends[place[0]] and asked.key in {None, key.encode()} and (number, place) not in self.again
        ]

    def _looked(self) -> Invariants:
        self._follow()
        return self

    # -- what goes to the broker

    def committing(self, transactional_id: str, commit: Commit) -> None:
        """Each epoch is one owner's, and none goes out below another (I1)."""
        for partition, (_, text) in commit.offsets.items():
            metadata = CommitMetadata.decode(text)
            assert metadata is not None
            owner = (transactional_id, commit.snapshot.epochs[partition])
            if self._owners.setdefault((partition, metadata.epoch), owner) != owner:
                self.offend(f"I1: {owner} commits in epoch {metadata.epoch} of {self._owners[partition, metadata.epoch]}")
            if metadata.epoch < self._highest[partition]:
                self.offend(f"I1: epoch {metadata.epoch} is committed after {self._highest[partition]}")
            self._highest[partition] = max(self._highest[partition], metadata.epoch)

    # -- after each step

    def check(self) -> None:
        """Raises AssertionError."""
        self._follow()
        for number, partition in enumerate(self._stage.partitions):
            self._check_partition(number, partition)
        if self._by_partition(self._owed) != self._by_partition(self._emitted):
            self.offend(f"I5: outputs are {self._emitted}, transitions promise {self._owed}")
        if self._dead != self._buried:
            self.offend(f"I2: dead letters {self._buried - self._dead or self._dead - self._buried} stand on one side only")
        self.judge()

    def _by_partition(self, outputs: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
        """In the order of each partition, where the transactions of several workers may be written into each other."""
        if not self._stage.interleaves:
            return outputs
        partitions = {message: partition for (partition, _), (message, _) in self.published.items()}
        return sorted(outputs, key=lambda output: partitions.get(output[0], -1))

    def judge(self) -> None:
        """Raises AssertionError where something is broken, and tells what happened before."""
        if self.offences:
            raise AssertionError("\n".join([*self.offences, "", *self._stage.destination.trace[-60:]]))

    def _check_partition(self, number: int, partition: TopicPartition) -> None:
        stage = self._stage
        position = stage.broker.position(self._group, partition)
        epoch = position.metadata.epoch if position.metadata else 0
        raised = stage.lease_epoch(partition)
        if raised > epoch:
            self.offend(f"I1: SQL's epoch {raised} is above Kafka's {epoch}")
        if raised < self._lease[number]:
            self.offend(f"I1: the lease went down from {self._lease[number]} to {raised}")
        if position.offset < self._base[number]:
            self.offend(f"I2: the committed offset went down from {self._base[number]} to {position.offset}")
        self._lease[number], self._base[number] = raised, position.offset
        done = position.done
        for (of_partition, offset), (message, _) in self.published.items():
            if of_partition == number and (offset in done) != ((number, offset) in self.first):
                self.offend(f"I2: {message} at {number}/{offset} is {'' if offset in done else 'not '}complete, the activity log differs")

    # -- at rest

    def check_rest(self) -> None:
        """As `check`, once nothing is left to do. Raises AssertionError."""
        self.check()
        stage = self._stage
        stands = any(worker.loop.stop for worker in stage.alive)
        missing = sorted(self.published.keys() - self.first.keys())
        if missing and not stands:
            self.offend(f"at rest, nothing became of {missing}")
        if (left := self._left_again()) and not stands:
            self.offend(f"H: at rest, nothing became of {left}, which was to be redelivered")
        for landing in stage.destination.landed:
            self._check_landing(landing.message, stands=stands)
        self._check_stops()
        self._check_balance()
        self.judge()

    def _check_landing(self, message: str, *, stands: bool) -> None:
        ends = [self.first[place] for place, (known, _) in self.published.items() if known == message and place in self.first]
        again = [end for (number, _), end in self.again.items() if message in {end.message_id, f"{end.message_id}#{number}"}]
        accounted = any(end.outcome in {OutcomeKind.APPLIED, OutcomeKind.DEAD_LETTERED, FAILED} for end in (*ends, *again))
        passed_over = self._stage.world.strategy is Strategy.UNSAFE and any(end.outcome == OutcomeKind.DISCARDED for end in ends)
        if not accounted and not stands and not passed_over:
            self.offend(f"G2: the effect of {message} came about, and it ended as {[end.outcome for end in ends]}")

    def _check_stops(self) -> None:
        dead = {place for place, end in self.first.items() if end.outcome == OutcomeKind.DEAD_LETTERED}
        # a map without room holds dead letters back while the subscriber stands still; their rows are void with the next takeover
        owned = [item for worker in self._stage.alive for item in worker.loop._owned.values()]
        held = {(item.partition.partition, offset) for item in owned for offset in item.progress._done}
        for place in {(stop.partition.partition, stop.offset) for stop in self._stage.stops()} - dead - held:
            self.offend(f"I3: SQL stops at {place}, which is no dead letter")

    def _check_balance(self) -> None:
        stage = self._stage
        offsets = {partition: [o for p, o in self.published if p == number] for number, partition in enumerate(stage.partitions)}
        committed = {partition: stage.broker.position(self._group, partition).done for partition in stage.partitions}
        balance = self._fold.balance(subscriber=self._group, topic=stage.partitions[0].topic, offsets=offsets, committed=committed)
        if not balance.balanced or balance.in_flight != len(self.published) - len(self.first):
            self.offend(f"G3: {balance}")

    # -- following the topics

    def _follow(self) -> None:
        for activity in self._new(Activity):
            self._fold.add(activity)
            for transition in activity.transitions:
                if transition.redelivery is None:
                    self._follow_transition(transition)
                else:
                    self._follow_again(transition, transition.redelivery)
        for copy in self._new(AccountChanged):
            self._emitted.append((copy.name, copy.aggregate_version))
        for record in self._records(topic_of(self._group)):
            position = view(record).position
            self._buried[position.partition, position.offset] += 1

    def _follow_transition(self, found: Transition) -> None:
        place = (found.partition, found.offset)
        self._stage.destination.trace.append(f"{self._stage.now_s:.3f} {found.message_id} at {place} is {found.outcome} {found.code}")
        if place in self.first:
            self.offend(f"I2: {place} is {found.outcome} after it was {self.first[place].outcome}")
        if place not in self.published:
            self.offend(f"I2: {place} was never published, and is {found.outcome}")
        if found.from_state:
            self.offend(f"I9: {place} comes from {found.from_state}")
        self._follow_lane(found)
        self.first[place] = found
        kinds: dict[str, Callable[[Transition], None]] = {
            OutcomeKind.APPLIED: self._follow_applied,
            OutcomeKind.DUPLICATE: self._follow_duplicate,
            OutcomeKind.DEAD_LETTERED: self._follow_dead,
            OutcomeKind.DISCARDED: self._follow_discarded,
        }
        kinds.get(found.outcome, lambda end: self.offend(f"I9: {end.outcome}"))(found)

    def _follow_again(self, found: Transition, number: int) -> None:
        place, message = (found.partition, found.offset), found.message_id
        self._stage.destination.trace.append(f"{self._stage.now_s:.3f} {message} at {place} is {found.outcome} again, by {number}")
        if (number, place) in self.again:
            self.offend(f"H: {message} at {place} is {found.outcome} after {number} has made it {self.again[number, place].outcome}")
        self.again[number, place] = found
        asked = self._asked[number]
        if place not in self.first or place[1] >= asked.ends[place[0]] or asked.key not in {None, found.key}:
            self.offend(f"H: {message} at {place} is not for {number} to redeliver")
        if found.outcome == OutcomeKind.APPLIED:
            self._follow_applied_again(found, f"{message}#{number}" if asked.force else message)
        elif found.outcome == FAILED:
            fated = self._stage.destination.fated[f"{message}#{number}" if asked.force else message]
            is_unsafe = self._stage.world.strategy is Strategy.UNSAFE
            may_be = may_end_so(fated, found.code or "", max_attempts=3, max_rounds=0 if is_unsafe or asked.force else MAX_ROUNDS)
            if not may_be:
                self.offend(f"H: {message} fails again for {found.code}, after {dict(fated)}")
        elif found.outcome != OutcomeKind.DUPLICATE:
            self.offend(f"H: {message} is {found.outcome} again")

    def _follow_applied_again(self, found: Transition, effect: str) -> None:
        self._owed.append((found.message_id, found.offset))
        if effect == found.message_id:
            if self.applied[effect] or self._stage.world.strategy is None:
                self.offend(f"H: {effect} is applied again, and nobody forced it")
            self.applied[effect].append(found)
        landings = sum(landing.message == effect for landing in self._stage.destination.landed)
        if self._stage.world.strategy is None or found.detail == "refused":
            return
        if not landings or (landings > 1 and self._stage.world.strategy is not Strategy.UPSERT):
            self.offend(f"H: {effect} is applied again, and came about {landings} times")

    def _follow_lane(self, found: Transition) -> None:
        lane = (found.partition, found.key)
        last = self._last_in_lane.get(lane)
        self._last_in_lane[lane] = found
        if last is None:
            return
        if last.offset > found.offset:
            self.offend(f"I5: {found.partition}/{found.offset} became {found.outcome} after {last.offset} of its lane")
        if last.outcome == OutcomeKind.DEAD_LETTERED and self._stage.world.at_dead_letter is AtDeadLetter.STOP:
            self.offend(f"G1: {found.partition}/{found.offset} is {found.outcome} behind a dead letter of its key")

    def _follow_applied(self, found: Transition) -> None:
        message, destination = found.message_id, self._stage.destination
        self.applied[message].append(found)
        self._owed.append((message, found.offset))
        strategy = self._stage.world.strategy
        if strategy is None:
            return
        if len(self.applied[message]) > 1:
            self.offend(f"I5: {message} was applied at {[(end.partition, end.offset) for end in self.applied[message]]}")
        landings = sum(landing.message == message for landing in destination.landed)
        if found.detail == "refused":
            if not destination.fated[message][Fate.REFUSED]:
                self.offend(f"G2: {message} is refused, and nobody has refused it")
        elif not landings or (landings > 1 and strategy is not Strategy.UPSERT):
            self.offend(f"G2: {message} is applied, and came about {landings} times")

    def _follow_duplicate(self, found: Transition) -> None:
        others = [place for place, (message, _) in self.published.items() if message == found.message_id]
        if len(others) < 2:
            self.offend(f"I9: {found.partition}/{found.offset} is a duplicate of nothing")

    def _follow_dead(self, found: Transition) -> None:
        self._dead[found.partition, found.offset] += 1
        fated = self._stage.destination.fated[found.message_id]
        max_rounds = 0 if self._stage.world.strategy is Strategy.UNSAFE else MAX_ROUNDS
        if not may_end_so(fated, found.code or "", max_attempts=3, max_rounds=max_rounds):
            self.offend(f"K: {found.message_id} is a dead letter for {found.code}, after {dict(fated)}")

    def _follow_discarded(self, found: Transition) -> None:
        if found.offset >= self.skipped_below[found.partition]:
            self.offend(f"I9: {found.partition}/{found.offset} is discarded, and nobody said so")

    def _new(self, kind: type[M]) -> Sequence[M]:
        found = []
        for record in self._records(kind.topic):
            body = self._stage.codec.decode(record.value or b"", kind)
            assert isinstance(body, kind)
            found.append(body)
        return found

    def _records(self, topic: str) -> Sequence[Record]:
        found, self._read_to[topic] = self._stage.broker.take(TopicPartition(topic, 0), self._read_to[topic])
        return found
