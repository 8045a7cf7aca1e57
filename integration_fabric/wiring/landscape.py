"""What runs where, from settings alone: subscribers, their topics and the parts that a worker can run. Opens nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from integration_fabric.canonical.routing import Routes
from integration_fabric.connector_kit.actions import subscriber_name
from integration_fabric.delivery.dead_letters import intake_subscriber, topic_of
from integration_fabric.governance.schema_files import read_all
from integration_fabric.messages.base import Message
from integration_fabric.messages.errors import UsageProblem
from integration_fabric.messages.fabric import Activity, ProcessAction, ProcessChanged, SubscriberAnnounced
from integration_fabric.messages.ids import System
from integration_fabric.process_engine import subscriber as process_subscriber
from integration_fabric.process_engine.definition import Process
from integration_fabric.processes.invoice_posting import INVOICE_POSTING
from integration_fabric.processes.payment_application import PAYMENT_APPLICATION
from integration_fabric.processes.payment_failure import PAYMENT_FAILURE
from integration_fabric.processes.quote_to_activation import QUOTE_TO_ACTIVATION
from integration_fabric.runtime.policy import Policy
from integration_fabric.wiring.settings import Settings, SystemSettings
from integration_fabric.wiring.vendors import VENDORS, Vendor

PROCESSES: tuple[Process, ...] = (QUOTE_TO_ACTIVATION, INVOICE_POSTING, PAYMENT_APPLICATION, PAYMENT_FAILURE)
PROCESSES_PART = "processes"
"""The part that runs all processes; every other part is a role, a system or a subscriber."""
PARTITIONS = 4
"""Of a topic: enough to spread over a few workers, few enough to start fast."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A subscriber that the settings call for."""

    name: str
    topics: tuple[str, ...]
    system: System | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic that must be there."""

    name: str
    partitions: int
    compacted: bool


def vendor_of(name: str, system: SystemSettings) -> Vendor:
    """The vendor of a system. Raises UsageProblem where there is no connector for it, or it plays another role."""
    vendor = VENDORS.get((system.role, system.vendor))
    if vendor is None:
        known = ", ".join(f"{role}/{vendor}" for role, vendor in sorted(VENDORS))
        raise UsageProblem(f"FABRIC_SYSTEMS__{name.upper()}: no connector for {system.role}/{system.vendor}; there are {known}")
    return vendor


def subscribers(settings: Settings) -> Sequence[Declared]:
    """Every subscriber that the settings call for, processes first."""
    found = []
    for process in PROCESSES:
        running = process_subscriber.reads(process)
        found.append(Declared(process_subscriber.subscriber_name(process), tuple(kind.topic for kind in running)))
    for name, system in settings.systems.items():
        for action in vendor_of(name, system).connector.actions:
            command = action.command
            found.append(Declared(subscriber_name(System(name), command), (command.topic,), System(name), system.role))
    return found


def parts(settings: Settings) -> Mapping[str, Sequence[str]]:
    """What a worker can be told to run: part → names of its subscribers."""
    declared = subscribers(settings)
    found: dict[str, list[str]] = {PROCESSES_PART: [item.name for item in declared if item.system is None], "all": []}
    for name, system in settings.systems.items():
        mine = [item.name for item in declared if item.system == name]
        found.setdefault(system.role, []).extend(mine)
        found[name] = mine
    found.update({item.name: [item.name] for item in declared})
    found["all"] = [item.name for item in declared]
    return found


def select(settings: Settings, names: Sequence[str]) -> frozenset[str]:
    """The subscribers that these parts stand for. Raises UsageProblem where a name is none."""
    known = parts(settings)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageProblem(f"no part is called {', '.join(unknown)}; there are {', '.join(known)}")
    return frozenset(chain.from_iterable(known[name] for name in names))


def systems_of(settings: Settings, names: Sequence[str]) -> Sequence[str]:
    """The systems that these parts speak to."""
    wanted = select(settings, names)
    by_subscriber = {item.system for item in subscribers(settings) if item.name in wanted and item.system}
    by_name = {name for name, system in settings.systems.items() if name in names or system.role in names or "all" in names}
    return sorted(by_subscriber | by_name)


def routes(settings: Settings) -> Routes:
    """Which system plays which role for which legal entity. Raises UsageProblem where two play one."""
    table: dict[tuple[str, str], System] = {}
    for name, system in settings.systems.items():
        for entity in system.legal_entities:
            other = table.setdefault((system.role, entity), System(name))
            if other != name:
                raise UsageProblem(f"FABRIC_SYSTEMS: {other} and {name} both play {system.role} for legal entity {entity}")
    return Routes(table)


def policy(settings: Settings, name: str, declared: Policy) -> Policy:
    """A subscriber's policy with what the settings say about it."""
    own = settings.subscribers.get(name)
    changed = {"at_dead_letter": settings.at_dead_letter, **(own.model_dump(exclude_none=True) if own else {})}
    return replace(declared, **changed)


def topics(settings: Settings) -> Sequence[TopicSpec]:
    """Every topic that must be there: one a message type, one a subscriber's dead letters."""
    messages = [TopicSpec(file.topic, PARTITIONS, file.compacted) for file in read_all()]
    dead = [TopicSpec(topic_of(item.name), PARTITIONS, compacted=False) for item in subscribers(settings)]
    senseless = [TopicSpec(topic_of(intake_subscriber(name)), 1, compacted=False) for name in settings.systems]
    return [*messages, *dead, *senseless]


def written(settings: Settings) -> Sequence[type[Message]]:
    """The message types that workers may write, and so must know the schema ids of."""
    kinds: dict[type[Message], None] = dict.fromkeys((Activity, ProcessAction, ProcessChanged, SubscriberAnnounced))
    for process in PROCESSES:
        kinds.update(dict.fromkeys((*process.commands(), *process.publishes())))
        for command in process.commands():
            kinds.update(dict.fromkeys((command.replies.done, command.replies.refused)))
    for name, system in settings.systems.items():
        kinds.update(dict.fromkeys(vendor_of(name, system).publishes))
    return list(kinds)
