"""The three ways in which a Kafka group shares its partitions out, and what librdkafka calls them. The wiring and consumers use it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class GroupProtocol(StrEnum):
    """How the members of a group share partitions out. All members of one group use the same, save while it is changed."""

    CONSUMER = "consumer"
    """The broker decides (KIP-848), from Apache Kafka 4.0 on: what does not move is not disturbed."""
    COOPERATIVE = "cooperative"
    """The members decide (`cooperative-sticky`); what does not move is not disturbed. For older brokers."""
    EAGER = "eager"
    """The members decide (`range`), and each change takes everything from everybody first. For groups that have such members already."""

    @property
    def is_incremental(self) -> bool:
        """Whether a member is told what it is given or gives up, rather than all that it has from now on."""
        return self is not GroupProtocol.EAGER

    def settings(self) -> dict[str, Any]:
        """What librdkafka is told."""
        if self is GroupProtocol.CONSUMER:
            return {"group.protocol": "consumer"}
        strategy = "cooperative-sticky" if self is GroupProtocol.COOPERATIVE else "range"
        return {"group.protocol": "classic", "partition.assignment.strategy": strategy, **_CLASSIC}

    def configure(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What all clients share, with this protocol: what the protocol decides, or refuses, is not taken from there."""
        decided = _OF_GROUPS if self is GroupProtocol.CONSUMER else _OF_GROUPS - _CLASSIC.keys()
        return {**self.settings(), **{name: value for name, value in config.items() if name not in decided}}


# With the classic protocols members say how soon they are missed, and learn of a change at their next heartbeat: as quick as `fabric up`
# makes the broker for the other one. Six seconds is the least that brokers take unless told otherwise; librdkafka's default is 45.
_CLASSIC = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500}

_OF_GROUPS = frozenset({"group.protocol", "group.protocol.type", "partition.assignment.strategy", "group.remote.assignor", *_CLASSIC})
"""What librdkafka refuses with the broker's protocol, or what follows from the protocol that was chosen."""
