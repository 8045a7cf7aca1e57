"""`process_engine.ports.Instances`: process instances and the inbox of their subscriber, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from store_kit import ELSEWHERE, FENCE, HANDLED, HERE, STALE, Stores

from integration_fabric.canonical.entities import EntityRef
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.errors import DataProblem, Fenced
from integration_fabric.messages.fabric import ProcessState
from integration_fabric.messages.ids import LegalEntity, MessageId
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.messages.problems import Problem
from integration_fabric.process_engine.definition import Received
from integration_fabric.process_engine.ports import Desk, DueTimer
from integration_fabric.process_engine.state import Instance, StepState, StepStatus, Timer
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.runtime.subscriber import Handled

PROCESS = "quote-to-activation"
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
TAX_CODE = EntityRef("tax-code", "VAT25")
PROBLEM = Problem(entity="tax-code", id="VAT25", field="lines[0].tax_code", code="unknown-tax-code", hint="add it")


def instance(key: str = "Q-1", *, process: str = PROCESS, since: datetime = NOW, state: ProcessState = ProcessState.RUNNING) -> Instance:
    return Instance(process, 1, key, "c-1", "no", {"quote": key, "customer": "C-4"}, since, state=state)


def held(key: str = "Q-1", *, since: datetime = NOW) -> Instance:
    step = StepState("validate", StepStatus.HELD, 2, MessageId("cmd-1"), NOW, problems=(PROBLEM,))
    return replace(instance(key, since=since, state=ProcessState.HELD), steps={"validate": step})


async def at_desk(stores: Stores, work: Callable[[Desk], object], *, message_id: str, process: str = PROCESS) -> object:
    """Do something in a transaction of its own."""
    found: list[object] = []

    def decide(desk: Desk) -> Handled:
        found.append(work(desk))
        return HANDLED

    await stores.instances.handle(FENCE, MessageId(message_id), HERE, process=process, decide=decide)
    return found[0]


async def save(
    stores: Stores,
    *instances: Instance,
    sent: Sequence[str] = (),
    timers: Sequence[Timer] = (),
    process: str = PROCESS,
    message_id: str = "save",
) -> None:
    def work(desk: Desk) -> None:
        for item in instances:
            desk.save(item, sent=[MessageId(command) for command in sent], timers=timers)

    await at_desk(stores, work, message_id=message_id, process=process)


@pytest.fixture(autouse=True)
async def ours(stores: Stores) -> None:
    await stores.take()


# -- the inbox


async def test_a_message_is_decided_once_and_its_outputs_are_kept(stores: Stores) -> None:
    decided: list[Desk] = []

    def decide(desk: Desk) -> Handled:
        decided.append(desk)
        return HANDLED

    for _ in range(3):
        assert await stores.instances.handle(FENCE, MessageId("m-1"), HERE, process=PROCESS, decide=decide) == HANDLED
    assert len(decided) == 1


async def test_the_same_message_from_another_position_is_a_duplicate_and_puts_nothing_out(stores: Stores) -> None:
    await save(stores, instance(), message_id="m-1")
    found = await stores.instances.handle(FENCE, MessageId("m-1"), ELSEWHERE, process=PROCESS, decide=never)
    assert (found.kind, found.outputs) == (OutcomeKind.DUPLICATE, ())


async def test_a_record_finds_what_it_has_brought_about_itself(stores: Stores) -> None:
    assert await stores.instances.handled(FENCE, MessageId("m-1"), HERE) is None
    await save(stores, instance(), message_id="m-1")
    handled = await stores.instances.handle(FENCE, MessageId("m-1"), HERE, process=PROCESS, decide=never)
    assert await stores.instances.handled(FENCE, MessageId("m-1"), HERE) == handled
    assert await stores.instances.handled(FENCE, MessageId("m-1"), ELSEWHERE) is None
    with pytest.raises(Fenced):
        await stores.instances.handled(STALE, MessageId("m-1"), HERE)


async def test_a_decision_that_fails_changes_nothing(stores: Stores) -> None:
    def fail(desk: Desk) -> Handled:
        desk.save(held("Q-2"), sent=[MessageId("cmd-9")], timers=[Timer("validate", 1, NOW)])
        desk.save(replace(instance(), state=ProcessState.COMPLETED), sent=(), timers=())
        desk.note_change(TAX_CODE, NOW)
        raise DataProblem(field="f", value="v", hint="h")

    await save(stores, instance())
    with pytest.raises(DataProblem):
        await stores.instances.handle(FENCE, MessageId("m-1"), HERE, process=PROCESS, decide=fail)

    def look(desk: Desk) -> object:
        before = desk.by_key("Q-1")
        return (
            before and before.state,
            desk.by_key("Q-2"),
            desk.by_command(MessageId("cmd-9")),
            desk.changed_at(TAX_CODE),
            desk.held_on(TAX_CODE),
        )

    assert await at_desk(stores, look, message_id="look") == (ProcessState.RUNNING, None, None, None, [])
    assert list(await stores.instances.due(PROCESS, NOW, 10)) == []
    assert await stores.instances.handle(FENCE, MessageId("m-1"), HERE, process=PROCESS, decide=lambda _: HANDLED) == HANDLED


async def test_an_old_epoch_decides_nothing(stores: Stores) -> None:
    with pytest.raises(Fenced):
        await stores.instances.handle(STALE, MessageId("m-1"), HERE, process=PROCESS, decide=never)


def never(_: Desk) -> Handled:
    raise AssertionError("decided")


# -- the desk


async def test_an_instance_is_found_by_key_id_and_command(stores: Stores) -> None:
    await save(stores, instance(), sent=["cmd-1", "cmd-2"])

    def look(desk: Desk) -> list[str | None]:
        found = [desk.by_key("Q-1"), desk.by_id(instance().id), desk.by_command(MessageId("cmd-2")), desk.by_command(MessageId("cmd-3"))]
        return [item.id if item else None for item in found]

    assert await at_desk(stores, look, message_id="look") == [instance().id] * 3 + [None]


async def test_an_instance_comes_back_as_it_was_saved(stores: Stores) -> None:
    event = TaxCodeChanged(tax_code="VAT25", name="VAT", rate=Decimal("0.2500"), legal_entity=LegalEntity("no"), aggregate_version=7)
    saved = replace(held(), received=Received({TaxCodeChanged: event}))
    await save(stores, saved)
    found = await at_desk(stores, lambda desk: desk.by_key("Q-1"), message_id="look")
    assert isinstance(found, Instance)
    assert found.received[TaxCodeChanged] == event
    assert replace(found, received=saved.received) == saved


async def test_a_transaction_sees_what_it_saved_itself(stores: Stores) -> None:
    def work(desk: Desk) -> object:
        desk.save(held(), sent=[MessageId("cmd-1")], timers=())
        desk.note_change(TAX_CODE, NOW)
        by_command = desk.by_command(MessageId("cmd-1"))
        return by_command and by_command.key, [item.key for item in desk.held_on(TAX_CODE)], desk.changed_at(TAX_CODE)

    assert await at_desk(stores, work, message_id="m") == ("Q-1", ["Q-1"], NOW)


async def test_saving_again_replaces_the_instance_and_keeps_its_beginning(stores: Stores) -> None:
    await save(stores, instance(), message_id="m-1")
    await save(stores, replace(instance(), state=ProcessState.COMPLETED), message_id="m-2")
    (row,) = await stores.instances.find(process=PROCESS)
    assert (row.instance.state, row.instance.since) == (ProcessState.COMPLETED, NOW)


async def test_held_instances_are_found_by_what_they_wait_for_the_oldest_first(stores: Stores) -> None:
    await save(stores, held("Q-2", since=NOW), held("Q-1", since=NOW - timedelta(hours=1)), held("Q-3", since=NOW + timedelta(hours=1)))
    await save(stores, replace(held("Q-3", since=NOW + timedelta(hours=1)), steps={}), instance("Q-4"), message_id="resume")
    found = await at_desk(stores, lambda desk: [item.key for item in desk.held_on(TAX_CODE)], message_id="look")
    assert found == ["Q-1", "Q-2"]
    assert await at_desk(stores, lambda desk: desk.held_on(EntityRef("product", "VAT25")), message_id="look again") == []


async def test_the_last_change_of_master_data_is_remembered(stores: Stores) -> None:
    for number, at in enumerate((NOW, NOW + timedelta(minutes=1))):
        await at_desk(stores, lambda desk, at=at: desk.note_change(TAX_CODE, at), message_id=f"m-{number}")  # type: ignore[misc]
    assert await at_desk(stores, lambda desk: desk.changed_at(TAX_CODE), message_id="look") == NOW + timedelta(minutes=1)
    assert await at_desk(stores, lambda desk: desk.changed_at(EntityRef("tax-code", "VAT0")), message_id="look again") is None


async def test_processes_do_not_see_each_others_instances(stores: Stores) -> None:
    await save(stores, held(), sent=["cmd-1"])

    def look(desk: Desk) -> object:
        return desk.by_key("Q-1"), desk.by_id(held().id), desk.by_command(MessageId("cmd-1")), desk.held_on(TAX_CODE)

    assert await at_desk(stores, look, message_id="look", process="payment-failure") == (None, None, None, [])


# -- timers


async def test_timers_are_due_at_their_time_the_oldest_first(stores: Stores) -> None:
    timers = [Timer("b", 1, NOW + timedelta(minutes=2)), Timer("a", 3, NOW + timedelta(minutes=1)), Timer("c", 1, NOW + timedelta(hours=1))]
    await save(stores, instance(), timers=timers)
    assert list(await stores.instances.due(PROCESS, NOW, 10)) == []
    due = await stores.instances.due(PROCESS, NOW + timedelta(minutes=2), 10)
    assert [item.timer for item in due] == [timers[1], timers[0]]
    assert {(item.instance_id, item.key) for item in due} == {(instance().id, "Q-1")}
    assert [item.timer for item in await stores.instances.due(PROCESS, NOW + timedelta(days=1), 1)] == [timers[1]]
    assert list(await stores.instances.due("payment-failure", NOW + timedelta(days=1), 10)) == []


async def test_a_timer_that_was_published_is_taken_off(stores: Stores) -> None:
    timer = Timer("validate", 1, NOW)
    await save(stores, instance(), timers=[timer])
    for _ in range(2):
        await stores.instances.disarm(DueTimer(instance().id, "Q-1", timer))
    assert list(await stores.instances.due(PROCESS, NOW, 10)) == []


async def test_a_timer_that_was_armed_anew_stays(stores: Stores) -> None:
    again = Timer("validate", 2, NOW)
    await save(stores, instance(), timers=[again])
    await stores.instances.disarm(DueTimer(instance().id, "Q-1", Timer("validate", 1, NOW)))
    assert [item.timer for item in await stores.instances.due(PROCESS, NOW, 10)] == [again]


async def test_saving_replaces_all_timers_of_an_instance(stores: Stores) -> None:
    await save(stores, instance(), timers=[Timer("validate", 1, NOW), Timer("book order", 1, NOW)], message_id="m-1")
    await save(stores, instance(), timers=[Timer("book order", 2, NOW)], message_id="m-2")
    assert [item.timer for item in await stores.instances.due(PROCESS, NOW, 10)] == [Timer("book order", 2, NOW)]


# -- for people


async def test_people_find_instances_by_process_state_and_any_key(stores: Stores) -> None:
    await save(stores, instance("Q-1"), held("Q-2", since=NOW + timedelta(hours=1)), message_id="m-1")
    await save(stores, instance("Q-1", process="other"), process="other", message_id="m-2")
    find = stores.instances.find
    assert [row.instance.key for row in await find(process=PROCESS)] == ["Q-2", "Q-1"]
    assert [row.instance.key for row in await find(process=PROCESS, limit=1)] == ["Q-2"]
    assert [row.instance.key for row in await find(state="held")] == ["Q-2"]
    assert [row.instance.key for row in await find(key="Q-2")] == ["Q-2"]
    assert [row.id for row in await find(key=instance("Q-1").id)] == [instance("Q-1").id]
    assert len(await find(key="C-4")) == 3
    assert list(await find(key="Q-")) == []
    assert list(await find(key="%")) == []


async def test_a_list_tells_the_next_deadline(stores: Stores) -> None:
    await save(stores, instance(), timers=[Timer("b", 1, NOW + timedelta(hours=2)), Timer("a", 1, NOW + timedelta(hours=1))])
    (row,) = await stores.instances.find(process=PROCESS)
    assert row.deadline_at == NOW + timedelta(hours=1)
    assert (row.process, row.version, row.id) == (PROCESS, 1, instance().id)


async def test_coordinates_go_by_the_topics_id(stores: Stores) -> None:
    """The same place of the record, under another name of the topic, is the same record."""
    await save(stores, instance(), message_id="m-1")
    same = Coordinates("renamed", HERE.partition, HERE.offset)
    assert await stores.instances.handle(FENCE, MessageId("m-1"), same, process=PROCESS, decide=never) == HANDLED


# -- facts that come before their instance


CHANGED = TaxCodeChanged(tax_code="VAT25", name="VAT", rate=Decimal("0.2500"), legal_entity=LegalEntity("no"), aggregate_version=1)


async def keep_early(stores: Stores, key: str, message_id: str, *, until: datetime, process: str = PROCESS) -> None:
    def work(desk: Desk) -> None:
        desk.keep_early(key, MessageId(message_id), CHANGED, until=until)

    await at_desk(stores, work, message_id=f"keep-{key}-{message_id}", process=process)


async def take_early(stores: Stores, key: str, *, message_id: str = "take", process: str = PROCESS) -> object:
    return await at_desk(stores, lambda desk: list(desk.take_early(key)), message_id=message_id, process=process)


async def test_early_facts_are_taken_once_by_their_key_and_process(stores: Stores) -> None:
    later = datetime.now(UTC) + timedelta(days=400)
    await keep_early(stores, "Q-1", "m-1", until=later)
    await keep_early(stores, "Q-1", "m-2", until=later)
    await keep_early(stores, "Q-2", "m-3", until=later)

    assert await take_early(stores, "Q-1", message_id="other", process="another") == []
    assert await take_early(stores, "Q-1") == [CHANGED, CHANGED]
    assert await take_early(stores, "Q-1", message_id="again") == []


async def test_early_facts_are_swept_once_their_time_is_over(stores: Stores) -> None:
    await keep_early(stores, "Q-1", "m-1", until=datetime(2000, 1, 1, tzinfo=UTC))
    await keep_early(stores, "Q-2", "m-2", until=datetime.now(UTC) + timedelta(days=400))

    assert await take_early(stores, "Q-1") == []


async def test_a_transaction_that_fails_keeps_and_takes_nothing(stores: Stores) -> None:
    later = datetime.now(UTC) + timedelta(days=400)
    await keep_early(stores, "Q-1", "m-1", until=later)

    def take_and_fail(desk: Desk) -> Handled:
        desk.take_early("Q-1")
        desk.keep_early("Q-3", MessageId("m-3"), CHANGED, until=later)
        raise DataProblem(field="f", value="v", hint="h")

    with pytest.raises(DataProblem):
        await stores.instances.handle(FENCE, MessageId("fails"), HERE, process=PROCESS, decide=take_and_fail)
    assert await take_early(stores, "Q-1") == [CHANGED]
    assert await take_early(stores, "Q-3", message_id="third") == []


# -- pruning

AGED = timedelta(seconds=-5)
"""Everything is older than that, whatever the database's clock is rounded to."""


