"""One Kafka for all conformance suites that have a backend on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration_fabric.local import kafka
from integration_fabric.local.errors import LocalError
from integration_fabric.local.settings import LocalSettings


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Kafka that was started for this run of the tests. All share it: give topics names that nobody else uses."""
    settings = LocalSettings(state_dir=tmp_path_factory.mktemp("kafka"))
    try:
        address = kafka.up(settings, lambda _: None)
    except LocalError as error:
        pytest.skip(f"no Kafka can be started here: {error}")
    yield address.bootstrap
    kafka.down(settings, lambda _: None)
