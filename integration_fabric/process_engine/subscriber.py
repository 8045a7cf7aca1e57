"""The subscriber that runs one process: finds the instance that a message belongs to and lets the engine say what follows."""

from __future__ import annotations

from dataclasses import dataclass

from integration_fabric.canonical.entities import CHANGES, EntityRef, changed
from integration_fabric.canonical.routing import Routes
from integration_fabric.messages.base import Event
from integration_fabric.messages.fabric import ProcessAction, ProcessActionKind
from integration_fabric.process_engine.definition import Again, Process
from integration_fabric.process_engine.engine import ENDED, Moved, Turn
from integration_fabric.process_engine.ports import Desk, Instances
from integration_fabric.process_engine.state import TIMED, Instance, StepState, StepStatus
from integration_fabric.runtime.outcomes import Applied, Emit, Filtered, Outcome, OutcomeKind, Superseded
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.subscriber import Delivery, Handled, Running
from integration_fabric.telemetry.logs import LOG


def subscriber_name(process: Process) -> str:
    """`process.quote-to-activation`."""
    return f"process.{process.name}"


def running(process: Process, *, instances: Instances, routes: Routes) -> Running:
    """The subscriber of one process."""

    async def run(delivery: Delivery) -> Handled:
        if delivery.again is not None:
            return Handled(OutcomeKind.DUPLICATE, detail="a process takes each message once: its state is what it has received")
        envelope = delivery.envelope
        clerk = _Clerk(process, routes, delivery)
        return await instances.handle(delivery.fence, envelope.id, delivery.coordinates, process=process.name, decide=clerk.decide)

    async def conclude(delivery: Delivery) -> Handled | None:
        return await instances.handled(delivery.fence, delivery.envelope.id, delivery.coordinates)

    return Running(subscriber_name(process), reads(process), Policy(in_flight=32), run, conclude)


def reads(process: Process) -> tuple[type[Event], ...]:
    """What starts it, what answers its commands, what it waits for, timers, and the changes that end its holds."""
    replies = {reply for command in process.commands() for reply in (command.replies.done, command.replies.refused)}
    awaited = {trigger.event for trigger in process.awaited()}
    resuming = {change.event for change in process.resumed_by}
    kinds: set[type[Event]] = {process.starts.event, ProcessAction, *replies, *awaited, *resuming, *CHANGES}
    return tuple(sorted(kinds, key=lambda kind: kind.topic))


