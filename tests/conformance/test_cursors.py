"""`connector_kit.ports.Cursors`: how far each poller has published."""

from __future__ import annotations

from store_kit import Stores


async def test_a_new_poller_has_no_cursor(stores: Stores) -> None:
    assert await stores.cursors.load("tryton.changes") is None


async def test_a_cursor_moves_and_others_do_not(stores: Stores) -> None:
    await stores.cursors.save("tryton.changes", "2026-01-05T09:00:00Z/17")
    await stores.cursors.save("stripe.changes", "")
    await stores.cursors.save("tryton.changes", "2026-01-05T09:00:01Z/18")
    assert await stores.cursors.load("tryton.changes") == "2026-01-05T09:00:01Z/18"
    assert await stores.cursors.load("stripe.changes") == ""
