"""What all Kafka clients share: settings that pass through, those that must not, and a log that does not flood."""

from __future__ import annotations

import logging

import pytest

from integration_fabric.backends.kafka import client
from integration_fabric.backends.kafka.client import LOGGER, client_configuration
from integration_fabric.messages.errors import UsageProblem


def test_security_settings_pass_through() -> None:
    security = {"security.protocol": "sasl_ssl", "sasl.username": "fabric"}
    configuration = client_configuration("a:9092,b:9092", security=security)
    assert configuration.items() >= {**security, "bootstrap.servers": "a:9092,b:9092", "logger": LOGGER}.items()


OURS = ("bootstrap.servers", "group.id", "group.protocol", "transactional.id", "enable.auto.commit", "enable.idempotence", "logger")


@pytest.mark.parametrize("key", OURS)
def test_what_guarantees_depend_on_cannot_be_set(key: str) -> None:
    with pytest.raises(UsageProblem, match=f"FABRIC_KAFKA__SECURITY: {key} cannot be set here"):
        client_configuration("a:9092", security={key: "x"})


def test_a_line_that_repeats_is_written_once_a_minute(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        for attempt in range(100):
            LOGGER.error("connect to %s failed (after %dms)", "broker", attempt)
        LOGGER.error("another matter")
        assert [record.getMessage() for record in caplog.records] == ["connect to broker failed (after 0ms)", "another matter"]
        now_s += client.REPEATED_AFTER_S
        LOGGER.error("connect to %s failed (after %dms)", "broker", 1)
    assert len(caplog.records) == 3
