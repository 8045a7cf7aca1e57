"""What all tests share: options, and a codec that knows every message type."""

from __future__ import annotations

import pytest
from hypothesis import settings

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.governance.ports import subject_of
from integration_fabric.governance.schema_files import read
from integration_fabric.messages.catalogue import BY_TOPIC

pytest_plugins = ["integration_fabric.testing.pytest_plugin"]

# no test is timed: an example that is slow once says more about the machine than about the code
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# -- options


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--store-url", default=None, help="also run the store suites on this database, e.g. postgresql+psycopg://localhost/test"
    )
    parser.addoption("--role-table", action="store_true", help="write what the role suites come to into connectors/README.md")


# -- the codec


@pytest.fixture(scope="session")
def registry() -> MemoryRegistry:
    """Every schema file is registered."""
    registry = MemoryRegistry()
    for kind in BY_TOPIC.values():
        registry.register(subject_of(kind), read(kind).text)
    return registry


@pytest.fixture(scope="session")
def codec(registry: MemoryRegistry) -> AvroCodec:
    """Writes and reads every message type."""
    codec = AvroCodec(registry)
    codec.prepare(tuple(BY_TOPIC.values()))
    return codec
