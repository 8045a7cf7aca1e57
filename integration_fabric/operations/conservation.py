"""The sum is right (guarantee G3): every message of a topic is in exactly one outcome at each subscriber, or in flight. Pure.

`fabric balance` folds the activity log's transitions and compares them, offset by offset, with what stands in the topics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from integration_fabric.messages.fabric import Activity
from integration_fabric.runtime.offsets import Done
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.records import TopicPartition

SHOWN_OFFSETS = 20
"""Of those that break the sum: enough to look at, however many there are."""
_MOVES = frozenset({OutcomeKind.DEAD_LETTERED.value, OutcomeKind.QUEUED_BEHIND.value})
"""A message may leave these for another outcome; from all others there is no way."""


@dataclass(frozen=True, slots=True)
class Offence:
    """An offset that breaks the sum."""

    position: str
    why: str


@dataclass(frozen=True, slots=True)
class Balance:
    """The sum of one topic at one subscriber."""

    topic: str
    subscriber: str
    accepted: int
    outcomes: Mapping[str, int]
    in_flight: int
    offences: Sequence[Offence]
    offence_count: int

    @property
    def balanced(self) -> bool:
        """Whether each accepted message is in exactly one outcome or in flight."""
        return self.offence_count == 0 and self.accepted == sum(self.outcomes.values()) + self.in_flight


@dataclass(slots=True)
class _Ledger:
    """What the activity log says of one topic at one subscriber."""

    outcomes: dict[TopicPartition, dict[int, str]] = field(default_factory=dict)
    offences: list[Offence] = field(default_factory=list)

    def enter(self, partition: TopicPartition, offset: int, before: str, after: str) -> None:
        known = self.outcomes.setdefault(partition, {})
        found = known.get(offset, "")
        if before != found or (found and found not in _MOVES):
            place = f"{partition.topic}/{partition.partition}/{offset}"
            self.offences.append(Offence(place, f"{after} after {found or 'nothing'}, where the log says it was {before or 'new'}"))
        known[offset] = after


class Fold:
    """Folds activity records, in any order of partitions, into balances."""

    def __init__(self) -> None:
        self._ledgers: dict[tuple[str, str], _Ledger] = {}

    def add(self, activity: Activity) -> None:
        """One record of the activity log."""
        for transition in activity.transitions:
            if transition.redelivery is not None:  # counted apart, never in the sum
                continue
            ledger = self._ledgers.setdefault((activity.subscriber, transition.topic), _Ledger())
            partition = TopicPartition(transition.topic, transition.partition)
            ledger.enter(partition, transition.offset, transition.from_state, transition.outcome)

    def balance(
        self,
        *,
        subscriber: str,
        topic: str,
        offsets: Mapping[TopicPartition, Iterable[int]],
        committed: Mapping[TopicPartition, Done | None],
    ) -> Balance:
        """Compare with a topic.

        Args:
            subscriber: Whose outcomes.
            topic: Of which messages.
            offsets: The records that stand in each partition.
            committed: What the subscriber has committed on each; None where it never did.
        """
        ledger = self._ledgers.get((subscriber, topic), _Ledger())
        offences, counts = list(ledger.offences), dict.fromkeys(OutcomeKind, 0)
        accepted = in_flight = 0
        for partition, present in offsets.items():
            known, done = ledger.outcomes.get(partition, {}), committed.get(partition) or ()
            standing = set(present)
            # what retention has taken is accepted too: the log knows what became of it
            for offset in standing | known.keys():
                accepted += 1
                outcome = known.get(offset)
                if outcome is not None:
                    counts[OutcomeKind(outcome)] += 1
                elif offset in done:
                    offences.append(Offence(f"{topic}/{partition.partition}/{offset}", "committed, and no outcome in the activity log"))
                else:
                    in_flight += 1
        return Balance(
            topic=topic,
            subscriber=subscriber,
            accepted=accepted,
            outcomes={kind.value: count for kind, count in counts.items()},
            in_flight=in_flight,
            offences=tuple(sorted(offences, key=lambda offence: offence.position)[:SHOWN_OFFSETS]),
            offence_count=len(offences),
        )
