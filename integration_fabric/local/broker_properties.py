"""The settings of the one-node Apache Kafka that `fabric up` starts, each that is not Kafka's own with its reason. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

NODE_ID = "1"

# One node, so one copy of everything; few internal partitions, as each costs time at every start and stop.
ONE_NODE = {
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
}

TOPICS = {
    # Topics are made from `schemas/`; a misspelt name is an error.
    "auto.create.topics.enable": "false",
    "num.partitions": "4",
    # What was written stays until somebody deletes it, and so does where each group stands in it.
    "log.retention.ms": "-1",
    "log.retention.bytes": "-1",
    "offsets.retention.minutes": "525600",
    # The default index of 10 MiB is laid out anew at every start and cut at every stop, for each partition: with 720 of them a stop took
    # 2.9 s, with this 1.3 s. It covers 350 MiB of log, so the segment is rolled before it is full.
    "log.segment.bytes": "268435456",
    "log.index.size.max.bytes": "1048576",
}

RESTART = {
    # After a `kill -9` the broker is let in again only when its former session is over: 3 s, not 9 s, asked for every second. With one
    # node nobody could take over, so a session that ends too early costs no more than a moment without leaders.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    # No empty record in the metadata log twice a second, by which other controllers would see how far behind they are: without them the
    # idle broker takes 1.5 % of a core, with them 2.4 %.
    "metadata.max.idle.interval.ms": "0",
}

# A worker that was killed is noticed after 6 s, not 45 s, and what a drained one leaves is taken over within 0.5 s, not 5 s: members learn
# of a new assignment at their next heartbeat. Kafka 4.3 also waits a second between two assignments of a group, unless told otherwise.
# Price: 24 idle consumers cost the broker 3 % of a core more than with a heartbeat every 2 s.
FAILOVER = {
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.assignment.interval.ms": "0",
    "group.min.session.timeout.ms": "6000",
    "group.initial.rebalance.delay.ms": "0",
}


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where the broker listens.

    Attributes:
        port: The clients' port, inside and outside of a container.
        controller_port: The port on which broker and controller, one process, talk to each other.
        bind: The address that the clients' port is bound to.
        host: The address that clients are told.
    """

    port: int
    controller_port: int
    bind: str = "127.0.0.1"
    host: str = "127.0.0.1"


def properties(listeners: Listeners, *, log_dir: str) -> Mapping[str, str]:
    """All settings of the broker.

    Args:
        listeners: Where it listens.
        log_dir: Its data folder. A relative one may hold any letter; Kafka takes an absolute one for a list where it finds a comma.
    """
    controller = f"127.0.0.1:{listeners.controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        # The static form: it is not written into the data, so the ports may be others at the next start.
        "controller.quorum.voters": f"{NODE_ID}@{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": f"PLAINTEXT://{listeners.bind}:{listeners.port},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{listeners.host}:{listeners.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log_dir,
        **ONE_NODE,
        **TOPICS,
        **RESTART,
        **FAILOVER,
    }


def as_file(settings: Mapping[str, str]) -> str:
    """Settings as Kafka's properties file."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def as_environment(settings: Mapping[str, str]) -> Mapping[str, str]:
    """Settings as the variables that Kafka's Docker image takes."""
    return {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}


def cluster_id(uuid: UUID) -> str:
    """A UUID as Kafka writes it: 22 letters of URL-safe Base64, the first not a hyphen, which tools would take for an option."""
    first, *rest = uuid.bytes
    return base64.urlsafe_b64encode(bytes([first & 0x7F, *rest])).decode("ascii").rstrip("=")