async def test_what_was_handled_below_the_base_is_forgotten(stores: Stores) -> None:
    below, at_base = HERE._replace(offset=1), HERE._replace(offset=2)
    for message_id, place in (("m-1", below), ("m-2", at_base)):
        await stores.instances.handle(FENCE, MessageId(message_id), place, process=PROCESS, decide=lambda _: HANDLED)
    assert await stores.instances.prune(FENCE, process=PROCESS, below=2, older_than=timedelta(minutes=1)) == 0
    assert await stores.instances.prune(FENCE, process=PROCESS, below=2, older_than=AGED) == 1
    found = [
        (await stores.instances.handle(FENCE, MessageId(each), ELSEWHERE, process=PROCESS, decide=lambda _: HANDLED)).kind
        for each in ("m-1", "m-2")
    ]
    assert found == [OutcomeKind.APPLIED, OutcomeKind.DUPLICATE]


async def test_no_more_are_forgotten_at_once_than_asked_for(stores: Stores) -> None:
    for number in range(3):
        await stores.instances.handle(FENCE, MessageId(f"m-{number}"), HERE, process=PROCESS, decide=lambda _: HANDLED)
    pruned = [await stores.instances.prune(FENCE, process=PROCESS, below=100, older_than=AGED, limit=2) for _ in range(3)]
    assert pruned == [2, 1, 0]


