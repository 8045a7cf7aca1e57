"""`canonical.ports.CrossReferences`: canonical id and a system's own."""

from __future__ import annotations

import pytest
from store_kit import Stores

from integration_fabric.messages.errors import Conflict


async def test_what_nobody_linked_is_not_known(stores: Stores) -> None:
    assert await stores.cross_references.native("order", "SO-1", "tryton") is None
    assert await stores.cross_references.canonical("order", "17", "tryton") is None


async def test_a_link_is_found_from_both_sides(stores: Stores) -> None:
    await stores.cross_references.link("order", "SO-1", "tryton", "17")
    assert await stores.cross_references.native("order", "SO-1", "tryton") == "17"
    assert await stores.cross_references.canonical("order", "17", "tryton") == "SO-1"


async def test_linking_twice_changes_nothing(stores: Stores) -> None:
    for _ in range(2):
        await stores.cross_references.link("order", "SO-1", "tryton", "17")
    assert await stores.cross_references.native("order", "SO-1", "tryton") == "17"


async def test_systems_and_entities_have_ids_of_their_own(stores: Stores) -> None:
    await stores.cross_references.link("order", "SO-1", "tryton-no", "17")
    await stores.cross_references.link("order", "SO-1", "tryton-us", "17")
    await stores.cross_references.link("customer", "C-1", "tryton-no", "17")
    assert await stores.cross_references.canonical("customer", "17", "tryton-no") == "C-1"
    assert await stores.cross_references.canonical("order", "17", "tryton-us") == "SO-1"


async def test_a_native_id_belongs_to_one(stores: Stores) -> None:
    await stores.cross_references.link("order", "SO-1", "tryton", "17")
    with pytest.raises(Conflict, match="order 17 of tryton belongs to SO-1, not to SO-2"):
        await stores.cross_references.link("order", "SO-2", "tryton", "17")
    assert await stores.cross_references.canonical("order", "17", "tryton") == "SO-1"
    assert await stores.cross_references.native("order", "SO-2", "tryton") is None


async def test_a_record_made_anew_in_the_system_takes_the_old_ones_place(stores: Stores) -> None:
    await stores.cross_references.link("order", "SO-1", "tryton", "17")
    await stores.cross_references.link("order", "SO-1", "tryton", "18")
    assert await stores.cross_references.native("order", "SO-1", "tryton") == "18"
    assert await stores.cross_references.canonical("order", "17", "tryton") is None
