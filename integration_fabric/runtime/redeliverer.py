"""Carries out one subscriber's redeliveries: retained messages into lanes, and what becomes of them into the store (protocol.md, H)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from integration_fabric.messages.errors import FabricError, Fenced
from integration_fabric.runtime.activity import transition_of
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.ending import sleep_unless
from integration_fabric.runtime.executor import Abandoned, Result
from integration_fabric.runtime.lanes import Lane, Lanes, Taken
from integration_fabric.runtime.ownership import Owned
from integration_fabric.runtime.ports import Redeliveries, Retained
from integration_fabric.runtime.records import Record, TopicPartition
from integration_fabric.runtime.redelivery import FAILED, Redelivered, Redelivery
from integration_fabric.runtime.subscriber import OnceMore, Pause
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG

REPLAY_HEADER = "fabric_replay"
"""On what a redelivery puts out: its number."""
AGAIN_BYTES = 8 * 2**20
"""Of keys and values in lanes: with so much, no more is put into them (guarantee G6)."""
WINDOW = 200
"""Messages of one partition that are under way at once: read, and not committed yet."""
LOOK_S = 0.2
"""Between looks at what may go on; what ends meanwhile is looked at sooner."""
ADVANCE_S = 1.0
"""Between two times at which the store is told how far a redelivery is."""
STORE_RETRY_S = 0.5
MAKES_WAY_S = 0.05
"""How soon a redelivered message that waits lets a live one of its key go first."""
CLOCKS = timedelta(hours=1)
"""By which the clocks of producers, workers and the database may differ."""


class MadeWay(Abandoned):
    """A redelivered message waited, and a live one of its key has come: its turn comes again."""


@dataclass(slots=True)
class _Course:
    """One redelivery on one partition, as long as that is ours."""

    redelivery: Redelivery
    end: int
    position: int
    """What the store knows to be through."""
    onward: int
    """The next offset that is read."""
    through: frozenset[int]
    """Offsets from the position on that a predecessor has been through."""
    live: int = -1
    """The offset of a record that was live when it was read; until that is done there is nothing to read on for."""
    advanced_s: float = float("-inf")
    is_stale: bool = False
    """Whether messages of it were passed over while it was not wanted: it is begun anew once nothing of it is under way."""

    @property
    def is_over(self) -> bool:
        return self.position >= self.end


class Redeliverer:
    """One subscriber's, in one worker."""

    def __init__(
        self,
        *,
        subscriber: str,
        backing: Backing,
        lanes: Lanes,
        owned: Mapping[TopicPartition, Owned],
        may_feed: Callable[[TopicPartition], bool],
        wake: Callable[[], None],
        written: Callable[[], None],
        remembered: timedelta,
    ) -> None:
        """Join what it needs.

        Args:
            subscriber: Its name.
            backing: What the loop runs on.
            lanes: The loop's.
            owned: The partitions that the loop owns at each moment.
            may_feed: Whether anything of a partition may be started now.
            wake: Called when there is something in lanes.
            written: Called when there is something to commit.
            remembered: How long the store knows what became of a message.
        """
        self._subscriber, self._clock, self._codec, self._leases = subscriber, backing.clock, backing.codec, backing.leases
        self._lanes, self._owned, self._may_feed = lanes, owned, may_feed
        self._wake, self._written, self._remembered = wake, written, remembered
        self._store: Redeliveries | None = backing.redeliveries
        self._retained: Retained | None = backing.retained
        self._wanted: Sequence[Redelivery] = ()
        self._courses: dict[tuple[Owned, int], _Course | None] = {}
        self._look = asyncio.Event()

    def want(self, wanted: Sequence[Redelivery]) -> None:
        """These are to go on now; others are to stand."""
        if self._store is None or self._retained is None:
            return
        self._wanted = [item for item in wanted if item.subscriber == self._subscriber]
        self._look.set()

    @property
    def under_way(self) -> int:
        """Messages that were read again and whose outcome is not committed."""
        return sum(len(offsets) for owned in self._owned.values() for offsets in owned.redelivering.values())

    async def run(self) -> None:
        """Go on with what is wanted, for ever."""
        while True:
            if not self._wanted and not self._courses:
                await self._look.wait()
            self._look.clear()
            assert self._store is not None, "without it nothing is ever wanted"
            assert self._retained is not None
            for owned in [owned for owned in self._owned.values() if owned.fence is not None and not owned.leaving.is_set()]:
                await self._go_on(owned, self._store, self._retained)
            self._courses = {key: course for key, course in self._courses.items() if self._owned.get(key[0].partition) is key[0]}
            await sleep_unless(self._look, self._clock, LOOK_S)

    async def _go_on(self, owned: Owned, store: Redeliveries, retained: Retained) -> None:
        """With the first that has anything left of a partition."""
        try:
            await self._let_go(owned, store)
            for item in self._wanted:
                course = await self._course(owned, item, store)
                if course is not None and not course.is_over:
                    await self._advance(owned, item.number, store)
                    await self._feed(owned, course, retained)
                    return
        except Fenced:  # whoever writes for the partition next finds that out, too
            pass
        except FabricError as error:
            LOG.redelivery_waits(self._subscriber, partition=f"{owned.partition.topic}/{owned.partition.partition}", why=str(error))

    async def _let_go(self, owned: Owned, store: Redeliveries) -> None:
        """Of what is not wanted now, or was not for a while, once nothing of it is under way."""
        wanted = {item.number for item in self._wanted}
        for (known, number), course in list(self._courses.items()):
            is_to_go = number not in wanted or (course is not None and course.is_stale)
            if known is owned and is_to_go and await self._advance(owned, number, store):
                del self._courses[owned, number]

    async def _course(self, owned: Owned, item: Redelivery, store: Redeliveries) -> _Course | None:
        key = (owned, item.number)
        if key not in self._courses:
            assert owned.fence is not None
            found = await store.stretch(owned.fence, item.number)
            if found is None:
                self._courses[key] = None
            else:
                stretch, through = found
                self._courses[key] = _Course(item, stretch.end, stretch.position, stretch.position, through)
        return self._courses[key]

    async def _advance(self, owned: Owned, number: int, store: Redeliveries) -> bool:
        """Tell the store how far it is. Returns whether nothing of it is under way any more."""
        course = self._courses[owned, number]
        if course is None or owned.fence is None:
            return True
        under_way = owned.redelivering.get(number, ())
        position = min(under_way, default=course.onward)
        is_due = self._clock.monotonic_s() - course.advanced_s >= ADVANCE_S or not under_way
        if position > course.position and is_due:
            await store.advance(owned.fence, number, position)
            course.position, course.advanced_s = position, self._clock.monotonic_s()
            if course.is_over:
                LOG.redelivered(self._subscriber, number=number, partition=f"{owned.partition.topic}/{owned.partition.partition}")
        return not under_way

    async def _feed(self, owned: Owned, course: _Course, retained: Retained) -> None:
        """Put the next messages into their lanes: those that are done for Kafka; the others are live still."""
        number = course.redelivery.number
        room = WINDOW - len(owned.redelivering.get(number, ()))
        is_ready = not course.is_stale and course.onward < course.end and course.live < owned.committed
        has_room = room >= WINDOW // 2 and self._lanes.again_bytes < AGAIN_BYTES // 2
        if not is_ready or not has_room or not self._may_feed(owned.partition):
            return
        records, onward = await retained.read(owned.partition, course.onward, course.end, room)
        if self._owned.get(owned.partition) is not owned or owned.leaving.is_set():
            return
        if onward > course.onward:
            self._look.set()
        course.onward = onward
        for record in records:
            if record.offset >= owned.committed:
                course.onward = course.live = record.offset
                break
            if self._lanes.again_bytes >= AGAIN_BYTES:
                course.onward = record.offset
                break
            is_wanted = course.redelivery.key is None or record.key == course.redelivery.key
            if is_wanted and record.offset not in course.through:
                owned.redelivering.setdefault(number, set()).add(record.offset)
                self._lanes.put(Taken(record, owned.local_epoch, course.redelivery))
        self._wake()

    async def close(self) -> None:
        """Let go of what it reads with. Bounded in time."""
        if self._retained is not None:
            await self._retained.close()

    # -- one message

    def passes(self, owned: Owned, taken: Taken) -> bool:
        """Whether it is still wanted; else it is as if it had never been read again."""
        assert taken.redelivery is not None
        number, offset = taken.redelivery.number, taken.record.offset
        if any(item.number == number for item in self._wanted):
            return True
        owned.redelivering[number].discard(offset)
        course = self._courses.get((owned, number))
        if course is not None:
            course.onward, course.is_stale = min(course.onward, offset), True
        return False

    def again(self, record: Record, redelivery: Redelivery) -> OnceMore:
        """How its handler is told."""
        oldest = self._clock.now() - self._remembered + CLOCKS
        return OnceMore(redelivery, record.timestamp_ms < oldest.timestamp() * 1000)

    @staticmethod
    def making_way(pause: Pause, lane: Lane) -> Pause:
        """The same, but raises MadeWay as soon as a live message stands behind it."""

        async def wait(seconds: float, *, aside: bool = False) -> None:
            left_s = seconds
            while not lane.queue:
                step_s = min(left_s, MAKES_WAY_S)
                await pause(step_s, aside=aside)
                left_s -= step_s
                if left_s <= 0:
                    return
            raise MadeWay

        return wait

    async def keep(self, owned: Owned, taken: Taken, result: Result) -> None:
        """Write what became of it, and have it committed.

        Raises:
            Fenced: another worker owns the partition.
            Abandoned: the partition is handed over; whoever gets it handles the message once more, and finds what was done.
        """
        assert self._store is not None
        assert owned.fence is not None
        assert taken.redelivery is not None
        redelivered = self._redelivered(owned.partition, taken.redelivery.number, result)
        fence = owned.fence
        ticket = owned.unconfirmed.begin(self._leases.serial(fence.subscriber, fence.topic_id, fence.partition))
        while True:
            try:
                serial = await self._store.write(fence, redelivered)
                break
            except Fenced:
                raise
            except FabricError as error:
                LOG.waiting(self._subscriber, result.envelope, error, waits=1, delay_s=STORE_RETRY_S)
                await owned.pause(STORE_RETRY_S)
        owned.unconfirmed.written(ticket, serial, redelivered)
        self._written()

    def _redelivered(self, partition: TopicPartition, number: int, result: Result) -> Redelivered:
        """What failed is no dead letter anew: nothing goes to the dead-letter topic."""
        handled, dead = result.handled, result.dead_letter
        outcome = handled.kind.value if dead is None else FAILED
        detail = handled.detail if dead is None else f"{dead.code}: {dead.message}"
        transition = transition_of(result, self._codec, redelivery=number, outcome=outcome)
        mark = (REPLAY_HEADER, str(number).encode())
        outputs = tuple(replace(output, headers=(*output.headers, mark)) for output in handled.outputs)
        return Redelivered(number, partition, result.record.offset, outcome, detail, outputs, transition)

    def committed(self, owned: Owned, results: Collection[Redelivered]) -> None:
        """Kafka has them."""
        for result in results:
            owned.redelivering.get(result.number, set()).discard(result.offset)
            metrics.REDELIVERED.labels(self._subscriber, result.outcome).inc()
        if results:
            self._look.set()
