"""The local django-helpdesk: started, killed, found again; and what our site adds to it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.support.helpdesk.client import Helpdesk, open_helpdesk
from connectors.support.helpdesk.records import QUEUE, Created, NewTicket
from connectors.support.helpdesk.refusals import AlreadyThere
from integration_fabric.local import helpdesk, state
from integration_fabric.local.helpdesk import HelpdeskAddress
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.errors import BadCredential, Unavailable, UnknownOutcome, VendorDrift

pytestmark = pytest.mark.helpdesk


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def new_ticket(identity: str, **fields: str | None) -> NewTicket:
    return NewTicket(identity, "A test", {"external_id": identity, "contract": "CT-1", **fields})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> LocalSettings:
    return LocalSettings(state_dir=tmp_path_factory.mktemp("helpdesk"))


@pytest.fixture(scope="module")
def address(settings: LocalSettings) -> Iterator[HelpdeskAddress]:
    yield helpdesk.up(settings, print)
    helpdesk.down(settings)


@pytest.fixture
async def client(address: HelpdeskAddress) -> AsyncIterator[Helpdesk]:
    async with open_helpdesk(system="helpdesk", url=address.url, key=address.key) as client:
        yield client


async def exists(address: HelpdeskAddress, identity: str) -> bool:
    async with open_helpdesk(system="helpdesk", url=address.url, key=address.key) as client:
        return bool(await client.find_by_external_id([identity]))


async def make(address: HelpdeskAddress, identity: str) -> None:
    async with open_helpdesk(system="helpdesk", url=address.url, key=address.key) as client:
        await client.create_ticket(new_ticket(identity), await client.find_queue(QUEUE))


# The server


def test_what_is_prepared_is_not_prepared_again(settings: LocalSettings, address: HelpdeskAddress) -> None:
    told: list[str] = []

    helpdesk.prepare(settings, told.append)

    assert told == []


def test_a_running_server_is_joined(settings: LocalSettings, address: HelpdeskAddress) -> None:
    assert helpdesk.up(settings, print) == address
    assert helpdesk.running(settings) == address


def test_the_key_is_not_told_by_accident(address: HelpdeskAddress) -> None:
    assert address.key not in repr(address)


async def test_data_survive_kill_nine_and_a_restart_and_end_with_a_fresh_start(tmp_path: Path) -> None:
    settings = LocalSettings(state_dir=tmp_path)
    first, second = fresh("E"), fresh("E")
    try:
        address = helpdesk.up(settings, print)
        await make(address, first)
        process = state.read(settings.state_dir).services[helpdesk.NAME].process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)

        again = helpdesk.up(settings, print)
        assert again == address
        assert await exists(again, first)
        await make(again, second)
        assert helpdesk.down(settings)
        assert helpdesk.running(settings) is None
        assert not helpdesk.down(settings)
        assert await exists(helpdesk.up(settings, print), second)

        anew = helpdesk.up(settings, print, fresh=True)
        assert anew == address
        assert not await exists(anew, first)

        (tmp_path / "helpdesk" / "digest").write_text("of an older site")
        told: list[str] = []
        helpdesk.up(settings, told.append)
        assert "starts anew" in told[0]
    finally:
        helpdesk.down(settings)


# What our site adds


async def test_a_second_ticket_of_one_external_id_is_refused_whole(client: Helpdesk, settings: LocalSettings) -> None:
    identity, queue = fresh("E"), await client.find_queue(QUEUE)
    made = await client.create_ticket(new_ticket(identity), queue)

    with pytest.raises(AlreadyThere, match="exists"):
        await client.create_ticket(new_ticket(identity, level="gold"), queue)

    (ticket,) = await client.find_by_external_id([identity])
    assert (ticket.id, ticket.level) == (made.id, "")
    assert tickets_titled(settings, identity) == 1


async def test_a_ticket_cannot_be_given_anothers_external_id(client: Helpdesk) -> None:
    first, second, queue = fresh("E"), fresh("E"), await client.find_queue(QUEUE)
    await client.create_ticket(new_ticket(first), queue)
    made = await client.create_ticket(new_ticket(second), queue)

    with pytest.raises(AlreadyThere):
        await client.change_ticket(made.id, {"level": "gold", "external_id": first})

    (ticket,) = await client.find_by_external_id([second])
    assert ticket.level == "", "nothing of the change was kept"


async def test_a_field_is_emptied_by_null(client: Helpdesk) -> None:
    identity = fresh("E")
    made = await client.create_ticket(new_ticket(identity, ends_on="2027-01-14"), await client.find_queue(QUEUE))

    changed = await client.change_ticket(made.id, {"ends_on": None})

    assert changed.ends_on is None
    assert await client.find_by_external_id([identity]) == [changed]


async def test_a_look_up_reads_by_the_index(client: Helpdesk, settings: LocalSettings) -> None:
    await client.create_ticket(new_ticket(fresh("E")), await client.find_queue(QUEUE))
    table = "helpdesk_ticketcustomfieldvalue"
    with closing(sqlite3.connect(helpdesk.database_file(settings))) as database:
        plan = database.execute(
            f"EXPLAIN QUERY PLAN SELECT ticket_id FROM {table} WHERE field_id = ? AND value IN (?, ?)", (1, "E-1", "E-2")
        ).fetchall()

    assert "USING INDEX found_by_value (field_id=? AND value=?)" in plan[0][3]


async def test_an_empty_value_finds_nothing_that_people_wrote(client: Helpdesk) -> None:
    queue = await client.find_queue(QUEUE)
    await client.http.call("POST", "/api/tickets/", json={"queue": queue.id, "title": "By hand", "description": "x", "priority": 3})

    assert await client.find_by_external_id(["", fresh("E")]) == []
    refused = await client.http.call("GET", "/fabric/tickets/", params={"external_id": ""})
    assert (refused.status, "at least one value" in refused.text) == (400, True)


async def test_what_is_not_set_up_is_drift(client: Helpdesk) -> None:
    with pytest.raises(VendorDrift, match="no queue"):
        await client.find_queue(fresh("queue"))


async def test_a_stranger_is_refused(address: HelpdeskAddress) -> None:
    async with open_helpdesk(system="helpdesk", url=address.url, key="wrong") as stranger:
        with pytest.raises(BadCredential):
            await stranger.find_by_external_id(["E-1"])
        for method, path in (("PATCH", "/fabric/tickets/1/"), ("GET", "/fabric/queues/"), ("GET", "/api/tickets/")):
            with pytest.raises(BadCredential):
                await stranger.http.call(method, path)


async def test_a_writer_in_the_way_is_waited_for_and_then_nothing_was_done(client: Helpdesk, settings: LocalSettings) -> None:
    identity, queue = fresh("E"), await client.find_queue(QUEUE)
    with closing(sqlite3.connect(helpdesk.database_file(settings), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await client.find_by_external_id([identity]) == [], "reading goes on"
        with pytest.raises(Unavailable, match="503"):
            await client.create_ticket(new_ticket(identity), queue)
        other.execute("ROLLBACK")

    assert await client.find_by_external_id([identity]) == []
    await client.create_ticket(new_ticket(identity), queue)
    assert len(await client.find_by_external_id([identity])) == 1


async def test_a_ticket_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    """The values of the custom fields are written after the ticket: without them nobody would find it again, and it would be made twice."""
    settings, identity = LocalSettings(state_dir=tmp_path), fresh("E")
    try:
        address = helpdesk.up(settings, print)
        with closing(sqlite3.connect(helpdesk.database_file(settings), isolation_level=None)) as database:
            database.execute(
                "CREATE TRIGGER fail BEFORE INSERT ON helpdesk_ticketcustomfieldvalue WHEN NEW.value = 'CT-of-failure'"
                " BEGIN SELECT RAISE(ABORT, 'ended here'); END"
            )
        async with open_helpdesk(system="helpdesk", url=address.url, key=address.key) as client:
            with pytest.raises(UnknownOutcome, match="500"):
                await client.create_ticket(new_ticket(identity, contract="CT-of-failure"), await client.find_queue(QUEUE))

        assert tickets_titled(settings, identity) == 0
        assert not await exists(address, identity)
    finally:
        helpdesk.down(settings)


async def test_kill_nine_among_creations_leaves_whole_tickets_only(tmp_path: Path) -> None:
    settings, title, identities = LocalSettings(state_dir=tmp_path), fresh("title"), [fresh("E") for _ in range(20)]
    try:
        address = helpdesk.up(settings, print)
        process = state.read(settings.state_dir).services[helpdesk.NAME].process
        assert process is not None
        async with open_helpdesk(system="helpdesk", url=address.url, key=address.key) as client:
            queue = await client.find_queue(QUEUE)
            creations = [asyncio.ensure_future(client.create_ticket(titled(title, identity), queue)) for identity in identities]
            await asyncio.wait(creations, return_when=asyncio.FIRST_COMPLETED)
            os.kill(process.pid, signal.SIGKILL)
            ended = await asyncio.gather(*creations, return_exceptions=True)
        assert {type(each) for each in ended} == {Created, UnknownOutcome}

        again = helpdesk.up(settings, print)

        async with open_helpdesk(system="helpdesk", url=again.url, key=again.key) as client:
            found = {ticket.external_id for ticket in await client.find_by_external_id(identities)}
        assert {each.external_id for each in ended if isinstance(each, Created)} <= found
        assert tickets_titled(settings, title) == len(found) < len(identities)
    finally:
        helpdesk.down(settings)


def titled(title: str, identity: str) -> NewTicket:
    return replace(new_ticket(identity), title=title)


def tickets_titled(settings: LocalSettings, title: str) -> int:
    with closing(sqlite3.connect(helpdesk.database_file(settings))) as database:
        (count,) = database.execute("SELECT count(*) FROM helpdesk_ticket WHERE title = ?", [title]).fetchone()
        return int(count)
