"""Who may write for a partition: the epoch that Kafka issues and SQL enforces (protocol.md, A and B)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, tuple_, update

from integration_fabric.backends.sql.database import DRAWN, DURABLE, Database
from integration_fabric.backends.sql.dialects import storable
from integration_fabric.backends.sql.tables import LEASES, STOPS
from integration_fabric.messages.errors import Fenced
from integration_fabric.runtime.offsets import Done
from integration_fabric.runtime.ports import Fence, Lease, Leases, Stop, TakenLease
from integration_fabric.runtime.records import TopicPartition

_FENCES = "fences"
_HOLD = (
    update(LEASES)
    .where(
        LEASES.c.subscriber == bindparam("of_subscriber"),
        LEASES.c.topic_id == bindparam("of_topic"),
        LEASES.c.partition == bindparam("of_partition"),
        LEASES.c.epoch == bindparam("of_epoch"),
    )
    .values(serial=LEASES.c.serial + 1)
    .returning(LEASES.c.serial)
)
_IS_ONE_OF = tuple_(LEASES.c.subscriber, LEASES.c.topic_id, LEASES.c.partition, LEASES.c.epoch).in_(bindparam("fences", expanding=True))
_LOCK_ALL = (
    select(LEASES.c.subscriber, LEASES.c.topic_id, LEASES.c.partition, LEASES.c.epoch, LEASES.c.serial)
    .where(_IS_ONE_OF)
    .order_by(LEASES.c.subscriber, LEASES.c.topic_id, LEASES.c.partition)  # the order of locks, as a takeover's
    .with_for_update()
)
_COUNT_ALL = update(LEASES).where(_IS_ONE_OF).values(serial=LEASES.c.serial + 1)


def hold_fences(connection: Connection, fences: Iterable[Fence]) -> None:
    """As `hold_fence`, for several, in one statement. Raises Fenced where one of them is another's."""
    held = _held(connection)
    wanted = {fence for fence in fences if fence not in held}
    if len(wanted) < 2:  # noqa: PLR2004  one has a statement that is the faster
        for fence in wanted:
            hold_fence(connection, fence)
        return
    asked = {"fences": [(fence.subscriber, fence.topic_id, fence.partition, fence.epoch) for fence in wanted]}
    found = {Fence(*row[:4]): row.serial + 1 for row in connection.execute(_LOCK_ALL, asked)}
    for fence in wanted - found.keys():
        raise _fenced(fence)
    connection.execute(_COUNT_ALL, asked)
    for fence, serial in found.items():
        _draw(connection, fence, serial)
    held |= found.keys()


def hold_fence(connection: Connection, fence: Fence) -> None:
    """Begin a transaction for a partition: lock its lease, show its epoch and count the transaction (protocol.md, B).

    An `INSERT … WHERE EXISTS (lease is mine)` would leave a row behind on PostgreSQL when the lease is raised beside it. What this
    transaction holds already is not asked for again.

    Raises:
        Fenced: it is another's, or the store is an older copy than the one that this process has written to before.
    """
    held = _held(connection)
    if fence in held:
        return
    asked = {"of_subscriber": fence.subscriber, "of_topic": fence.topic_id, "of_partition": fence.partition, "of_epoch": fence.epoch}
    serial: int | None = connection.execute(_HOLD, asked).scalar()
    if serial is None:
        raise _fenced(fence)
    _draw(connection, fence, serial)
    held.add(fence)


def _draw(connection: Connection, fence: Fence, serial: int) -> None:
    """The number of this transaction; an older copy has counted less far than this process has seen."""
    of = (fence.subscriber, fence.topic_id, fence.partition)
    if serial <= connection.info.get(DURABLE, {}).get(of, 0):
        raise _fenced(fence)
    connection.info.setdefault(DRAWN, {})[of] = serial


def _fenced(fence: Fence) -> Fenced:
    return Fenced(f"{fence.subscriber}, partition {fence.partition} of topic {fence.topic_id}: epoch {fence.epoch} is over")


