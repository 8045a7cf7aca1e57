"""What a scenario test is given: the `world` fixture, in memory, or with `--real` on Kafka, a store, Tryton, localstripe and a helpdesk.

Use it with `pytest_plugins = ["integration_fabric.testing.pytest_plugin"]` in the topmost conftest.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from integration_fabric.testing.clock import ForwardClock
from integration_fabric.testing.world import World, running_world
from integration_fabric.wiring import local_systems
from integration_fabric.wiring.contracts import apply_topics, push_schemas
from integration_fabric.wiring.drivers import open_drivers
from integration_fabric.wiring.fabric import open_fabric
from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.local_vendors import Landscape
from integration_fabric.wiring.memory import open_memory_fabric
from integration_fabric.wiring.samples import landscape
from integration_fabric.wiring.settings import Settings, load

REAL, STORE = "--real", "--store"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--real` and `--store`."""
    parser.addoption(REAL, action="store_true", help="run scenarios on Apache Kafka, a store and Tryton instead of in memory")
    parser.addoption(STORE, choices=[*Store], default=Store.SQLITE.value, help="the store of a real run (default: %(default)s)")


@pytest.fixture(scope="session")
def is_real(request: pytest.FixtureRequest) -> bool:
    """Whether scenarios run on the real things."""
    return bool(request.config.getoption(REAL))


@pytest.fixture(scope="session")
def landscape_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of this run's local landscape; settings point there."""
    state = tmp_path_factory.mktemp("landscape")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FABRIC_LOCAL_STATE_DIR", str(state))
        patch.setenv("FABRIC_CONFIG", str(state / "fabric.toml"))
        yield state


@pytest.fixture(scope="session")
def landscape_settings(landscape_dir: Path, is_real: bool, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """A running landscape: simulators alone, or Kafka and the real systems too."""
    assert landscape_dir.exists()
    if is_real:
        local_systems.up(Landscape.REAL, lambda _: None, store=Store(request.config.getoption(STORE)))
    else:
        local_systems.simulators_up(lambda _: None)
    try:
        settings = load()
        if is_real:
            apply_topics(settings)
            push_schemas(settings)
        asyncio.run(_load(settings))
        yield settings
    finally:
        local_systems.forget(lambda _: None)


async def _load(settings: Settings) -> None:
    async with open_drivers(settings) as drivers:
        await drivers.load_master_data(landscape())


@pytest_asyncio.fixture
async def world(landscape_settings: Settings, is_real: bool) -> AsyncIterator[World]:
    """Systems and the fabric between them, everything running; faults are switched off again at the end."""
    clock = ForwardClock()
    async with AsyncExitStack() as stack:
        drivers = await stack.enter_async_context(open_drivers(landscape_settings))
        opened = (
            open_fabric(landscape_settings, parts=("all",), clock=clock) if is_real else open_memory_fabric(landscape_settings, clock=clock)
        )
        fabric = await stack.enter_async_context(opened)
        found = await stack.enter_async_context(running_world(fabric, drivers, clock))
        try:
            yield found
        finally:
            await drivers.faultless()
