"""Process instances on SQL, with the inbox of their subscriber in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Float, Integer, Select, bindparam, delete, func, insert, or_, select, update

from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.dialects import NowS, lock_name
from integration_fabric.backends.sql.effects import prune, recall, remember
from integration_fabric.backends.sql.leases import hold_fence
from integration_fabric.backends.sql.tables import CHANGES, COMMANDS, EARLY, HOLDS, INSTANCES, TIMERS
from integration_fabric.canonical.entities import EntityRef
from integration_fabric.delivery.ports import PRUNED_AT_ONCE
from integration_fabric.messages.base import Event
from integration_fabric.messages.envelope import Coordinates
from integration_fabric.messages.fabric import ProcessState
from integration_fabric.messages.ids import MessageId
from integration_fabric.process_engine.engine import ENDED
from integration_fabric.process_engine.ports import Decide, Desk, DueTimer, InstanceRow, Instances
from integration_fabric.process_engine.state import Instance, Timer, event_from_json
from integration_fabric.runtime.ports import Fence
from integration_fabric.runtime.subscriber import Handled

NEVER_S = 0.0
"""Stands for master data that was asked after and has not changed yet: there must be a row to lock."""


# Made once: SQLAlchemy takes three times as long to make a statement as to carry it out.
_LOCKED = select(INSTANCES).where(INSTANCES.c.process == bindparam("process")).with_for_update()
_BY_KEY = _LOCKED.where(INSTANCES.c.key == bindparam("key"))
_BY_ID = _LOCKED.where(INSTANCES.c.id == bindparam("id"))
_BY_COMMAND = _LOCKED.where(
    INSTANCES.c.id == select(COMMANDS.c.instance_id).where(COMMANDS.c.command_id == bindparam("command_id")).scalar_subquery()
)
_WAITING = select(HOLDS.c.instance_id).where(
    HOLDS.c.process == bindparam("process"), HOLDS.c.entity == bindparam("entity"), HOLDS.c.entity_id == bindparam("entity_id")
)
_HELD_ON = _LOCKED.where(INSTANCES.c.id.in_(_WAITING)).order_by(INSTANCES.c.since_s)
_MOVE = update(INSTANCES).where(INSTANCES.c.id == bindparam("of_id"))
_BEGIN, _SENT = insert(INSTANCES), insert(COMMANDS)
_OFF = {table: delete(table).where(table.c.instance_id == bindparam("of_id")) for table in (HOLDS, TIMERS)}
_ON = {table: insert(table) for table in (HOLDS, TIMERS)}
_OPEN = [state.value for state in ProcessState if state not in ENDED]
_OPEN_SINCE = select(func.min(INSTANCES.c.since_s)).where(INSTANCES.c.process == bindparam("process"), INSTANCES.c.state.in_(_OPEN))
# Safe to forget: a refusal is only mended by a change that is no older than its command, and no command is older than its instance. So what
# came before every open instance mends nothing any more, and less so for instances that have yet to begin. Rows that others hold are left
# for the next time, so that nobody waits for two of them in another order; where one that is asked after is gone, another is made to lock.
_USELESS = (
    select(CHANGES.c.entity, CHANGES.c.entity_id)
    .where(
        CHANGES.c.process == bindparam("process"),
        CHANGES.c.changed_s < NowS() - bindparam("older_s", type_=Float),
        CHANGES.c.changed_s < func.coalesce(_OPEN_SINCE.scalar_subquery(), NowS()),
    )
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True, of=CHANGES)
)
_FORGET = delete(CHANGES).where(
    CHANGES.c.process == bindparam("of_process"),
    CHANGES.c.entity == bindparam("of_entity"),
    CHANGES.c.entity_id == bindparam("of_id"),
)


@dataclass(frozen=True, slots=True)
class SqlDesk(Desk):
    """Implements `process_engine.ports.Desk` in one transaction."""

    connection: Connection
    process: str

    def by_key(self, key: str) -> Instance | None:
        """The instance for a key. Where there is none, nobody else can make one, or keep a fact for it, before this transaction ends."""
        found = self._one(_BY_KEY, key=key)
        if found is not None:
            return found
        lock_name(self.connection, self.process, key)
        return self._one(_BY_KEY, key=key)

    def by_id(self, instance_id: str) -> Instance | None:
        """The instance with an id."""
        return self._one(_BY_ID, id=instance_id)

    def by_command(self, command_id: MessageId) -> Instance | None:
        """The instance that sent a command."""
        return self._one(_BY_COMMAND, command_id=command_id)

    def held_on(self, ref: EntityRef) -> Sequence[Instance]:
        """The instances that wait for this."""
        return [_instance(row) for row in self.connection.execute(_HELD_ON, self._key_of(ref))]

    def changed_at(self, ref: EntityRef) -> datetime | None:
        """When it last changed. It locks the answer: who notes a change meanwhile waits, and then sees the hold that rests on it."""
        key = self._key_of(ref)
        if self.connection.execute(update(CHANGES).filter_by(**key).values(changed_s=CHANGES.c.changed_s)).rowcount == 0:
            self.connection.execute(insert(CHANGES).values(**key, changed_s=NEVER_S))
        found = self.connection.execute(select(CHANGES.c.changed_s).filter_by(**key)).scalar_one()
        return None if found == NEVER_S else datetime.fromtimestamp(found, UTC)

    def note_change(self, ref: EntityRef, at: datetime) -> None:
        """Remember that it changed."""
        key = self._key_of(ref)
        changed = self.connection.execute(update(CHANGES).filter_by(**key).values(changed_s=at.timestamp()))
        if changed.rowcount == 0:
            self.connection.execute(insert(CHANGES).values(**key, changed_s=at.timestamp()))

    def _key_of(self, ref: EntityRef) -> dict[str, str]:
        return {"process": self.process, "entity": ref.entity, "entity_id": ref.id}

    def keep_early(self, key: str, message_id: MessageId, event: Event, *, until: datetime) -> None:
        """Keep it, and let go of what was kept for too long."""
        now_s = NowS()
        self.connection.execute(delete(EARLY).where(EARLY.c.process == self.process, EARLY.c.until_s < now_s))
        mine = {"process": self.process, "key": key, "message_id": message_id}
        self.connection.execute(delete(EARLY).filter_by(**mine))
        kept = {"kept_s": now_s, "until_s": until.timestamp(), "schema_name": event.schema_name, "body": event.model_dump_json()}
        self.connection.execute(insert(EARLY).values(**mine, **kept))

    def take_early(self, key: str) -> Sequence[Event]:
        """Take them out."""
        mine = (EARLY.c.process == self.process, EARLY.c.key == key)
        rows = self.connection.execute(select(EARLY).where(*mine).order_by(EARLY.c.kept_s, EARLY.c.message_id)).all()
        if rows:
            self.connection.execute(delete(EARLY).where(*mine))
        return [event_from_json(row.schema_name, row.body) for row in rows]

    def save(self, instance: Instance, *, sent: Sequence[MessageId], timers: Sequence[Timer]) -> None:
        """Keep it."""
        is_new = self._save_row(instance, timers)
        if sent:
            self.connection.execute(_SENT, [{"command_id": command, "instance_id": instance.id} for command in sent])
        rows = {
            HOLDS: [self._hold(instance, ref) for ref in sorted(instance.holds(), key=str)],
            TIMERS: [self._timer(instance, timer) for timer in timers],
        }
        for table, wanted in rows.items():
            if not is_new:
                self.connection.execute(_OFF[table], {"of_id": instance.id})
            if wanted:
                self.connection.execute(_ON[table], wanted)

    def _save_row(self, instance: Instance, timers: Sequence[Timer]) -> bool:
        """Whether it was not there."""
        values: dict[str, Any] = {
            "version": instance.version,
            "state": instance.state.value,
            "step": ", ".join(step.name for step in instance.open_steps()),
            "deadline_s": min((timer.due_at.timestamp() for timer in timers), default=None),
            "body": instance.to_json(),
        }
        is_new = self.connection.execute(_MOVE, {"of_id": instance.id, **values}).rowcount == 0
        if is_new:
            row = {"id": instance.id, "process": instance.process, "key": instance.key, "since_s": instance.since.timestamp()}
            self.connection.execute(_BEGIN, {**row, **values})
        return is_new

    @staticmethod
    def _hold(instance: Instance, ref: EntityRef) -> dict[str, Any]:
        return {"process": instance.process, "entity": ref.entity, "entity_id": ref.id, "instance_id": instance.id}

    @staticmethod
    def _timer(instance: Instance, timer: Timer) -> dict[str, Any]:
        due_s = timer.due_at.timestamp()
        return {"instance_id": instance.id, "step": timer.step, "arm": timer.arm, "process": instance.process, "due_s": due_s}

    def _one(self, query: Select[Any], **asked: str) -> Instance | None:
        row = self.connection.execute(query, {"process": self.process, **asked}).first()
        return None if row is None else _instance(row)


class SqlInstances(Instances):
    """Implements `process_engine.ports.Instances`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, fence: Fence, message_id: MessageId, coordinates: Coordinates, *, process: str, decide: Decide) -> Handled:
        """Handle one message once."""

        def work(connection: Connection) -> Handled:
            hold_fence(connection, fence)
            stored = recall(connection, fence, message_id, coordinates)
            if stored is not None:
                return stored.answer
            handled = decide(SqlDesk(connection, process))
            remember(connection, fence, message_id, coordinates, handled=handled)
            return handled

        return await self._database.run(work)

    async def handled(self, fence: Fence, message_id: MessageId, coordinates: Coordinates) -> Handled | None:
        """What is stored of what this record brought."""

        def work(connection: Connection) -> Handled | None:
            hold_fence(connection, fence)
            stored = recall(connection, fence, message_id, coordinates)
            return stored.handled if stored is not None and stored.same_record else None

        return await self._database.run(work)

    async def prune(self, fence: Fence, *, process: str, below: int, older_than: timedelta, limit: int = PRUNED_AT_ONCE) -> int:
        """Forget what is old: messages of the partition, and changes of master data."""

        def work(connection: Connection) -> int:
            hold_fence(connection, fence)
            useless = connection.execute(_USELESS, {"process": process, "older_s": older_than.total_seconds(), "most": limit}).all()
            if useless:
                connection.execute(_FORGET, [{"of_process": process, "of_entity": row.entity, "of_id": row.entity_id} for row in useless])
            return prune(connection, fence, below=below, older_than=older_than, limit=limit)

        return await self._database.run(work)

    async def due(self, process: str, now: datetime, limit: int) -> Sequence[DueTimer]:
        """Timers whose time has come."""
        query = (
            select(TIMERS, INSTANCES.c.key)
            .join(INSTANCES, INSTANCES.c.id == TIMERS.c.instance_id)
            .where(TIMERS.c.process == process, TIMERS.c.due_s <= now.timestamp())
            .order_by(TIMERS.c.due_s)
            .limit(limit)
        )

        def work(connection: Connection) -> list[DueTimer]:
            return [
                DueTimer(row.instance_id, row.key, Timer(row.step, row.arm, datetime.fromtimestamp(row.due_s, UTC)))
                for row in connection.execute(query)
            ]

        return await self._database.run(work)

    async def disarm(self, timer: DueTimer) -> None:
        """Take it off."""
        query = delete(TIMERS).filter_by(instance_id=timer.instance_id, step=timer.timer.step, arm=timer.timer.arm)

        def work(connection: Connection) -> None:
            connection.execute(query)

        await self._database.run(work)

    async def find(
        self, *, process: str | None = None, state: str | None = None, key: str | None = None, limit: int = 200
    ) -> Sequence[InstanceRow]:
        """Instances for people."""
        query = select(INSTANCES).order_by(INSTANCES.c.since_s.desc()).limit(limit)
        if process is not None:
            query = query.where(INSTANCES.c.process == process)
        if state is not None:
            query = query.where(INSTANCES.c.state == state)
        if key is not None:
            in_body = INSTANCES.c.body.contains(f'"{key}"', autoescape=True)
            query = query.where(or_(INSTANCES.c.id == key, INSTANCES.c.key == key, in_body))
        return await self._database.run(lambda connection: [_row(row) for row in connection.execute(query)])


def _instance(row: Any) -> Instance:
    return Instance.from_json(row.process, row.version, row.key, row.body)


def _row(row: Any) -> InstanceRow:
    deadline = None if row.deadline_s is None else datetime.fromtimestamp(row.deadline_s, UTC)
    return InstanceRow(row.id, row.process, row.version, _instance(row), deadline)
