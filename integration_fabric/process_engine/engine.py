"""What comes next in a process (pure): an instance and a message in, the instance and what is to be sent out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from integration_fabric.canonical.routing import Routes
from integration_fabric.messages.base import Command, Event
from integration_fabric.messages.errors import DataProblem
from integration_fabric.messages.fabric import ProcessChanged, ProcessState
from integration_fabric.messages.ids import MessageId
from integration_fabric.messages.problems import Problem
from integration_fabric.process_engine.definition import Await, Part, Process, Publish, Refusal, Send, Step, branches, command_of
from integration_fabric.process_engine.state import HELD, OPEN, OVER, Instance, StepState, StepStatus, command_id
from integration_fabric.runtime.outcomes import Emit

ENDED = frozenset({ProcessState.COMPLETED, ProcessState.COMPENSATED, ProcessState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of an instance."""

    instance: Instance
    emits: tuple[Emit, ...]
    sent: tuple[MessageId, ...]


class Turn:
    """One message's worth of movement of one instance. Made, told what happened, then asked for the result."""

    def __init__(self, process: Process, instance: Instance, *, routes: Routes, now: datetime) -> None:
        self._process, self._before, self._routes, self._now = process, instance, routes, now
        self.instance = instance
        self._emits: list[Emit] = []
        self._sent: list[MessageId] = []

    # -- what happened

    def start(self, event: Event) -> Turn:
        """The event that begins the instance, or joins it."""
        self._receive(event)
        return self._advance()

    def arrive(self, event: Event) -> Turn:
        """A fact that the instance waits for, or will wait for."""
        self._receive(event)
        for step in self.instance.steps.values():
            if step.status is StepStatus.WAITING and type(event) in _awaited(self._process.step(step.name)):
                self._set(step, StepStatus.DONE)
        return self._advance()

    def answer(self, step: StepState, event: Event) -> Turn:
        """The reply to a step's open command."""
        self._receive(event)
        undoing = step.status is StepStatus.UNDOING
        definition = self._step(step.name)
        command = definition.command if not undoing else _undoing_command(definition)
        if isinstance(event, command.replies.done):
            self._set(step, StepStatus.UNDONE if undoing else StepStatus.DONE)
        elif undoing:
            self._set(step, StepStatus.UNDO_HELD, _problems(event))
        elif definition.refusal is Refusal.COMPENSATE or self.instance.state is ProcessState.COMPENSATING:
            self._set(step, StepStatus.REFUSED, _problems(event))
            self._compensate()
        else:
            self._set(step, StepStatus.HELD, _problems(event))
        return self._advance()

    def resume(self, step: StepState) -> Turn:
        """What a held step waited for is there: send it again, as a new attempt."""
        self._send(self._step(step.name), attempt=step.attempt + 1)
        return self._advance()

    def mark_late(self, step: StepState) -> Turn:
        """The deadline of a step passed without an answer."""
        self.instance = self.instance.with_step(replace(step, late=True))
        return self

    # -- what follows

    def moved(self) -> Moved:
        """The instance as it stands now, and what is to be sent."""
        self.instance = replace(self.instance, state=self._state())
        if self.instance != self._before:
            self._emits.append(self._emit(self._changed()))
        return Moved(self.instance, tuple(self._emits), tuple(self._sent))

    def _advance(self) -> Turn:
        if self.instance.state is ProcessState.COMPENSATING:
            self._undo_next()
        else:
            for part in self._process.steps:
                self._begin(part)
                if not self._is_over(part):
                    break
        return self

    def _begin(self, part: Part) -> None:
        for step in branches(part):
            if self.instance.status(step.name) is not None:
                continue
            if isinstance(step, Await):
                there = any(kind in self.instance.received for kind in _awaited(step))
                self._enter(step.name, StepStatus.DONE if there else StepStatus.WAITING)
            elif step.when is not None and not step.when(self.instance.received):
                self._enter(step.name, StepStatus.SKIPPED)
            elif isinstance(step, Publish):
                event = step.event(self.instance.received)
                self._receive(event)
                self._emits.append(self._emit(event))
                self._enter(step.name, StepStatus.DONE)
            else:
                self._send(step, attempt=1)

    def _enter(self, name: str, status: StepStatus) -> None:
        self._set(StepState(name, status), status)

    def _is_over(self, part: Part) -> bool:
        return all(self.instance.status(step.name) in OVER for step in branches(part))

    def _compensate(self) -> None:
        """From here on things are only undone: what is held waits for nothing any more."""
        self.instance = replace(self.instance, state=ProcessState.COMPENSATING)
        for step in self.instance.steps.values():
            if step.status is StepStatus.HELD:
                self._set(step, StepStatus.REFUSED, step.problems)

    def _undo_next(self) -> None:
        """One at a time, the last first."""
        if any(step.status in OPEN or step.status is StepStatus.UNDO_HELD for step in self.instance.steps.values()):
            return
        for definition in reversed(self._process.flat()):
            state = self.instance.steps.get(definition.name)
            if isinstance(definition, Step) and definition.undone_by and state and state.status is StepStatus.DONE:
                self._command(definition, definition.undone_by, StepStatus.UNDOING, attempt=1)
                return

    def _send(self, step: Step, *, attempt: int) -> None:
        self._command(step, step.send, StepStatus.SENT, attempt=attempt)

    def _command(self, step: Step, send: Send, status: StepStatus, *, attempt: int) -> None:
        command: Command = send(self.instance.received)
        direction = "do" if status is StepStatus.SENT else "undo"
        identity = command_id(self.instance, step.name, direction=direction, attempt=attempt)
        role = command.topic.partition(".")[0]
        try:
            system = self._routes.system(role, self.instance.legal_entity)
        except DataProblem as error:
            problem = Problem(entity=error.entity, id=error.value, field=error.field, code=error.problem_code, hint=error.hint)
            held = StepStatus.HELD if status is StepStatus.SENT else StepStatus.UNDO_HELD
            self._set(StepState(step.name, held, attempt), held, (problem,))
            return
        self._emits.append(replace(self._emit(command), id=identity, system=system))
        self._sent.append(identity)
        self._set(StepState(step.name, status, attempt, identity), status)

    def _set(self, step: StepState, status: StepStatus, problems: tuple[Problem, ...] = ()) -> None:
        self.instance = self.instance.with_step(replace(step, status=status, since=self._now, problems=problems, late=False))

    def _receive(self, event: Event) -> None:
        known = self.instance.received.get(type(event))
        if known is not None and known.aggregate_version > event.aggregate_version:
            return  # an older one of its kind came later
        keys = {**self.instance.business_keys, **event.search_keys()}
        self.instance = replace(self.instance, received=self.instance.received.adding(event), business_keys=keys)

    def _step(self, name: str) -> Step:
        step = self._process.step(name)
        assert isinstance(step, Step)
        return step

    def _state(self) -> ProcessState:
        statuses = {step.status for step in self.instance.steps.values()}
        if self.instance.state is ProcessState.COMPENSATING:
            return ProcessState.COMPENSATING if statuses & (OPEN | HELD) else ProcessState.COMPENSATED
        if statuses & HELD:
            return ProcessState.HELD
        if all(self._is_over(part) for part in self._process.steps):
            return ProcessState.COMPLETED
        return ProcessState.WAITING if StepStatus.WAITING in statuses and not statuses & OPEN else ProcessState.RUNNING

    def _emit(self, body: Command | Event) -> Emit:
        instance = self.instance
        return Emit(
            body,
            legal_entity=instance.legal_entity,
            correlation_id=instance.correlation_id,
            business_keys=tuple(instance.business_keys.items()),
        )

    def _changed(self) -> ProcessChanged:
        instance = self.instance
        waiting = instance.open_steps()
        return ProcessChanged(
            instance_id=instance.id,
            process=instance.process,
            version=instance.version,
            state=instance.state,
            step=", ".join(step.name for step in waiting),
            business_keys=dict(instance.business_keys),
            problems=tuple(_shown_problems(waiting)),
            changed_at=self._now,
            aggregate_version=int(self._now.timestamp() * 1_000_000),
        )


def _awaited(step: Step | Publish | Await) -> frozenset[type[Event]]:
    return frozenset(trigger.event for trigger in step.triggers) if isinstance(step, Await) else frozenset()


def _undoing_command(step: Step) -> type[Command]:
    assert step.undone_by is not None
    return command_of(step.undone_by)


def _problems(event: Event) -> tuple[Problem, ...]:
    found: Sequence[Problem] = getattr(event, "problems", ())
    return tuple(found)


def _shown_problems(steps: Sequence[StepState]) -> Iterator[Problem]:
    for step in steps:
        yield from step.problems
        if step.late:
            hint = (
                "what it waits for did not come in its time"
                if step.status is StepStatus.WAITING
                else "no answer came by the step's deadline"
            )
            yield Problem(entity="step", id=step.name, field="", code="no-answer", hint=hint)