@dataclass(frozen=True, slots=True)
class _Clerk:
    """Decides one delivery, inside the store's transaction."""

    process: Process
    routes: Routes
    delivery: Delivery

    def decide(self, desk: Desk) -> Handled:
        """What the message does to the instances that it belongs to."""
        return self.delivery.settle(self._outcome(desk))

    def _outcome(self, desk: Desk) -> Outcome:
        event = self.delivery.envelope.body
        assert isinstance(event, Event)
        if isinstance(event, self.process.starts.event):
            return self._start(desk, event)
        if isinstance(event, ProcessAction):
            return self._act(desk, event)
        if (ref := self._changed(event)) is not None:
            return self._resume_held(desk, ref)
        if (trigger := self.process.trigger_of(event)) is not None:
            return self._arrive(desk, event, trigger.instance(event))
        return self._answer(desk, event)

    def _changed(self, event: Event) -> EntityRef | None:
        change = self.process.change_of(event)
        return changed(event) if change is None else EntityRef(change.entity, change.id(event))

    def _start(self, desk: Desk, event: Event) -> Outcome:
        key = self.process.starts.instance(event)
        known = desk.by_key(key)
        if known is not None:
            return self._start_again(desk, known, event)
        envelope = self.delivery.envelope
        instance = Instance(
            process=self.process.name,
            version=self.process.version,
            key=key,
            correlation_id=envelope.correlation_id,
            legal_entity=envelope.legal_entity,
            business_keys=dict(envelope.business_keys),
            since=self.delivery.now,
        )
        turn = self._turn(instance).start(event)
        early = desk.take_early(key)
        for fact in early:
            turn.arrive(fact)
        detail = f"what had come before it: {', '.join(type(fact).__name__ for fact in early)}" if early else ""
        return Applied(self._keep(desk, turn.moved()), detail=detail)

    def _start_again(self, desk: Desk, known: Instance, event: Event) -> Outcome:
        if self.process.again is Again.IGNORE:
            return Superseded(f"{self.process.name} of {known.key} has begun already")
        if known.state in ENDED:
            return Superseded(f"{self.process.name} of {known.key} has ended")
        return Applied(self._keep(desk, self._turn(known).start(event).moved()), detail="joined the instance that runs")

    def _arrive(self, desk: Desk, event: Event, key: str) -> Outcome:
        """A fact that an instance waits for: the one that there is takes it, also before it waits; else it is kept for a while."""
        instance = desk.by_key(key)
        if instance is None:
            until = self.delivery.now + self.process.keeps_early
            desk.keep_early(key, self.delivery.envelope.id, event, until=until)
            return Filtered(f"no {self.process.name} of {key} has begun; kept until {until:%Y-%m-%d %H:%M}")
        if instance.state in ENDED:
            return Superseded(f"{self.process.name} of {key} has ended")
        return Applied(self._keep(desk, self._turn(instance).arrive(event).moved()))

    def _answer(self, desk: Desk, event: Event) -> Outcome:
        command_id = self.delivery.envelope.causation_id
        instance = desk.by_command(command_id) if command_id else None
        if instance is None:
            return Filtered("answers no command of this process")
        step = instance.answering(command_id)
        if step is None:
            return Superseded("answers a command that is no longer open")
        turn = self._turn(instance).answer(step, event)
        now_held = turn.instance.steps[step.name]
        if now_held.status is StepStatus.HELD and self._mended_meanwhile(desk, now_held, step):
            turn.resume(now_held)
        return Applied(self._keep(desk, turn.moved()))

    @staticmethod
    def _mended_meanwhile(desk: Desk, held: StepState, sent: StepState) -> bool:
        """Whether what the refusal names has changed since the command was sent: the change came by before the hold did."""
        refs = [EntityRef(problem.entity, problem.id) for problem in held.problems]
        changes = [at for ref in refs if (at := desk.changed_at(ref)) is not None]
        return sent.since is not None and any(at >= sent.since for at in changes)

    def _act(self, desk: Desk, action: ProcessAction) -> Outcome:
        if action.process != self.process.name:
            return Filtered("of another process")
        instance = desk.by_id(action.instance_id)
        step = instance.steps.get(action.step) if instance else None
        if instance is None or step is None or action.action is not ProcessActionKind.TIMER:
            return Superseded("nothing to do")
        if step.status not in TIMED or step.attempt != action.arm:
            return Superseded("answered in time")
        LOG.late(self.process.name, step=step.name, key=instance.key, **instance.business_keys)
        return Applied(self._keep(desk, self._turn(instance).mark_late(step).moved()), detail=f"{step.name} is late")

    def _resume_held(self, desk: Desk, ref: EntityRef) -> Outcome:
        desk.note_change(ref, self.delivery.now)
        held = desk.held_on(ref)
        emits: list[Emit] = []
        for instance in held:
            turn = self._turn(instance)
            for step in instance.steps.values():
                waits = step.status is StepStatus.HELD and any((p.entity, p.id) == (ref.entity, ref.id) for p in step.problems)
                if waits:
                    turn.resume(step)
            emits += self._keep(desk, turn.moved())
        return Applied(emits, detail=f"{len(held)} resumed") if held else Filtered("nothing waits for it")

    def _keep(self, desk: Desk, moved: Moved) -> tuple[Emit, ...]:
        desk.save(moved.instance, sent=moved.sent, timers=moved.instance.timers(self.process))
        return moved.emits

    def _turn(self, instance: Instance) -> Turn:
        return Turn(self.process, instance, routes=self.routes, now=self.delivery.now)
