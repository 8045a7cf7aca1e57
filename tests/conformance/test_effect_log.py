"""`delivery.ports.EffectLog`: what each subscriber did with each message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from store_kit import ELSEWHERE, FENCE, HANDLED, HERE, STALE, Stores, sql_stores

from integration_fabric.backends.sql import database as sql_database
from integration_fabric.backends.sql.database import Database
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


async def test_messages_that_are_claimed_at_once_are_told_apart(stores: Stores) -> None:
    """Some new, one done, one open, in two partitions, and one whose partition is another's."""
    other, lost = Fence(FENCE.subscriber, FENCE.topic_id, FENCE.partition + 1, FENCE.epoch), STALE
    await stores.take()
    await stores.take(other)
    await claim(stores, "m-1")
    await settle(stores)
    await claim(stores, "open")
    fences = {"m-1": FENCE, "open": FENCE, "new-1": FENCE, "new-2": other, "lost": lost, "new-3": other}
    found = dict(
        zip(
            fences,
            await asyncio.gather(*(claim(stores, name, fence=fence) for name, fence in fences.items()), return_exceptions=True),
            strict=True,
        )
    )
    assert {name for name, answer in found.items() if answer == Fresh(0)} == {"new-1", "new-2", "new-3"}
    assert found["m-1"] == Remembered(HANDLED, same_record=True)
    assert isinstance(found["open"], Open)
    assert isinstance(found["lost"], Fenced)


async def test_a_message_that_is_claimed_twice_at_once_is_done_once(stores: Stores) -> None:
    await stores.take()
    first, second = await asyncio.gather(claim(stores), claim(stores))
    assert first == Fresh(0)
    assert isinstance(second, Open)
    assert MINUTE - timedelta(seconds=20) < second.remaining <= MINUTE


async def test_what_is_settled_at_once_is_kept_apart(stores: Stores) -> None:
    await stores.take()
    details = {f"m-{number}": Handled(OutcomeKind.APPLIED, detail=f"result {number}") for number in range(5)}
    await asyncio.gather(*(claim(stores, name) for name in details))
    await asyncio.gather(
        *(
            stores.effects.settle(FENCE, name, HERE, handled, state=EffectState.REFUSED if name == "m-2" else EffectState.DONE)
            for name, handled in details.items()
        )
    )
    for name, handled in details.items():
        assert await claim(stores, name) == Remembered(handled, same_record=True)


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
    await stores.effects.withdraw(FENCE, "m-1", HERE)
    assert await claim(stores) == Fresh(0)


