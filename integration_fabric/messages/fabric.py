"""What travels about fabric. Generated from schemas/ by `make generate`; edit the schema files."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime

from integration_fabric.messages.base import Event, Part
from integration_fabric.messages.ids import MessageId, System
from integration_fabric.messages.problems import Problem


class ProcessActionKind(StrEnum):
    """What is asked of a process instance."""

    UNKNOWN = "unknown"
    TIMER = "timer"
    RETRY = "retry"
    CANCEL = "cancel"
    SKIP = "skip"
    COMPLETE = "complete"
    PAUSE = "pause"
    RESUME = "resume"


class ProcessState(StrEnum):
    """Where a process instance stands."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    WAITING = "waiting"
    HELD = "held"
    PAUSED = "paused"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    CANCELLED = "cancelled"


class Transition(Part):
    """What became of one message at one subscriber."""

    topic: str
    """The topic that the message was taken from."""
    partition: int
    """Its partition."""
    offset: int
    """Its offset."""
    key: bytes | None = None
    """Its record key."""
    message_id: MessageId
    """Its ce_id, or its coordinates where it has none."""
    message_type: str
    """Its ce_type; empty where it could not be read."""
    correlation_id: str
    """The transaction that it belongs to."""
    causation_id: str | None = None
    """The message that it answers."""
    business_keys: Mapping[str, str]
    """The identifiers that people search by."""
    system: System | None = None
    """The running system that it was for or from."""
    from_state: str
    """Empty for a first transition, else the outcome that it leaves."""
    outcome: str
    """applied, superseded, duplicate, filtered, dead_lettered, queued_behind or discarded."""
    detail: str
    """Why, where there is something to say."""
    code: str | None = None
    """The error code of a dead letter."""
    attempts: int
    """How often the handler was called."""
    published_at: AwareDatetime
    """When the message was published."""
    started_at: AwareDatetime
    """When handling began."""
    duration_ms: float
    """How long handling took, in milliseconds."""
    outputs: tuple[str, ...] = ()
    """The types of the messages that it put out."""
    redelivery: int | None = None
    """The number of the redelivery that brought it about; such an entry is counted apart, never in the sum."""


class Activity(Event):
    """One commit of one subscriber: what was taken and what it became."""

    topic: ClassVar[str] = "fabric.activity.v1"
    schema_name: ClassVar[str] = "fabric.v1.Activity"
    key_field: ClassVar[str] = "subscriber"

    subscriber: str
    """Whose commit it is."""
    worker: str
    """The process that made it."""
    committed_at: AwareDatetime
    """When it was handed to Kafka."""
    transitions: tuple[Transition, ...] = ()
    """In the order in which they were committed."""


class ProcessAction(Event):
    """A timer that is due, or what a person asks of a process instance."""

    topic: ClassVar[str] = "fabric.process-action.v1"
    schema_name: ClassVar[str] = "fabric.v1.ProcessAction"
    key_field: ClassVar[str] = "instance_id"

    instance_id: str
    """The instance."""
    process: str
    """The name of its process."""
    action: ProcessActionKind = ProcessActionKind.UNKNOWN
    """What is asked."""
    step: str
    """The step that it is about; empty for the whole instance."""
    arm: int
    """The number of the timer's arming; an older one is void."""
    due_at: AwareDatetime | None = None
    """When the timer was due."""
    requested_by: str
    """Who asks; `timer` for a timer."""
    reason: str = ""
    """Why, for people."""


class ProcessChanged(Event):
    """A process instance has moved."""

    topic: ClassVar[str] = "fabric.process-changed.v1"
    schema_name: ClassVar[str] = "fabric.v1.ProcessChanged"
    key_field: ClassVar[str] = "instance_id"

    instance_id: str
    """The instance."""
    process: str
    """The name of its process."""
    version: int
    """The version of the definition that it began with."""
    state: ProcessState = ProcessState.UNKNOWN
    """Where it stands."""
    step: str
    """The open steps, separated by commas."""
    business_keys: Mapping[str, str]
    """The identifiers that people search by."""
    problems: tuple[Problem, ...] = ()
    """Why it is held."""
    changed_at: AwareDatetime
    """When."""


class SubscriberAnnounced(Event):
    """A worker runs this subscriber."""

    topic: ClassVar[str] = "fabric.subscriber-announced.v1"
    schema_name: ClassVar[str] = "fabric.v1.SubscriberAnnounced"
    key_field: ClassVar[str] = "subscriber"

    subscriber: str
    """Its name, which is its consumer group."""
    worker: str
    """The name of the worker."""
    address: str
    """Where the worker answers for its health, as a URL."""
    topics: tuple[str, ...] = ()
    """What it reads."""
    started_at: AwareDatetime
    """Since when."""