def _held(connection: Connection) -> set[Fence]:
    """The fences that this very transaction holds; nothing in a savepoint, with which a lock may go again."""
    transaction = connection.get_transaction()
    if transaction is None or connection.in_nested_transaction():
        return set()
    noted: tuple[object, set[Fence]] | None = connection.info.get(_FENCES)
    if noted is None or noted[0] is not transaction:
        noted = connection.info[_FENCES] = (transaction, set())
    return noted[1]


class SqlLeases(Leases):
    """Implements `runtime.ports.Leases`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def store_id(self) -> str:
        """Names the store."""
        return self._database.store_id

    async def read(self, subscriber: str, topic_id: str, partition: int) -> Lease | None:
        """The row, or None."""

        def work(connection: Connection) -> Lease | None:
            row = connection.execute(
                select(LEASES.c.epoch, LEASES.c.serial, LEASES.c.owner).where(
                    LEASES.c.subscriber == subscriber, LEASES.c.topic_id == topic_id, LEASES.c.partition == partition
                )
            ).first()
            return Lease(row.epoch, row.serial, row.owner) if row else None

        return await self._database.run(work)

    def serial(self, subscriber: str, topic_id: str, partition: int) -> int:
        """The highest that is known."""
        return self._database.durable.get((subscriber, topic_id, partition), 0)

    async def take(self, subscriber: str, taken: Sequence[TakenLease], owner: str) -> Sequence[bool]:
        """Raise each lease to its epoch. The answers are in the order of `taken`."""

        def work(connection: Connection) -> list[bool]:
            answers = {lease: _take(connection, subscriber, lease, owner) for lease in _sorted(taken)}
            return [answers[lease] for lease in taken]

        return await self._database.run(work)

    async def stops(self, subscriber: str, taken: Sequence[TakenLease], done: Mapping[TopicPartition, Done]) -> Sequence[Stop]:
        """Void those that Kafka does not confirm, return the first of the rest of each partition."""

        def work(connection: Connection) -> list[Stop]:
            found: list[Stop] = []
            for lease in _sorted(taken):
                fence = Fence(subscriber, lease.topic_id, lease.partition.partition, lease.epoch)
                hold_fence(connection, fence)
                mine = (STOPS.c.subscriber == subscriber, STOPS.c.topic_id == lease.topic_id, STOPS.c.partition == fence.partition)
                rows = connection.execute(select(STOPS).where(*mine).order_by(STOPS.c.offset)).all()
                confirmed = [row for row in rows if row.offset in done[lease.partition]]
                if void := [row.offset for row in rows if row not in confirmed]:
                    connection.execute(delete(STOPS).where(*mine, STOPS.c.offset.in_(void)))
                found += [Stop(lease.partition, row.offset, row.key, row.code, row.message) for row in confirmed[:1]]
            return found

        return await self._database.run(work)

    async def stop(self, fence: Fence, stop: Stop) -> None:
        """Remember it."""

        def work(connection: Connection) -> None:
            hold_fence(connection, fence)
            key = {
                "subscriber": fence.subscriber,
                "topic_id": fence.topic_id,
                "partition": fence.partition,
                "offset": stop.offset,
            }
            connection.execute(delete(STOPS).filter_by(**key))
            connection.execute(insert(STOPS).values(**key, key=stop.key, code=storable(stop.code)[:200], message=storable(stop.message)))

        await self._database.run(work)


def _sorted(taken: Sequence[TakenLease]) -> list[TakenLease]:
    """In one order everywhere, so that two takeovers cannot wait for each other."""
    return sorted(taken, key=lambda lease: (lease.topic_id, lease.partition.partition))


def _take(connection: Connection, subscriber: str, lease: TakenLease, owner: str) -> bool:
    mine = (LEASES.c.subscriber == subscriber, LEASES.c.topic_id == lease.topic_id, LEASES.c.partition == lease.partition.partition)
    raised = connection.execute(update(LEASES).where(*mine, LEASES.c.epoch < lease.epoch).values(epoch=lease.epoch, owner=owner))
    if raised.rowcount:
        return True
    if connection.execute(select(LEASES.c.epoch).where(*mine)).first() is not None:
        return False
    connection.execute(
        insert(LEASES).values(
            subscriber=subscriber,
            topic_id=lease.topic_id,
            partition=lease.partition.partition,
            epoch=lease.epoch,
            serial=0,
            owner=owner,
        )
    )
    return True