async def test_an_old_epoch_forgets_nothing(stores: Stores) -> None:
    await at_desk(stores, lambda desk: desk.note_change(TAX_CODE, NOW), message_id="m-1")
    with pytest.raises(Fenced):
        await stores.instances.prune(STALE, process=PROCESS, below=100, older_than=AGED)
    assert await at_desk(stores, lambda desk: desk.changed_at(TAX_CODE), message_id="look") == NOW


async def changes_left(stores: Stores, process: str = PROCESS) -> object:
    def look(desk: Desk) -> object:
        return [desk.changed_at(EntityRef("tax-code", name)) for name in ("early", "late")]

    return await at_desk(stores, look, message_id=f"look-{process}", process=process)


EARLY, LATE = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)


async def note_two(stores: Stores, process: str = PROCESS) -> None:
    def note(desk: Desk) -> None:
        desk.note_change(EntityRef("tax-code", "early"), EARLY)
        desk.note_change(EntityRef("tax-code", "late"), LATE)

    await at_desk(stores, note, message_id=f"note-{process}", process=process)


@pytest.mark.parametrize("state", [ProcessState.RUNNING, ProcessState.WAITING, ProcessState.HELD, ProcessState.COMPENSATING])
async def test_a_change_is_kept_while_an_instance_is_open_whose_refusal_it_may_mend(stores: Stores, state: ProcessState) -> None:
    await note_two(stores)
    await save(stores, instance("Q-1", state=state), instance("Q-2", since=EARLY, state=ProcessState.COMPLETED))
    await stores.instances.prune(FENCE, process=PROCESS, below=0, older_than=-timedelta(days=36_500))
    assert await changes_left(stores) == [None, LATE]


@pytest.mark.parametrize("state", [ProcessState.COMPLETED, ProcessState.COMPENSATED, ProcessState.CANCELLED])
async def test_changes_are_forgotten_where_every_instance_has_ended(stores: Stores, state: ProcessState) -> None:
    await note_two(stores)
    await save(stores, instance(state=state), instance("P-1", process="other", since=EARLY - timedelta(days=1)))
    await stores.instances.prune(FENCE, process=PROCESS, below=0, older_than=-timedelta(days=36_500))
    assert await changes_left(stores) == [None, None]


async def test_changes_that_are_not_old_enough_are_kept(stores: Stores) -> None:
    await note_two(stores)
    await stores.instances.prune(FENCE, process=PROCESS, below=0, older_than=timedelta(days=36_500))
    assert await changes_left(stores) == [EARLY, LATE]


async def test_other_processes_keep_their_changes(stores: Stores) -> None:
    await note_two(stores)
    await note_two(stores, "other")
    await stores.instances.prune(FENCE, process=PROCESS, below=0, older_than=-timedelta(days=36_500))
    assert await changes_left(stores, "other") == [EARLY, LATE]
