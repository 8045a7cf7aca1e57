"""A process as a table: its steps, what they send, what undoes them. Pure data that runs, draws itself and finds the missing event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar, cast, get_type_hints

from integration_fabric.messages.base import Command, Event

E = TypeVar("E", bound=Event)


class Received:
    """The messages that one instance has taken so far, the latest of each type: this is its state."""

    def __init__(self, events: Mapping[type[Event], Event]) -> None:
        self._events = dict(events)

    def __getitem__(self, kind: type[E]) -> E:
        return cast("E", self._events[kind])

    def __contains__(self, kind: type[Event]) -> bool:
        return kind in self._events

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events.values())

    def get(self, kind: type[E]) -> E | None:
        """The latest of a type, or None."""
        return cast("E | None", self._events.get(kind))

    def adding(self, event: Event) -> Received:
        """A copy with one more."""
        return Received({**self._events, type(event): event})


@dataclass(frozen=True, slots=True)
class Trigger:
    """An event type, and which instance it belongs to."""

    event: type[Event]
    instance: Callable[[Event], str]


def on(event: type[E], instance: Callable[[E], str]) -> Trigger:
    """`on(QuoteApproved, quote_of)`: type-checked here, erased inside."""
    return Trigger(event, cast("Callable[[Event], str]", instance))


@dataclass(frozen=True, slots=True)
class Change:
    """An event type that says that an entity has changed: a hold on (entity, id) ends by it."""

    event: type[Event]
    entity: str
    id: Callable[[Event], str]


def changes(event: type[E], entity: str, id_of: Callable[[E], str]) -> Change:
    """`changes(InvoicePosted, "invoice", invoice_of)`: beside master data, whose events end holds everywhere."""
    return Change(event, entity, cast("Callable[[Event], str]", id_of))


class Refusal(StrEnum):
    """What a refused step does."""

    HOLD = "hold"
    """Wait for the data that is missing, or for a person; nothing is undone."""
    COMPENSATE = "compensate"
    """Undo what was done before, in reverse."""


class Again(StrEnum):
    """What a second starting event for an instance does."""

    IGNORE = "ignore"
    """It has begun already."""
    JOIN = "join"
    """The instance takes it, as long as it has not ended, and goes on as it was."""


Send = Callable[[Received], Command]
Condition = Callable[[Received], bool]


@dataclass(frozen=True, slots=True)
class Step:
    """Send a command, wait for its reply. The replies are the command's own."""

    name: str
    send: Send
    undone_by: Send | None = None
    when: Condition | None = None
    """Skipped where it is false."""
    deadline: timedelta | None = None
    """When a missing reply is noticed."""
    refusal: Refusal = Refusal.HOLD
    irreversible: bool = False
    owner: str | None = None
    """Who looks after it when it is held; else the process's owner."""

    @property
    def command(self) -> type[Command]:
        """From the annotation of `send`, so that diagrams and missing-event detection know it without running."""
        return command_of(self.send)


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell a fact and go on."""

    name: str
    event: Callable[[Received], Event]
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for a fact that nobody is asked for; one that came before the step was reached counts."""

    name: str
    until: Trigger | tuple[Trigger, ...]
    """Any of these."""
    within: timedelta
    """When its absence is noticed."""
    owner: str | None = None
    """Who looks after it then; else the process's owner."""

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """What ends it."""
        return self.until if isinstance(self.until, tuple) else (self.until,)


@dataclass(frozen=True, slots=True)
class Parallel:
    """Branches that do not wait for each other."""

    branches: tuple[Step | Publish, ...]


def parallel(*branches: Step | Publish) -> Parallel:
    """All of them, in any order."""
    return Parallel(branches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A long-running flow across systems.

    Raises:
        ValueError: two steps have one name.
        TypeError: a step does not send a command.
    """

    name: str
    version: int
    owner: str
    starts: Trigger
    sync_window: timedelta
    """How long it should take from its start to its end."""
    steps: tuple[Part, ...]
    again: Again = Again.IGNORE
    resumed_by: tuple[Change, ...] = ()
    """What ends holds of this process besides master data."""
    keeps_early: timedelta = timedelta(days=1)
    """How long an awaited fact is kept whose instance has not begun; a start looks there first."""

    def __post_init__(self) -> None:
        names = [step.name for step in self.flat()]
        if doubled := _twice(names):
            raise ValueError(f"process {self.name}: steps {doubled} stand there twice")
        replies = {reply for command in self.commands() for reply in (command.replies.done, command.replies.refused)}
        awaited = {trigger.event for trigger in self.awaited()}
        resuming = {change.event for change in self.resumed_by}
        if several := _twice([kind.__name__ for kinds in ({self.starts.event}, replies, awaited, resuming) for kind in kinds]):
            raise ValueError(f"process {self.name}: {several} cannot both start, answer, be awaited or end a hold")

    def flat(self) -> Sequence[Step | Publish | Await]:
        """All steps, branches one after the other."""
        return [step for part in self.steps for step in branches(part)]

    def step(self, name: str) -> Step | Publish | Await:
        """By name. Raises KeyError."""
        return {step.name: step for step in self.flat()}[name]

    def awaited(self) -> Sequence[Trigger]:
        """The facts that it waits for."""
        return [trigger for step in self.flat() if isinstance(step, Await) for trigger in step.triggers]

    def trigger_of(self, event: Event) -> Trigger | None:
        """Under which instance an awaited fact belongs; None where it is none."""
        return next((trigger for trigger in self.awaited() if trigger.event is type(event)), None)

    def change_of(self, event: Event) -> Change | None:
        """What an event says has changed, besides master data; None where it is no such event."""
        return next((change for change in self.resumed_by if change.event is type(event)), None)

    def commands(self) -> Sequence[type[Command]]:
        """What it sends, to do and to undo."""
        steps = [step for step in self.flat() if isinstance(step, Step)]
        return [command_of(send) for step in steps for send in (step.send, step.undone_by) if send is not None]

    def publishes(self) -> Sequence[type[Event]]:
        """What it tells."""
        return [event_of(step.event) for step in self.flat() if isinstance(step, Publish)]


Part = Step | Publish | Await | Parallel


def branches(part: Part) -> tuple[Step | Publish | Await, ...]:
    """The steps of one part; one, where it is no parallel."""
    return part.branches if isinstance(part, Parallel) else (part,)


def _twice(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def command_of(send: Callable[..., Any]) -> type[Command]:
    """The command in the return annotation; raises TypeError where it is none."""
    command = get_type_hints(send)["return"]
    if not (isinstance(command, type) and issubclass(command, Command)):
        raise TypeError(f"{send.__name__} must return a command, not {command}")
    return command


def event_of(make: Callable[..., Any]) -> type[Event]:
    """The event in the return annotation; raises TypeError where it is none."""
    event = get_type_hints(make)["return"]
    if not (isinstance(event, type) and issubclass(event, Event)):
        raise TypeError(f"{make.__name__} must return an event, not {event}")
    return event
