"""The consumer of one subscriber on the memory broker. One task makes its turns, as a thread does on Kafka: commands, then what is new."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from integration_fabric.backends.memory.broker import Membership, MemoryBroker
from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.ports import CommittedOffset, Consumer, Listener, Snapshot
from integration_fabric.runtime.records import Record, TopicPartition

T = TypeVar("T")

BATCH = 1000
"""Records taken in one turn."""
REVOKE_BOUND = timedelta(seconds=4)
"""As on Kafka."""


class MemoryConsumer(Consumer):
    """Implements `runtime.ports.Consumer`. What happens to it is said by `freeze`, `deafen`, `lose` and `crash`."""

    def __init__(self, *, broker: MemoryBroker, group: str, batch: int = BATCH, revoke_bound: timedelta = REVOKE_BOUND) -> None:
        """Make it; it is no member before `start`.

        Args:
            broker: Where its topics are.
            group: The consumer group.
            batch: How many records it takes in one turn.
            revoke_bound: How long a rebalance waits for the listener, in real time.
        """
        self._broker, self._group, self._batch, self._revoke_bound = broker, group, batch, revoke_bound
        self._topics: tuple[str, ...] = ()
        self._topic_ids: Mapping[str, str] = {}
        self._listener: Listener | None = None
        self._member, self._member_epoch = "", 0
        self._epochs: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._waiting: set[TopicPartition] = set()
        self._held_back: frozenset[TopicPartition] = frozenset()
        self._next_epoch = 1
        self._turns = 0
        self._short = False
        self._held = False
        self._commands: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._woken, self._thawed = asyncio.Event(), asyncio.Event()
        self._thawed.set()
        self._closing = self._ended = self._deaf = False
        self._snapshot = Snapshot(None, {})
        self._task: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] = lambda: None

    async def start(self, topics: Sequence[str], listener: Listener) -> None:
        """Join the group. Raises UsageProblem where a topic is not there."""
        self._topics, self._listener = tuple(topics), listener
        self._topic_ids = self._broker.topic_ids(topics)
        self._unwatch = self._broker.watch(self)
        self._member = self._broker.join(self._group, self._topics)
        self._task = asyncio.create_task(self._main(), name=f"consumer {self._group}")

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        """What is committed, or the reset position."""
        return await self._ask(lambda: self._broker.committed(self._group, partitions))

    async def go(self, positions: Mapping[TopicPartition, int | None], *, epochs: Mapping[TopicPartition, int] | None = None) -> None:
        """Hand out records of these partitions, where they are owned in these epochs."""
        await self._ask(lambda: self._go(positions, epochs if epochs is not None else self._epochs))

    async def retake(self, partitions: Sequence[TopicPartition]) -> Snapshot:
        """Give them a new local epoch."""
        return await self._ask(lambda: self._retake(partitions))

    def hold(self) -> None:
        """Hand out nothing for now."""
        self._held = True

    def release(self) -> None:
        """The end of `hold`."""
        self._held = False
        self.wake()

    def hold_back(self, partitions: Collection[TopicPartition]) -> None:
        """Hand out nothing of these for now."""
        self._held_back = frozenset(partitions)
        self.wake()

    async def positions(self) -> Mapping[TopicPartition, int]:
        """The offset that each of its partitions hands out next."""
        return await self._ask(lambda: {partition: self._positions.get(partition, 0) for partition in self._epochs})

    async def heard(self) -> Mapping[TopicPartition, int]:
        """What the broker says: nothing is forgotten here."""
        return await self._ask(lambda: {partition: self._broker.end(partition) for partition in self._epochs})

    async def refetch(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is forgotten here."""

    def snapshot(self) -> Snapshot:
        """The latest turn's."""
        return self._snapshot

    def topic_id(self, topic: str) -> str:
        """The broker's id of a topic that is read."""
        return self._topic_ids[topic]

    async def close(self) -> None:
        """Leave the group."""
        self._closing = True
        self.wake()
        if self._task is None:
            return
        if not self._thawed.is_set():
            self._task.cancel()
        await asyncio.wait({self._task})

    # -- what a test does to it

    @property
    def member(self) -> str:
        """Its name in the group."""
        return self._member

    def wake(self) -> None:
        """Something has changed."""
        self._woken.set()

    def freeze(self) -> None:
        """Make no turn until `thaw`, as a stopped process: what happens to the group is not noticed."""
        self._thawed.clear()

    def thaw(self) -> None:
        """The end of `freeze`."""
        self._thawed.set()

    def deafen(self) -> None:
        """Go on making turns, but hear nothing of what happens to the group until `hear`: as between two heartbeats."""
        self._deaf = True

    def hear(self) -> None:
        """The end of `deafen`."""
        self._deaf = False
        self.wake()

    def lose(self) -> None:
        """Its session ends: others may have its partitions at once, and at its next turn it is told `lost` and joins anew."""
        self._broker.expire(self._group, self._member)

    def crash(self) -> None:
        """Be gone without a word, as after `kill -9` and the end of the session."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
        self._unwatch()
        self._unwatch = lambda: None
        self._broker.expire(self._group, self._member)

    # -- turns

    async def _main(self) -> None:
        assert self._listener is not None
        try:
            while not self._closing:
                await self._turn()
        except Exception as error:  # noqa: BLE001  as on Kafka, nothing else ends it
            self._tell(self._listener.failed, error)
        finally:
            await self._leave()

    async def _turn(self) -> None:
        await self._thawed.wait()
        self._woken.clear()
        obeyed = self._obey()
        moved = await self._reconcile()
        records = self._take()
        if records:
            assert self._listener is not None
            self._tell(self._listener.taken, records, self._snapshot)
        if obeyed or moved or records:
            await asyncio.sleep(0)
        elif not self._closing:
            await self._woken.wait()

    def _obey(self) -> bool:
        obeyed = bool(self._commands)
        while self._commands:
            call, answer = self._commands.popleft()
            try:
                result = call()
            except Exception as error:  # noqa: BLE001  it belongs to whoever asked
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)
        return obeyed

    async def _reconcile(self) -> bool:
        """Let go of what others are to have, take what is free. Returns whether anything changed."""
        assert self._listener is not None
        if self._deaf:
            return False
        if not self._broker.is_member(self._group, self._member):
            self._forget_all()
            return True
        epoch, share = self._broker.share(self._group, self._member)
        if epoch == self._member_epoch and not self._short:
            return False
        leaving = sorted(self._epochs.keys() - share)
        if leaving:
            await self._revoke(leaving)
            self._drop(leaving)
            self._broker.give_up(self._group, self._member, leaving)
            return True
        fresh = self._broker.move_up(self._group, self._member, epoch)
        self._member_epoch = epoch
        self._begin(fresh)
        self._positions.update((partition, self._broker.position(self._group, partition).offset) for partition in fresh)
        self._waiting.update(fresh)
        self._short = share != self._epochs.keys()
        self._look()
        if fresh:
            self._tell(self._listener.assigned, fresh, self._snapshot)
        return bool(fresh)

    def _forget_all(self) -> None:
        assert self._listener is not None
        gone = sorted(self._epochs)
        self._drop(gone)
        if gone:
            self._tell(self._listener.lost, gone)
        self._member_epoch = 0
        self._member = self._broker.join(self._group, self._topics)

    async def _revoke(self, partitions: Sequence[TopicPartition]) -> None:
        assert self._listener is not None
        revoking = asyncio.ensure_future(self._listener.revoked(partitions))  # begins after what was told before
        await asyncio.wait({revoking}, timeout=self._revoke_bound.total_seconds())
        if not revoking.done():
            revoking.cancel()
        elif not revoking.cancelled() and (error := revoking.exception()) is not None:
            raise error

    def _tell(self, what: Callable[..., object], *arguments: object) -> None:
        """The listener hears of a turn after it, in order: the consumer is ahead of the event loop, as a thread is."""
        asyncio.get_running_loop().call_soon(what, *arguments)

    def _take(self) -> list[Record]:
        if self._held:
            return []
        active = [partition for partition in sorted(self._epochs) if partition not in self._waiting and partition not in self._held_back]
        self._turns += 1
        start = self._turns % len(active) if active else 0
        records: list[Record] = []
        for partition in (*active[start:], *active[:start]):
            found, self._positions[partition] = self._broker.take(partition, self._positions[partition], self._batch - len(records))
            records += found
        return records

    async def _leave(self) -> None:
        if self._ended:
            return
        self._ended = True
        owned = sorted(self._epochs)
        if owned and self._thawed.is_set():
            await self._revoke(owned)
        self._drop(owned)
        self._broker.expire(self._group, self._member)
        self._unwatch()
        while self._commands:
            _, answer = self._commands.popleft()
            if not answer.done():
                answer.set_exception(Unavailable(f"consumer of {self._group} has ended"))

    # -- commands

    async def _ask(self, call: Callable[[], T]) -> T:
        if self._ended:
            raise Unavailable(f"consumer of {self._group} has ended")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._commands.append((call, answer))
        self.wake()
        result: T = await answer
        return result

    def _go(self, positions: Mapping[TopicPartition, int | None], epochs: Mapping[TopicPartition, int]) -> None:
        for partition, offset in positions.items():
            if partition in self._epochs and self._epochs[partition] == epochs.get(partition):
                if offset is not None:
                    self._positions[partition] = offset
                self._waiting.discard(partition)

    def _retake(self, partitions: Sequence[TopicPartition]) -> Snapshot:
        ours = [partition for partition in partitions if partition in self._epochs]
        self._waiting.update(ours)
        self._begin(ours)
        self._look()
        return self._snapshot

    def _begin(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._epochs[partition] = self._next_epoch
            self._next_epoch += 1

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._positions.pop(partition, None)
            self._waiting.discard(partition)
        self._look()

    def _look(self) -> None:
        self._snapshot = Snapshot(Membership(self._group, self._member, self._member_epoch), dict(self._epochs))
