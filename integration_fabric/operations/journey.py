"""The journey of one business key: everything that the activity log knows about its transactions, in time order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from integration_fabric.messages.base import Command
from integration_fabric.messages.catalogue import BY_SCHEMA_NAME
from integration_fabric.messages.fabric import Activity, ProcessChanged, Transition


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journey."""

    at: datetime
    kind: str
    """event, command, process or exception."""
    type: str
    topic: str | None
    partition: int | None
    offset: int | None
    subscriber: str | None
    outcome: str | None
    duration_ms: float | None
    attempts: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Journey:
    """All of it."""

    business_keys: Mapping[str, str]
    entries: Sequence[Entry]


def trace(key: str, activities: Iterable[Activity], changes: Iterable[ProcessChanged]) -> Journey:
    """Follow one business key.

    Args:
        key: The value of a business key, e.g. a quote or an order, or a correlation id.
        activities: The activity log.
        changes: What process instances said of themselves.
    """
    transitions = [(activity.subscriber, transition) for activity in activities for transition in activity.transitions]
    correlations = {t.correlation_id for _, t in transitions if key in t.business_keys.values() or key == t.correlation_id}
    mine = [(subscriber, t) for subscriber, t in transitions if t.correlation_id in correlations]
    keys: dict[str, str] = {}
    for _, transition in mine:
        for name, value in transition.business_keys.items():
            keys.setdefault(name, value)
    entries = [_entry(subscriber, transition) for subscriber, transition in mine]
    entries += [_change(change) for change in changes if key in change.business_keys.values()]
    return Journey(keys, sorted(entries, key=lambda entry: entry.at))


def _entry(subscriber: str, transition: Transition) -> Entry:
    kind = BY_SCHEMA_NAME.get(transition.message_type)
    name = "command" if kind is not None and issubclass(kind, Command) else "event"
    outputs = ", ".join(short(output) for output in transition.outputs if output != ProcessChanged.schema_name)  # has its own line
    by = f"redelivery {transition.redelivery}:" if transition.redelivery is not None else ""
    details = [by, transition.detail, f"→ {outputs}" if outputs else ""]
    return Entry(
        at=transition.started_at,
        kind="replay" if by else "exception" if transition.outcome == "dead_lettered" else name,
        type=short(transition.message_type) or transition.topic,
        topic=transition.topic,
        partition=transition.partition,
        offset=transition.offset,
        subscriber=subscriber,
        outcome=transition.outcome,
        duration_ms=round(transition.duration_ms, 1),
        attempts=transition.attempts,
        detail=" ".join(detail for detail in details if detail),
    )


def _change(change: ProcessChanged) -> Entry:
    problems = "; ".join(dict.fromkeys(f"{problem.code} {problem.id}: {problem.hint}" for problem in change.problems))
    step = f"at {change.step}" if change.step else ""
    return Entry(
        at=change.changed_at,
        kind="process",
        type=change.process,
        topic=None,
        partition=None,
        offset=None,
        subscriber=None,
        outcome=change.state.value,
        duration_ms=None,
        attempts=None,
        detail=" ".join(part for part in (step, problems) if part),
    )


def short(schema_name: str) -> str:
    """`OrderBooked` of `erp.v1.OrderBooked`."""
    return schema_name.rpartition(".")[2]
