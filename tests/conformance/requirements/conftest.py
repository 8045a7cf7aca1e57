"""A site on a real Kafka, with each of the group protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from broker_kit import KafkaKit
from site_of_workers import Site
from store_kit import open_database

from integration_fabric.backends.kafka.groups import GroupProtocol
from integration_fabric.backends.sql.database import Database


@pytest.fixture(params=[pytest.param(protocol, marks=pytest.mark.kafka, id=protocol.value) for protocol in GroupProtocol])
def protocol(request: pytest.FixtureRequest) -> GroupProtocol:
    """How the group shares its partitions out."""
    found: GroupProtocol = request.param
    return found


@pytest.fixture
async def kafka_kit(kafka_bootstrap: str, protocol: GroupProtocol) -> AsyncIterator[KafkaKit]:
    kit = KafkaKit(kafka_bootstrap, protocol)
    yield kit
    await kit.close()


@pytest.fixture
def store(make_url: Callable[[str], str]) -> Iterator[Database]:
    """A SQLite of its own."""
    with open_database(make_url("sqlite")) as database:
        yield database


@pytest.fixture
async def site(kafka_kit: KafkaKit, store: Database) -> AsyncIterator[Site]:
    """Two partitions, nobody at work yet."""
    site = Site(kafka_kit, store)
    await site.make_topics()
    yield site
    await site.close()