async def test_what_is_done_cannot_be_taken_back(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await settle(stores)
    await stores.effects.withdraw(FENCE, "m-1", HERE)
    assert await claim(stores) == Remembered(HANDLED, same_record=True)


async def test_an_effect_given_up_is_open_still(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await stores.effects.give_up(FENCE, "m-1", HERE)
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
    await stores.effects.withdraw(FENCE, "m-1", HERE)
    found = await claim(stores)
    assert isinstance(found, Open)
    assert found.generation == 2
    assert found.remaining <= timedelta(0)


# -- one message by two records


async def seen_from_elsewhere(stores: Stores) -> Open:
    """The open intent, as another record of the same message finds it."""
    found = await stores.effects.claim(FENCE, "m-1", ELSEWHERE, within=MINUTE)
    assert isinstance(found, Open)
    return found


async def test_an_intent_that_is_as_it_was_seen_goes_over_to_another_record(stores: Stores) -> None:
    await stores.take()
    await claim(stores, within=timedelta(seconds=-100))
    seen = await seen_from_elsewhere(stores)
    assert await stores.effects.renew(FENCE, "m-1", ELSEWHERE, within=MINUTE, generation=0, mark=seen.mark)
    assert (await seen_from_elsewhere(stores)).remaining > timedelta(seconds=40)
    found = [await stores.effects.look(FENCE, "m-1", place) for place in (HERE, ELSEWHERE)]
    assert [isinstance(each, Open) and each.same_record for each in found] == [False, True]


async def test_of_two_that_saw_the_same_intent_one_renews_it(stores: Stores) -> None:
    await stores.take()
    await claim(stores, within=timedelta(seconds=-100))
    seen, third = await seen_from_elsewhere(stores), ELSEWHERE._replace(offset=9)
    renew = stores.effects.renew
    assert await renew(FENCE, "m-1", ELSEWHERE, within=MINUTE, generation=0, mark=seen.mark)
    assert not await renew(FENCE, "m-1", third, within=MINUTE, generation=0, mark=seen.mark)
    assert not await renew(FENCE, "m-1", HERE, within=MINUTE, generation=0), "it is no longer the first one's own"
    assert not await stores.effects.give_up(FENCE, "m-1", third, mark=seen.mark)


async def test_an_intent_that_nobody_looked_at_is_not_renewed_by_another(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    assert not await stores.effects.renew(FENCE, "m-1", ELSEWHERE, within=MINUTE, generation=0)
    assert await stores.effects.renew(FENCE, "m-1", HERE, within=MINUTE, generation=0)


async def test_an_intent_that_is_as_it_was_seen_is_given_up_by_another_record(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    seen = await seen_from_elsewhere(stores)
    assert await stores.effects.give_up(FENCE, "m-1", ELSEWHERE, mark=seen.mark)
    assert await stores.effects.renew(FENCE, "m-1", HERE, within=MINUTE, generation=0), "who it is of may still find out"


async def test_what_one_record_has_settled_another_does_not_settle_again(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    late = Handled(OutcomeKind.APPLIED, detail="late")
    assert await stores.effects.settle(FENCE, "m-1", ELSEWHERE, HANDLED, state=EffectState.DONE)
    assert not await stores.effects.settle(FENCE, "m-1", HERE, late, state=EffectState.DONE, links=(Link("order", "1", "s", "2"),))
    assert await stores.effects.claim(FENCE, "m-1", ELSEWHERE, within=MINUTE) == Remembered(HANDLED, same_record=True)
    assert await stores.cross_references.native("order", "1", "s") is None
    assert not await stores.effects.renew(FENCE, "m-1", HERE, within=MINUTE, generation=0)
    assert not await stores.effects.give_up(FENCE, "m-1", HERE)


async def test_of_those_that_are_settled_at_once_one_that_is_anothers_does_not_stop_the_rest(stores: Stores) -> None:
    await stores.take()
    names = [f"m-{number}" for number in range(4)]
    for name in names:
        await claim(stores, name)
    await stores.effects.settle(FENCE, "m-2", ELSEWHERE, HANDLED, state=EffectState.DONE)
    found = await asyncio.gather(*(stores.effects.settle(FENCE, name, HERE, HANDLED, state=EffectState.DONE) for name in names))
    assert found == [True, True, False, True]
    assert [await claim(stores, name) for name in names] == [Remembered(HANDLED, same_record=name != "m-2") for name in names]


async def test_the_same_record_settles_as_often_as_it_likes(stores: Stores) -> None:
    """The answer to the first was lost."""
    await stores.take()
    await claim(stores)
    for _ in range(2):
        assert await stores.effects.settle(FENCE, "m-1", HERE, HANDLED, state=EffectState.DONE)


async def test_what_was_answered_is_written_though_its_intent_is_gone(stores: Stores) -> None:
    await stores.take()
    assert await stores.effects.settle(FENCE, "m-1", HERE, HANDLED, state=EffectState.DONE, links=(Link("order", "1", "s", "2"),))
    assert await claim(stores) == Remembered(HANDLED, same_record=True)
    assert await stores.cross_references.native("order", "1", "s") == "2"


async def test_another_records_intent_is_not_taken_back(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await stores.effects.withdraw(FENCE, "m-1", ELSEWHERE)
    assert isinstance(await claim(stores), Open)


async def test_a_record_tells_what_it_has_begun_itself_from_what_another_has(stores: Stores) -> None:
    await stores.take()
    assert await stores.effects.look(FENCE, "m-1", HERE) is None
    await claim(stores)
    found = await stores.effects.look(FENCE, "m-1", HERE)
    assert isinstance(found, Open)
    assert found.same_record
    assert MINUTE - timedelta(seconds=20) < found.remaining <= MINUTE
    await settle(stores)
    assert await stores.effects.look(FENCE, "m-1", HERE) == Remembered(HANDLED, same_record=True)
    assert await stores.effects.look(FENCE, "m-1", ELSEWHERE) == Remembered(HANDLED, same_record=False)


async def test_what_a_redelivery_has_done_is_told_from_what_was_live(stores: Stores) -> None:
    await stores.take()
    await claim(stores)
    await stores.effects.settle(FENCE, "m-1", HERE, HANDLED, state=EffectState.DONE, redelivery=3)
    assert await stores.effects.look(FENCE, "m-1", HERE) == Remembered(HANDLED, same_record=True, redelivery=3)


async def test_what_became_of_messages_is_told_whoever_owns_their_partitions(stores: Stores) -> None:
    await stores.take()
    for message_id in ("m-1", "refused", "open", "unknown"):
        await claim(stores, message_id)
    await settle(stores)
    refused = Handled(OutcomeKind.APPLIED, detail="refused")
    await stores.effects.settle(FENCE, "refused", HERE, refused, state=EffectState.REFUSED)
    await stores.effects.give_up(FENCE, "unknown", HERE)
    await stores.take(Fence(FENCE.subscriber, FENCE.topic_id, FENCE.partition, FENCE.epoch + 1), "worker-2")

    found = await stores.effects.recall(FENCE.subscriber, ["m-1", "refused", "open", "unknown", "never seen"])

    assert found == {"m-1": HANDLED, "refused": refused, "open": None, "unknown": None}
    assert await stores.effects.recall("another", ["m-1"]) == {}
    assert await stores.effects.recall(FENCE.subscriber, []) == {}


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


# -- pruning

AGED = timedelta(seconds=-5)
"""Everything is older than that, whatever the database's clock is rounded to."""


async def settled(stores: Stores, offset: int, *, state: EffectState = EffectState.DONE, fence: Fence = FENCE) -> str:
    """Something that was carried out for the record at an offset."""
    message_id, place = f"{fence.topic_id}-{fence.partition}-{offset}", HERE._replace(partition=fence.partition, offset=offset)
    assert await stores.effects.claim(fence, message_id, place, within=MINUTE) == Fresh(0)
    await stores.effects.settle(fence, message_id, place, HANDLED, state=state)
    return message_id


async def known(stores: Stores, message_ids: list[str], *, fence: Fence = FENCE) -> list[str]:
    """Those that are remembered, asked for from elsewhere; what is not is an intent from now on."""
    found = {message_id: await stores.effects.claim(fence, message_id, ELSEWHERE, within=MINUTE) for message_id in message_ids}
    return [message_id for message_id, claim in found.items() if claim == Remembered(HANDLED, same_record=False)]


async def test_what_is_done_or_refused_below_the_base_is_forgotten_and_nothing_else(stores: Stores) -> None:
    await stores.take()
    done, refused, at_base, above = [
        await settled(stores, offset, state=state)
        for offset, state in ((1, EffectState.DONE), (2, EffectState.REFUSED), (3, EffectState.DONE), (4, EffectState.DONE))
    ]
    assert await stores.effects.prune(FENCE, below=3, older_than=AGED) == 2
    assert await known(stores, [done, refused, at_base, above]) == [at_base, above]
    assert await stores.effects.prune(FENCE, below=3, older_than=AGED) == 0


async def test_what_is_not_old_enough_is_kept(stores: Stores) -> None:
    await stores.take()
    recent = await settled(stores, 1)
    assert await stores.effects.prune(FENCE, below=100, older_than=MINUTE) == 0
    assert await known(stores, [recent]) == [recent]


async def test_what_nobody_knows_the_end_of_is_kept_however_old(stores: Stores) -> None:
    await stores.take()
    for message_id in ("intent", "unknown", "renewed"):
        await claim(stores, message_id, within=timedelta(days=-100))
    await stores.effects.give_up(FENCE, "unknown", HERE)
    await stores.effects.renew(FENCE, "renewed", HERE, within=timedelta(days=-100), generation=3)
    assert await stores.effects.prune(FENCE, below=100, older_than=AGED) == 0
    assert [type(await claim(stores, message_id)) for message_id in ("intent", "unknown", "renewed")] == [Open, Open, Open]


async def test_other_partitions_topics_and_subscribers_are_left_alone(stores: Stores) -> None:
    others = [Fence(FENCE.subscriber, FENCE.topic_id, 4, 5), Fence(FENCE.subscriber, "topic-2", 3, 5), Fence("other", FENCE.topic_id, 3, 5)]
    for fence in (FENCE, *others):
        await stores.take(fence)
    mine = await settled(stores, 1)
    theirs = {fence: await settled(stores, 1, fence=fence) for fence in others if fence.subscriber == FENCE.subscriber}
    theirs[others[2]] = mine
    await stores.effects.claim(others[2], mine, HERE, within=MINUTE)
    await stores.effects.settle(others[2], mine, HERE, HANDLED, state=EffectState.DONE)
    assert await stores.effects.prune(FENCE, below=100, older_than=AGED) == 1
    assert [await known(stores, [message_id], fence=fence) for fence, message_id in theirs.items()] == [[each] for each in theirs.values()]


async def test_no_more_are_forgotten_at_once_than_asked_for_and_the_lowest_first(stores: Stores) -> None:
    await stores.take()
    for message_id in ("x-1", "x-2", "x-3"):  # what is open is in nobody's way
        await stores.effects.claim(FENCE, message_id, HERE._replace(offset=0), within=MINUTE)
    done = [await settled(stores, offset) for offset in (5, 3, 4, 1, 2)]
    assert await stores.effects.prune(FENCE, below=100, older_than=AGED, limit=2) == 2
    assert await known(stores, done) == done[:3]
    assert await stores.effects.prune(FENCE, below=100, older_than=AGED, limit=2) == 2
    assert await stores.effects.prune(FENCE, below=100, older_than=AGED, limit=2) == 1


async def test_what_another_worker_took_over_is_not_ours_to_forget(stores: Stores) -> None:
    await stores.take()
    done = await settled(stores, 1)
    with pytest.raises(Fenced):
        await stores.effects.prune(STALE, below=100, older_than=AGED)
    assert await known(stores, [done]) == [done]


Write = Callable[[EffectLog, Fence], Awaitable[object]]
WRITES: dict[str, Write] = {
    "claim": lambda log, fence: log.claim(fence, "m-1", HERE, within=MINUTE),
    "claim another": lambda log, fence: log.claim(fence, "m-2", HERE, within=MINUTE),
    "look": lambda log, fence: log.look(fence, "m-1", HERE),
    "renew": lambda log, fence: log.renew(fence, "m-1", HERE, within=MINUTE, generation=9),
    "settle": lambda log, fence: log.settle(fence, "m-1", HERE, HANDLED, state=EffectState.DONE, links=(Link("order", "1", "s", "2"),)),
    "withdraw": lambda log, fence: log.withdraw(fence, "m-1", HERE),
    "give up": lambda log, fence: log.give_up(fence, "m-1", HERE),
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


async def test_what_is_claimed_and_settled_together_is_written_together(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by itself would take five times as long; that it is right all the same would hide it."""
    stores = sql_stores(database)
    await stores.take()

    def alone(_: object, work: object) -> None:
        raise AssertionError(f"tried alone: {work}")

    monkeypatch.setattr(sql_database, "_tried", alone)
    log, places = stores.effects, [ELSEWHERE._replace(offset=offset) for offset in range(20)]
    claims = await asyncio.gather(*(log.claim(FENCE, f"m-{place.offset}", place, within=MINUTE) for place in places))
    assert claims == [Fresh(0)] * 20
    settled = [log.settle(FENCE, f"m-{place.offset}", place, HANDLED, state=EffectState.DONE) for place in places]
    assert list(await asyncio.gather(*settled)) == [True] * 20
