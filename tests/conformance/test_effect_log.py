"""`delivery.ports.EffectLog`: what each subscriber did with each message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from store_kit import ELSEWHERE, FENCE, HANDLED, HERE, STALE, Stores

from integration_fabric.delivery.ports import Claim, EffectLog, EffectState, Fresh, Link, Open, Remembered
from integration_fabric.messages.errors import Fenced
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.subscriber import Handled

MINUTE = timedelta(minutes=1)


async def claim(stores: Stores, message_id: str = "m-1", *, fence: Fence = FENCE, within: timedelta = MINUTE) -> Claim:
    return await stores.effects.claim(fence, message_id, HERE, within=within)


async def settle(
    stores: Stores, handled: Handled = HANDLED, *, state: EffectState = EffectState.DONE, links: tuple[Link, ...] = ()
) -> None:
    await stores.effects.settle(FENCE, "m-1", HERE, handled, state=state, links=links)


async def test_a_new_message_is_ours_to_do(stores: Stores) -> None:
    await stores.take()
    assert await claim(stores) == Fresh(0)


async def test_an_intent_without_an_end_is_open_until_its_deadline(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    again = await claim(stores)
    assert isinstance(again, Open)
    assert again.generation == 0
    assert MINUTE - timedelta(seconds=20) < again.remaining <= MINUTE


async def test_past_its_deadline_nothing_remains(stores: Stores) -> None:
    await stores.take()
    await claim(stores, within=timedelta(seconds=-5))
    again = await claim(stores)
    assert isinstance(again, Open)
    assert again.remaining <= timedelta(seconds=-5)


@pytest.mark.parametrize("state", [EffectState.DONE, EffectState.REFUSED])
async def test_what_was_done_is_remembered_with_its_outputs_byte_for_byte(stores: Stores, state: EffectState) -> None:
    await stores.take()
    await claim(stores)
    await settle(stores, state=state)
    assert await claim(stores) == Remembered(HANDLED, same_record=True)


async def test_a_result_without_outputs_is_a_result(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await settle(stores, Handled(OutcomeKind.SUPERSEDED, detail="newer"))
    assert await claim(stores) == Remembered(Handled(OutcomeKind.SUPERSEDED, detail="newer"), same_record=True)


async def test_what_was_done_is_written_whatever_its_detail_holds(stores: Stores) -> None:
    """The call was made: a letter that the database does not take must not keep us from saying so."""
    await stores.take()
    await claim(stores)
    await settle(stores, Handled(OutcomeKind.APPLIED, HANDLED.outputs, "nul \x00, half \ud800", HANDLED.output_types))
    again = await claim(stores)
    assert isinstance(again, Remembered)
    assert again.handled.outputs == HANDLED.outputs


async def test_the_same_message_from_another_position_is_told_apart(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await settle(stores)
    found = await stores.effects.claim(FENCE, "m-1", ELSEWHERE, within=MINUTE)
    assert found == Remembered(HANDLED, same_record=False)


async def test_the_same_offset_of_a_topic_made_again_is_another_position(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await settle(stores)
    again = Fence(FENCE.subscriber, "topic-2", FENCE.partition, 1)
    await stores.take(again)
    assert await claim(stores, fence=again) == Remembered(HANDLED, same_record=False)


async def test_whoever_takes_over_finds_what_was_done(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await settle(stores)
    successor = Fence(FENCE.subscriber, FENCE.topic_id, FENCE.partition, 6)
    await stores.take(successor)
    assert await claim(stores, fence=successor) == Remembered(HANDLED, same_record=True)


async def test_an_intent_that_is_taken_back_never_was(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await stores.effects.withdraw(FENCE, "m-1")
    assert await claim(stores) == Fresh(0)


async def test_what_is_done_cannot_be_taken_back(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await settle(stores)
    await stores.effects.withdraw(FENCE, "m-1")
    assert await claim(stores) == Remembered(HANDLED, same_record=True)


async def test_an_effect_given_up_is_open_still(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await stores.effects.give_up(FENCE, "m-1")
    assert isinstance(await claim(stores), Open)


async def test_an_intent_is_renewed_with_a_deadline_and_a_generation(stores: Stores) -> None:
    await stores.take()
    await claim(stores, within=timedelta(seconds=-100))
    await stores.effects.renew(FENCE, "m-1", HERE, within=MINUTE, generation=2)
    found = await claim(stores)
    assert isinstance(found, Open)
    assert found.generation == 2
    assert found.remaining > timedelta(seconds=40)


async def test_a_renewed_intent_that_is_taken_back_keeps_its_generation_and_waits_for_nothing(stores: Stores) -> None:
    """A generation is never used again for another effect."""
    await stores.take()
    await claim(stores)
    await stores.effects.renew(FENCE, "m-1", HERE, within=MINUTE, generation=2)
    await stores.effects.withdraw(FENCE, "m-1")
    found = await claim(stores)
    assert isinstance(found, Open)
    assert found.generation == 2
    assert found.remaining <= timedelta(0)


async def test_subscribers_do_not_see_each_others_effects(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await settle(stores)
    other = Fence("other", FENCE.topic_id, FENCE.partition, 1)
    await stores.take(other)
    assert await claim(stores, fence=other) == Fresh(0)


async def test_cross_references_are_written_with_the_effect(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await settle(stores, links=(Link("order", "SO-1", "tryton", "17"),))
    assert await stores.cross_references.native("order", "SO-1", "tryton") == "17"
    assert await stores.cross_references.canonical("order", "17", "tryton") == "SO-1"


async def test_a_native_id_that_belongs_to_another_does_not_undo_what_happened(stores: Stores) -> None:
    await stores.take()
    await stores.cross_references.link("order", "SO-0", "tryton", "17")
    await claim(stores)
    await settle(stores, links=(Link("order", "SO-1", "tryton", "17"),))
    assert await claim(stores) == Remembered(HANDLED, same_record=True)
    assert await stores.cross_references.canonical("order", "17", "tryton") == "SO-0"


Write = Callable[[EffectLog, Fence], Awaitable[object]]
WRITES: dict[str, Write] = {
    "claim": lambda log, fence: log.claim(fence, "m-1", HERE, within=MINUTE),
    "claim another": lambda log, fence: log.claim(fence, "m-2", HERE, within=MINUTE),
    "renew": lambda log, fence: log.renew(fence, "m-1", HERE, within=MINUTE, generation=9),
    "settle": lambda log, fence: log.settle(fence, "m-1", HERE, HANDLED, state=EffectState.DONE, links=(Link("order", "1", "s", "2"),)),
    "withdraw": lambda log, fence: log.withdraw(fence, "m-1"),
    "give up": lambda log, fence: log.give_up(fence, "m-1"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_an_old_epoch_writes_nothing(stores: Stores, write: Write) -> None:
    await stores.take()
    await claim(stores)
    with pytest.raises(Fenced):
        await write(stores.effects, STALE)
    found = await claim(stores)
    assert isinstance(found, Open)
    assert found.generation == 0
    assert await claim(stores, "m-2") == Fresh(0)
    assert await stores.cross_references.native("order", "1", "s") is None
