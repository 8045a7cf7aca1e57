"""`kill -9` of each worker in turn, in the middle of the work: every system shows exactly one of each, counted by asking the systems."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import survive, victims

from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.local_vendors import Landscape

SEED = int(os.environ.get("CHAOS_SEED", "7"))


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_200_quotes_on_simulators_survive_the_death_of_each_worker(state_dir: Path, server_store: Store) -> None:
    print(f"CHAOS_SEED={SEED}")
    async with victims(Landscape.SIMULATORS, SEED, server_store) as found:
        await survive(found, 200, per_s=10, every_s=4, within_s=120)


@pytest.mark.kafka
@pytest.mark.tryton
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_20_quotes_on_a_real_erp_survive_the_death_of_each_worker(state_dir: Path) -> None:
    print(f"CHAOS_SEED={SEED}")
    async with victims(Landscape.TRYTON, SEED, Store.SQLITE) as found:
        await survive(found, 20, per_s=1, every_s=4, within_s=120)
