"""The backends that the suites run on: each suite is written once, against the port."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from broker_kit import KafkaKit, Kit, MemoryKit, unique
from store_kit import Stores, empty, memory_stores, open_database, sql_stores

from integration_fabric.backends.kafka.groups import GroupProtocol
from integration_fabric.backends.sql.database import Database
from integration_fabric.local import kafka, postgres
from integration_fabric.local.errors import LocalError
from integration_fabric.local.settings import LocalSettings

MakeUrl = Callable[[str], str]

# -- stores: memory, SQLite, a PostgreSQL of this session, and the database that --store-url names
# -- brokers: memory, and a Kafka of this session; where it matters how a group shares partitions out, with each protocol


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kit" in metafunc.fixturenames:
        protocols = list(GroupProtocol) if metafunc.definition.get_closest_marker("every_protocol") else ["kafka"]
        metafunc.parametrize("kit", ["memory", *(pytest.param(name, marks=pytest.mark.kafka) for name in protocols)], indirect=True)
    databases = ["sqlite", "postgresql", *(["named"] if metafunc.config.getoption("--store-url") else [])]
    if "stores" in metafunc.fixturenames:
        metafunc.parametrize("stores", ["memory", *databases], indirect=True)
    elif "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", databases, indirect=True)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of its own, gone at the end of the session."""
    settings = LocalSettings(state_dir=tmp_path_factory.mktemp("postgres"))
    yield postgres.up(settings, lambda _: None).url
    postgres.forget(settings)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store with its tables, to be copied: making the tables takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "store.sqlite"
    with open_database(f"sqlite:///{path}"):
        pass
    return path


@pytest.fixture
def make_url(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path) -> MakeUrl:
    def make(kind: str) -> str:
        if kind == "sqlite":
            shutil.copy(sqlite_template, path := tmp_path / "store.sqlite")
            return f"sqlite:///{path}"
        url: str = request.config.getoption("--store-url") if kind == "named" else request.getfixturevalue("postgres_url")
        empty(url)
        return url

    return make


@pytest.fixture
def database_url(request: pytest.FixtureRequest, make_url: MakeUrl) -> str:
    """The URL of an empty database."""
    return make_url(request.param)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """One connection to an empty database."""
    with open_database(database_url) as database:
        yield database


@pytest.fixture
def stores(request: pytest.FixtureRequest, make_url: MakeUrl) -> Iterator[Stores]:
    """Empty stores of each kind."""
    if request.param == "memory":
        yield memory_stores()
    else:
        with open_database(make_url(request.param)) as database:
            yield sql_stores(database)


# -- brokers


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka of its own, gone at the end of the session."""
    settings = LocalSettings(state_dir=tmp_path_factory.mktemp("kafka"))
    try:
        address = kafka.up(settings, lambda _: None)
    except LocalError as error:
        pytest.skip(f"no Kafka can be started here: {error}")
    yield address.bootstrap
    kafka.down(settings, lambda _: None)


@pytest.fixture
async def kit(request: pytest.FixtureRequest) -> AsyncIterator[Kit]:
    """A broker of each kind, and with the marker `every_protocol` a Kafka with each group protocol."""
    if request.param == "memory":
        yield MemoryKit()
        return
    protocol = request.param if isinstance(request.param, GroupProtocol) else GroupProtocol.CONSUMER
    kit = KafkaKit(request.getfixturevalue("kafka_bootstrap"), protocol)
    yield kit
    await kit.close()


@pytest.fixture
async def topic(kit: Kit) -> str:
    """A topic of one partition."""
    name = unique("topic")
    await kit.create_topic(name)
    return name


@pytest.fixture
async def wide_topic(kit: Kit) -> str:
    """A topic of two partitions."""
    name = unique("wide")
    await kit.create_topic(name, 2)
    return name


@pytest.fixture
def group() -> str:
    """A group that nobody else is in."""
    return unique("group")
