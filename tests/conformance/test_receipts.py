"""`connector_kit.ports.Receipts` on every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from store_kit import Stores

from integration_fabric.connector_kit.ports import Receipt, ReceiptState
from integration_fabric.messages.ids import System

AT = datetime(2026, 1, 5, 9, 0, 0, 123000, tzinfo=UTC)
RECEIPT = Receipt("r-1", System("stripe"), AT, ReceiptState.PUBLISHED, ("m-1", "m-2"))


async def test_a_receipt_is_found_as_it_was_kept(stores: Stores) -> None:
    assert await stores.receipts.find("r-1") is None
    await stores.receipts.keep(RECEIPT)
    assert await stores.receipts.find("r-1") == RECEIPT


async def test_one_that_is_kept_again_keeps_when_it_came_first(stores: Stores) -> None:
    await stores.receipts.keep(replace(RECEIPT, state=ReceiptState.QUARANTINED, code="vendor-drift", problem="a.b: no"))
    await stores.receipts.keep(replace(RECEIPT, received_at=AT + timedelta(hours=1)))
    assert await stores.receipts.find("r-1") == RECEIPT


async def test_any_text_is_kept(stores: Stores) -> None:
    await stores.receipts.keep(replace(RECEIPT, problem="nul \x00, half a letter \ud83d"))
    found = await stores.receipts.find("r-1")
    assert found is not None
    assert found.problem.startswith("nul ")


async def test_old_ones_are_let_go_of(stores: Stores) -> None:
    await stores.receipts.keep(RECEIPT)
    await stores.receipts.keep(replace(RECEIPT, id="r-2", received_at=AT + timedelta(days=36)))
    assert await stores.receipts.find("r-1") is None


async def test_events_that_were_published_are_known_whichever_payload_told_of_them(stores: Stores) -> None:
    await stores.receipts.keep(RECEIPT)
    await stores.receipts.keep(replace(RECEIPT, id="r-2", messages=("m-2", "m-3")))
    await stores.receipts.keep(replace(RECEIPT, id="r-3", messages=("dead-1",), state=ReceiptState.QUARANTINED))
    assert set(await stores.receipts.published(["m-1", "m-2", "m-3", "m-4", "dead-1"])) == {"m-1", "m-2", "m-3"}


async def test_they_are_forgotten_with_their_receipts(stores: Stores) -> None:
    await stores.receipts.keep(RECEIPT)
    await stores.receipts.keep(replace(RECEIPT, id="r-2", received_at=AT + timedelta(days=36), messages=("m-3",)))
    assert set(await stores.receipts.published(["m-1", "m-3"])) == {"m-3"}
