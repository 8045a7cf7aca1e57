"""`kill -9` of each worker and of the gateway in turn, in the middle of the work: every system shows exactly one of each.

Counted by asking the systems; money agrees between billing and ERP to the cent.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import survive, unruly, victims

from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.local_vendors import Landscape

SEED = int(os.environ.get("CHAOS_SEED", "7"))
QUOTES = int(os.environ.get("CHAOS_QUOTES", "100"))
"""Five hundred take a quarter of an hour."""


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_quotes_with_payments_survive_kills_and_every_fault(state_dir: Path) -> None:
    """On simulators, each with two of a hundred calls failing in each way that there is, on PostgreSQL."""
    print(f"CHAOS_SEED={SEED} CHAOS_QUOTES={QUOTES}")
    async with victims(Landscape.SIMULATORS, SEED, store=Store.POSTGRESQL) as found:
        await unruly(found, 0.02)
        await survive(found, QUOTES, per_s=6, every_s=max(10, QUOTES / 12), within_s=900, failing=10)


@pytest.mark.kafka
@pytest.mark.tryton
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_quotes_with_payments_on_real_systems_survive_kills(state_dir: Path) -> None:
    """Tryton, localstripe and django-helpdesk, on SQLite."""
    print(f"CHAOS_SEED={SEED}")
    async with victims(Landscape.REAL, SEED) as found:
        await survive(found, 50, per_s=1, every_s=6, within_s=420, failing=3)
