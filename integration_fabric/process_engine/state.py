"""One process instance (frozen; every change is a new one) and how it is kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from integration_fabric.canonical.entities import EntityRef
from integration_fabric.messages.base import Event
from integration_fabric.messages.catalogue import BY_SCHEMA_NAME
from integration_fabric.messages.fabric import ProcessState
from integration_fabric.messages.ids import MessageId, deterministic_id
from integration_fabric.messages.problems import Problem
from integration_fabric.process_engine.definition import Await, Process, Received, Step


class StepStatus(StrEnum):
    """Where a step stands. A step that is not kept has not begun."""

    SENT = "sent"
    """Its command is open."""
    WAITING = "waiting"
    """It waits for a fact that nobody was asked for."""
    HELD = "held"
    """Refused: it waits for data or a person."""
    DONE = "done"
    SKIPPED = "skipped"
    """Its condition was false."""
    REFUSED = "refused"
    """Refused, and what came before is undone."""
    UNDOING = "undoing"
    """The command that undoes it is open."""
    UNDO_HELD = "undo_held"
    """Undoing it was refused: a person must look."""
    UNDONE = "undone"


OVER = frozenset({StepStatus.DONE, StepStatus.SKIPPED})
OPEN = frozenset({StepStatus.SENT, StepStatus.UNDOING})
HELD = frozenset({StepStatus.HELD, StepStatus.UNDO_HELD})
TIMED = frozenset({StepStatus.SENT, StepStatus.WAITING})
"""What has a deadline."""


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of one instance."""

    name: str
    status: StepStatus
    attempt: int = 1
    """A new one only after a refusal."""
    command_id: MessageId | None = None
    since: datetime | None = None
    """When it came to this status."""
    late: bool = False
    """Whether its deadline passed without an answer."""
    problems: tuple[Problem, ...] = ()
    """Why it is held."""


@dataclass(frozen=True, slots=True)
class Timer:
    """When a missing reply is noticed."""

    step: str
    arm: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Instance:
    """Where one instance stands."""

    process: str
    version: int
    key: str
    correlation_id: str
    legal_entity: str | None
    business_keys: Mapping[str, str]
    since: datetime
    received: Received = field(default_factory=lambda: Received({}))
    steps: Mapping[str, StepState] = field(default_factory=dict)
    state: ProcessState = ProcessState.RUNNING

    @property
    def id(self) -> str:
        """The same on every machine: there is one instance of a process for a key."""
        return instance_id(self.process, self.key)

    def with_step(self, step: StepState) -> Instance:
        """A copy in which this step stands so."""
        return replace(self, steps={**self.steps, step.name: step})

    def status(self, name: str) -> StepStatus | None:
        """Where a step stands; None where it has not begun."""
        step = self.steps.get(name)
        return step.status if step else None

    def answering(self, command_id: MessageId | None) -> StepState | None:
        """The step whose open command this is."""
        return next((step for step in self.steps.values() if step.command_id == command_id and step.status in OPEN), None)

    def open_steps(self) -> Sequence[StepState]:
        """The steps that wait for an answer, a fact, data or a person."""
        return [step for step in self.steps.values() if step.status in OPEN or step.status in HELD or step.status is StepStatus.WAITING]

    def holds(self) -> frozenset[EntityRef]:
        """The master data that it waits for."""
        problems = [problem for step in self.steps.values() if step.status is StepStatus.HELD for problem in step.problems]
        return frozenset(EntityRef(problem.entity, problem.id) for problem in problems)

    def timers(self, process: Process) -> Sequence[Timer]:
        """The deadlines of its open commands, and of the facts that it waits for."""
        timers = []
        for state in self.steps.values():
            deadline = _deadline_of(process, state)
            if deadline is not None and not state.late and state.since is not None:
                timers.append(Timer(state.name, state.attempt, state.since + deadline))
        return timers

    def to_json(self) -> str:
        """As text, without what the store keeps in columns of its own."""
        return json.dumps(
            {
                "correlation_id": self.correlation_id,
                "legal_entity": self.legal_entity,
                "business_keys": dict(self.business_keys),
                "since": self.since.isoformat(),
                "state": self.state.value,
                "received": [[event.schema_name, event.model_dump(mode="json")] for event in self.received],
                "steps": [_step_to_json(step) for step in self.steps.values()],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, process: str, version: int, key: str, text: str) -> Instance:
        """What `to_json` wrote."""
        kept = json.loads(text)
        events = [BY_SCHEMA_NAME[name].model_validate(body) for name, body in kept["received"]]
        steps = [_step_from_json(step) for step in kept["steps"]]
        return cls(
            process=process,
            version=version,
            key=key,
            correlation_id=kept["correlation_id"],
            legal_entity=kept["legal_entity"],
            business_keys=kept["business_keys"],
            since=datetime.fromisoformat(kept["since"]),
            received=Received({type(event): event for event in events if isinstance(event, Event)}),
            steps={step.name: step for step in steps},
            state=ProcessState(kept["state"]),
        )


def _deadline_of(process: Process, state: StepState) -> timedelta | None:
    if state.status not in TIMED:
        return None
    step = process.step(state.name)
    return step.within if isinstance(step, Await) else step.deadline if isinstance(step, Step) else None


def instance_id(process: str, key: str) -> str:
    """The id of the instance of a process for a key."""
    return deterministic_id("process", process, key)


def event_from_json(schema_name: str, text: str) -> Event:
    """An event from its JSON text."""
    event = BY_SCHEMA_NAME[schema_name].model_validate_json(text)
    assert isinstance(event, Event)
    return event


def command_id(instance: Instance, step: str, *, direction: str, attempt: int) -> MessageId:
    """The id of a command: the same until its outcome is known, another after a refusal."""
    return deterministic_id("command", instance.process, instance.key, step, direction, str(attempt))


def _step_to_json(step: StepState) -> dict[str, Any]:
    return {
        "name": step.name,
        "status": step.status.value,
        "attempt": step.attempt,
        "command_id": step.command_id,
        "since": step.since.isoformat() if step.since else None,
        "late": step.late,
        "problems": [problem.model_dump(mode="json") for problem in step.problems],
    }


def _step_from_json(kept: dict[str, Any]) -> StepState:
    return StepState(
        name=kept["name"],
        status=StepStatus(kept["status"]),
        attempt=kept["attempt"],
        command_id=MessageId(kept["command_id"]) if kept["command_id"] else None,
        since=datetime.fromisoformat(kept["since"]) if kept["since"] else None,
        late=kept["late"],
        problems=tuple(Problem.model_validate(problem) for problem in kept["problems"]),
    )
