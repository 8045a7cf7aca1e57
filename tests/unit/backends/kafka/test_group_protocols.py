"""What librdkafka is told of each group protocol: it makes a consumer of it, whatever else stands in the settings."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer

from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.groups import GroupProtocol
from integration_fabric.wiring.settings import load

CLASSIC_ONLY = {"session.timeout.ms": "9000", "heartbeat.interval.ms": "700"}
"""Accepted among security settings, and refused by librdkafka with the broker's protocol."""


@pytest.mark.parametrize("protocol", list(GroupProtocol))
def test_librdkafka_takes_it_whatever_else_is_set(protocol: GroupProtocol) -> None:
    config = protocol.configure({**client_configuration("127.0.0.1:1", security=CLASSIC_ONLY), "group.remote.assignor": "range"})
    Consumer({**config, "group.id": "g"}).close()
    assert config["bootstrap.servers"] == "127.0.0.1:1"


def test_what_the_brokers_protocol_refuses_is_taken_out_and_kept_for_the_others() -> None:
    config = client_configuration("127.0.0.1:1", security=CLASSIC_ONLY)
    assert not GroupProtocol.CONSUMER.configure(config).keys() & CLASSIC_ONLY.keys()
    assert GroupProtocol.EAGER.configure(config).items() >= CLASSIC_ONLY.items()


def test_each_is_told_apart() -> None:
    told = {
        (settings["group.protocol"], settings.get("partition.assignment.strategy"))
        for settings in map(GroupProtocol.settings, GroupProtocol)
    }
    assert told == {("consumer", None), ("classic", "cooperative-sticky"), ("classic", "range")}
    assert [protocol for protocol in GroupProtocol if not protocol.is_incremental] == [GroupProtocol.EAGER]


def test_it_is_chosen_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().kafka.group_protocol is GroupProtocol.CONSUMER
    monkeypatch.setenv("FABRIC_KAFKA__GROUP_PROTOCOL", "cooperative")
    assert load().kafka.group_protocol is GroupProtocol.COOPERATIVE
