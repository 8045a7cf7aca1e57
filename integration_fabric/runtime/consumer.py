"""The subscriber loop: take, lanes, executor, commit. One event loop owns all of its state; the consumer's thread only sends it events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from integration_fabric.messages.errors import FabricError, FailureClass, Fenced
from integration_fabric.runtime.activity import settle
from integration_fabric.runtime.backing import Backing
from integration_fabric.runtime.bounds import Bounds
from integration_fabric.runtime.committer import COMMIT_INTERVAL_S, Batch, Committer, Part, UnknownBatch
from integration_fabric.runtime.executor import Abandoned, DeadLetter, Executor, Result
from integration_fabric.runtime.feeding import FeedWatch, Fetching, Unfed
from integration_fabric.runtime.lag import Lag, LoopState
from integration_fabric.runtime.lanes import Lane, Lanes, Taken
from integration_fabric.runtime.ownership import Owned
from integration_fabric.runtime.policy import AtDeadLetter
from integration_fabric.runtime.ports import (
    Aborted,
    Fence,
    Listener,
    Pending,
    ResultUnknown,
    Snapshot,
    Stop,
)
from integration_fabric.runtime.records import Outgoing, Record, TopicPartition
from integration_fabric.runtime.redeliverer import MadeWay, Redeliverer
from integration_fabric.runtime.redelivery import Redelivery
from integration_fabric.runtime.reins import Reins
from integration_fabric.runtime.steering import Steering
from integration_fabric.runtime.storm import Storm, StormWatch
from integration_fabric.runtime.subscriber import Pause, Running
from integration_fabric.runtime.takeover import Takeover
from integration_fabric.runtime.workers import Workers
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG


class SubscriberLoop(Listener):
    """Runs one subscriber until it is drained or fails."""

    def __init__(
        self,
        *,
        running: Running,
        worker: str,
        backing: Backing,
        bury: Callable[[DeadLetter], Outgoing],
        bounds: Bounds | None = None,
        watch: StormWatch | None = None,
    ) -> None:
        """Join what it needs.

        Args:
            running: The subscriber.
            worker: The name of the process, for the activity log.
            backing: Kafka, SQL, codec and clock, or their stand-ins in memory.
            bury: Makes the record for the dead-letter topic.
            bounds: Of memory and time.
            watch: Of a loop before this one in the same worker: what it had reached holds for this one, too.
        """
        self._running, self._bounds = running, (bounds or Bounds()).holding(running.policy.in_flight)
        self._consumer, self._transactions, self._leases, self._clock = (
            backing.consumer,
            backing.transactions,
            backing.leases,
            backing.clock,
        )
        self._codec = backing.codec
        self._executor = Executor(running=running, codec=backing.codec, clock=backing.clock, bury=bury)
        self._transaction = asyncio.Lock()
        self._takeover = Takeover(subscriber=running.name, backing=backing, transaction=self._transaction, map_chars=self._bounds.map_chars)
        self._committer = Committer(subscriber=running.name, worker=worker, backing=backing, transaction=self._transaction)
        self.state = LoopState.STARTING
        self.stop: Stop | None = None
        self._watch = watch or StormWatch(running.policy)
        self._lanes = Lanes(again_at_once=max(1, running.policy.in_flight // 2))
        self._owned: dict[TopicPartition, Owned] = {}
        self._workers = Workers(lanes=self._lanes, begin=self._begin, handle=self._handle, burst=self._bounds.burst, failed=self._broke)
        self._reins = Reins(consumer=self._consumer, lanes=self._lanes, workers=self._workers)
        self._dirty = asyncio.Event()
        self._drain = asyncio.Event()
        self._failure: asyncio.Future[None] | None = None
        self.retired = 0
        """Messages whose outcome is committed."""
        self._feeding = FeedWatch()
        self._redeliverer = Redeliverer(
            subscriber=running.name,
            backing=backing,
            lanes=self._lanes,
            owned=self._owned,
            may_feed=lambda partition: self.state is LoopState.RUNNING and not self._reins.keeps(partition),
            wake=lambda: self._workers.wake(1),
            written=self._dirty.set,
            remembered=self._bounds.remembered,
        )
        self._waiting = 0
        """Messages that are being handled and wait, for a system or for their next attempt."""
        self._takeovers: set[asyncio.Task[None]] = set()
        self._last_commits: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The subscriber's."""
        return self._running.name

    @property
    def topics(self) -> Sequence[str]:
        """What it reads."""
        return sorted({kind.topic for kind in self._running.reads})

    @property
    def storm(self) -> Storm | None:
        """The dead letters that were too many."""
        return self._watch.storm

    @property
    def stands_still(self) -> bool:
        """Whether it starts nothing until a person decides."""
        return self.stop is not None or self.storm is not None

    @property
    def busy(self) -> bool:
        """Whether anything is in its lanes, done and not committed, or being taken over."""
        return bool(
            (self._lanes.ready if self._reins.starts_nothing else self._lanes.queued)
            or self._lanes.running
            or self._takeovers
            or self._transaction.locked()
            or any(owned.progress.releasable or owned.fence is None for owned in self._owned.values())
            or self._redeliverer.under_way
        )

    def has_work(self, lag: Lag) -> bool:
        """Whether there are messages in its partitions, and nothing that keeps them waiting says so itself."""
        all_wait = 0 < self._lanes.running <= self._waiting
        steering = self._reins.steering
        ordered = self.state is not LoopState.RUNNING or steering.partitions or steering.keys
        return bool(self._owned) and not (lag.nothing or all_wait or ordered)

    async def lag(self, ends: Mapping[TopicPartition, int]) -> Lag:
        """What is left to do in its partitions: for tools and tests.

        Args:
            ends: The offset after the last record of each partition, as the broker says.

        Raises:
            Unavailable: the consumer has ended.
        """
        positions = await self._consumer.positions() if self._owned else {}
        behind = sum(max(0, ends.get(partition, 0) - position) for partition, position in positions.items())
        open_count = sum(owned.progress.open_count for owned in self._owned.values())
        return Lag(self.state, behind, open_count, settling=self.busy or not self._owned)

    async def look_at_feeding(self, ends: Mapping[TopicPartition, int]) -> None:
        """Have fetched anew what the consumer seems to have forgotten; end, to be started again, where that does not help.

        Args:
            ends: As for `lag`.

        Raises:
            Unavailable: the consumer has ended.
        """
        if self._reins.held:
            self._feeding = FeedWatch()
            return
        anew, forgotten = self._feeding.look(await self._fetching(ends))
        if anew:
            LOG.refetched(self.name, partitions=[f"{partition.topic}/{partition.partition}" for partition in anew])
            await self._consumer.refetch(anew)
        if forgotten:
            names = ", ".join(f"{partition.topic}/{partition.partition}" for partition in forgotten)
            self.failed(Unfed(f"the client hears nothing of {names}, which has records"))

    async def _fetching(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, Fetching]:
        """How far the consumer is with the partitions that nothing keeps from being fetched."""
        heard, positions = await self._consumer.heard(), await self._consumer.positions()
        return {
            partition: Fetching(owned.local_epoch, positions[partition], heard[partition], ends.get(partition, 0))
            for partition, owned in self._owned.items()
            if owned.fence is not None and partition not in self._reins.held_back and partition in positions and partition in heard
        }

    def partitions(self) -> Sequence[TopicPartition]:
        """Those that it handles."""
        return [partition for partition, owned in self._owned.items() if owned.fence is not None]

    def bases(self) -> Mapping[Fence, int]:
        """The committed base of each partition that it handles: nothing below it comes again.

        None while it stands still: what comes next may then have waited for longer than anything is remembered.
        """
        if self.state is not LoopState.RUNNING:
            return {}
        return {owned.fence: owned.committed for owned in self._owned.values() if owned.fence is not None}

    async def run(self) -> None:
        """Take part in the group until `drain`. Raises what makes the consumer or a takeover impossible."""
        self._failure = asyncio.get_running_loop().create_future()
        topics = self.topics
        workers = self._workers.start(self._running.policy.in_flight)
        committing = asyncio.create_task(self._commits())
        draining = asyncio.create_task(self._drained())
        redelivering = asyncio.create_task(self._redeliverer.run())
        try:
            await self._transactions.start()
            await self._consumer.start(topics, self)
            LOG.started(self.name, topics=topics, in_flight=self._running.policy.in_flight)
            if self.state is LoopState.STARTING:
                self.state = self._at_work()
            watched: set[asyncio.Future[None]] = {draining, committing, redelivering, self._failure, *workers}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failure((committing, redelivering, *workers))
            await self._finish()
        finally:
            self.state = LoopState.ENDED
            await self._end([*workers, *self._workers.stand_ins, committing, redelivering, draining])

    def drain(self) -> None:
        """Ask it to end: what runs is finished and committed, what is queued is left to others."""
        self._drain.set()

    async def _drained(self) -> None:
        await self._drain.wait()

    def _raise_failure(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        assert self._failure is not None
        for future in (self._failure, *tasks):
            if future.done() and not future.cancelled() and (error := future.exception()):
                raise error

    async def _finish(self) -> None:
        self.state = LoopState.DRAINING
        self._reins.ending = True
        self._reins.apply()
        self._lanes.drop(list(self._owned))
        for owned in self._owned.values():
            owned.leave()
        await self._await_quiet(list(self._owned.values()), self._bounds.drain)
        await self._commit_within(self._bounds.commit)

    @staticmethod
    async def _await_quiet(owned: Sequence[Owned], within: timedelta) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                await asyncio.gather(*(item.quiet.wait() for item in owned))

    async def _commit_within(self, within: timedelta) -> None:
        """Commit what is done. A commit that takes longer goes on by itself: it holds results of partitions that stay, too."""
        task = asyncio.create_task(self._commit_surely())
        self._last_commits.add(task)
        task.add_done_callback(self._last_commits.discard)
        await asyncio.wait({task}, timeout=within.total_seconds())

    async def _commit_surely(self) -> None:
        try:
            await self._commit()
        except UnknownBatch:
            pass
        except Exception as error:  # noqa: BLE001  results are lost with it: the worker starts the subscriber anew
            self.failed(error)

    async def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        # the commit loop lives until the consumer has left: `revoked`, which leaving calls, commits through it
        await self._consumer.close()
        await self._transactions.close()
        await self._redeliverer.close()
        everything = (*tasks, *self._takeovers, *self._last_commits)
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
        metrics.QUEUED.labels(self.name).set(0)
        metrics.RUNNING.labels(self.name).set(0)

    # -- what the consumer tells

    def assigned(self, partitions: Sequence[TopicPartition], snapshot: Snapshot) -> None:
        """Begin to take them over."""
        fresh = []
        for partition in partitions:
            owned = Owned(partition, snapshot.epochs[partition], self._clock)
            self._owned[partition] = owned
            fresh.append(owned)
        self._spawn_takeover(fresh)

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Finish what runs of them, commit it, forget them."""
        self._lanes.drop(partitions)
        leaving = [owned for partition in partitions if (owned := self._owned.get(partition))]
        for owned in leaving:
            owned.leave()
        try:
            await self._await_quiet(leaving, self._bounds.revoke)
            await self._commit_within(self._bounds.commit)
        finally:  # also where nobody waits any longer: what was assigned anew by then stays
            self._forget([owned.partition for owned in leaving if self._is_mine(owned)], lost=False)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget them at once."""
        self._forget(partitions, lost=True)

    def taken(self, records: Sequence[Record], snapshot: Snapshot) -> None:
        """Queue them in their lanes."""
        if self._drain.is_set():
            return
        epochs, owned_by, lanes = snapshot.epochs, self._owned, self._lanes
        partition, owned = None, None
        for record in records:
            if partition is None or record.partition != partition.partition or record.topic != partition.topic:  # they come in runs
                partition = TopicPartition(record.topic, record.partition)
                owned = owned_by.get(partition)
                if owned is not None and (owned.fence is None or owned.local_epoch != epochs.get(partition)):
                    owned = None
            if owned is None:
                continue
            if owned.progress.take(record.offset):
                lanes.put(Taken(record, owned.local_epoch))
            elif owned.progress.releasable:
                self._dirty.set()
        self._measure()
        self._workers.wake(1)

    def failed(self, error: Exception) -> None:
        """End with this error; the worker starts the subscriber anew."""
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    # -- taking over

    def _spawn_takeover(self, owned: list[Owned]) -> None:
        if not owned:
            return
        task = asyncio.create_task(self._take_over(owned, rewind=False))
        self._takeovers.add(task)
        task.add_done_callback(self._takeovers.discard)

    async def _take_over(self, owned: list[Owned], *, rewind: bool) -> None:
        """Take them over, however often it takes, for as long as they are ours.

        Args:
            owned: Assigned together, so taken over together.
            rewind: Whether to hand out again what was handed out above the committed offset.
        """
        began, tries = self._clock.monotonic_s(), 0
        while mine := [item for item in owned if self._is_mine(item) and not item.leaving.is_set()]:
            try:
                if await self._takeover.run(mine):
                    # what left meanwhile, or came back in another epoch, has a takeover of its own
                    taken = [item for item in mine if self._is_mine(item)]
                    if taken:
                        self._go(taken, began)
                        positions = {item.partition: item.progress.base if rewind else None for item in taken}
                        await self._consumer.go(positions, epochs={item.partition: item.local_epoch for item in taken})
                    return
            except (Aborted, ResultUnknown, Pending) as error:
                LOG.commit_failed(self.name, kind="takeover", why=str(error))
            except FabricError as error:
                if error.failure is FailureClass.DEFECT:
                    self.failed(error)
                    return
                LOG.commit_failed(self.name, kind="takeover", why=str(error))
            except Exception as error:  # noqa: BLE001  the worker starts the subscriber anew
                self.failed(error)
                return
            tries += 1
            await self._clock.sleep(min(0.05 * 2 ** min(tries, 10), 2.0))

    def _go(self, owned: Sequence[Owned], began_s: float) -> None:
        took_ms = (self._clock.monotonic_s() - began_s) * 1000
        names = [f"{item.partition.topic}/{item.partition.partition}@{item.progress.base}" for item in owned]
        fence = owned[0].fence
        LOG.taken_over(self.name, partitions=names, epoch=fence.epoch if fence else 0, took_ms=took_ms)
        if any(item.redelivering for item in owned):
            self._dirty.set()
        for item in owned:
            if item.stop is not None and self._running.policy.at_dead_letter is AtDeadLetter.STOP:
                self._stop_here(item.stop)
        if self.storm is not None:
            self._stand_still()

    def _is_mine(self, owned: Owned) -> bool:
        return self._owned.get(owned.partition) is owned

    def _forget(self, partitions: Sequence[TopicPartition], *, lost: bool) -> None:
        self._lanes.drop(partitions)
        known = [partition for partition in partitions if partition in self._owned]
        for partition in known:
            self._owned.pop(partition).leave()
        if known:
            LOG.handed_over(self.name, partitions=[f"{p.topic}/{p.partition}" for p in known], lost=lost)
        self._watch_maps()
        self._measure()

    # -- handling

    def _begin(self) -> Lane | None:
        """The next lane to run."""
        lane = self._lanes.start()
        if self._reins.full and self._bounds.has_room(self._lanes.queued, self._lanes.queued_bytes):
            self._measure()
        return lane

    async def _handle(self, lane: Lane) -> None:
        taken = lane.running
        assert taken is not None
        record = taken.record
        owned = self._owned.get(lane.partition)
        if owned is None or owned.local_epoch != taken.epoch or owned.fence is None:
            self._lanes.finish(lane)
            return
        owned.enter()
        try:
            if taken.redelivery is not None:
                await self._handle_again(owned, lane, taken, taken.redelivery)
                return
            order = self._reins.steering.skip(owned.partition, record.offset)
            if order is not None:
                result = await self._executor.pass_over(record, owned.fence, self._pause_of(owned), why=f"{order.why} ({order.by})")
            else:
                result = await self._executor.execute(record, owned.fence, self._pause_of(owned))
            if result.dead_letter is not None:
                await self._stop_at(owned, result)
            self._complete(owned, result)
        except Abandoned:
            pass
        except Fenced:
            self._retake([owned])
        finally:
            owned.end()
            self._lanes.finish(lane)

    async def _handle_again(self, owned: Owned, lane: Lane, taken: Taken, redelivery: Redelivery) -> None:
        """What is redelivered has no offset to complete; a live message of its key does not wait for it to wait."""
        assert owned.fence is not None
        if not self._redeliverer.passes(owned, taken):
            return
        pause = self._redeliverer.making_way(self._pause_of(owned), lane)
        try:
            again = self._redeliverer.again(taken.record, redelivery)
            result = await self._executor.execute(taken.record, owned.fence, pause, again)
        except MadeWay:
            self._lanes.put_back(lane)
            return
        await self._redeliverer.keep(owned, taken, result)

    def _pause_of(self, owned: Owned) -> Pause:
        async def pause(seconds: float, *, aside: bool = False) -> None:
            self._waiting += 1
            try:
                if aside and seconds > 0:
                    await self._workers.aside(owned.pause(seconds))
                else:
                    await owned.pause(seconds)
            finally:
                self._waiting -= 1

        return pause

    def _broke(self, error: BaseException) -> None:
        self.failed(error if isinstance(error, Exception) else RuntimeError(str(error)))

    def _complete(self, owned: Owned, result: Result) -> None:
        if not self._is_mine(owned):
            return
        owned.progress.complete(result.record.offset, settle(result, owned.partition, self._codec))
        if owned.progress.releasable:
            self._dirty.set()
        self._watch_storm(dead_lettered=result.dead_letter is not None)

    def _watch_storm(self, *, dead_lettered: bool) -> None:
        """Stand still once too much is dead-lettered. Where it does so already it starts nothing, and what still runs says nothing new."""
        if self.stands_still:
            return
        self._watch.note(dead_lettered=dead_lettered)
        if (storm := self.storm) is not None:
            self._stand_still()
            LOG.storm(self.name, storm.limit.value, reached=str(storm))

    async def _stop_at(self, owned: Owned, result: Result) -> None:
        """Remember durably that the subscriber stands still here; Kafka's commit of the dead letter confirms it."""
        record, dead = result.record, result.dead_letter
        assert dead is not None
        assert owned.fence is not None
        if record.key is None or dead.failure is FailureClass.UNDECODABLE or self._running.policy.at_dead_letter is AtDeadLetter.SKIP:
            return
        stop = Stop(owned.partition, record.offset, record.key, dead.code, dead.message)
        while True:
            try:
                await self._leases.stop(owned.fence, stop)
                break
            except Fenced:
                raise
            except FabricError:
                await owned.pause(0.5)
        self._stop_here(stop)

    def _stop_here(self, stop: Stop) -> None:
        self.stop = self.stop or stop
        self._stand_still()
        position = f"{stop.partition.topic}/{stop.partition.partition}/{stop.offset}"
        LOG.stopped(self.name, position=position, key=stop.key.decode("utf-8", "replace"), code=stop.code, why=stop.message)

    def _stand_still(self) -> None:
        """What runs is finished and committed, nothing is started; what is left queued is taken again by whoever goes on."""
        self.state = LoopState.STOPPED
        self._reins.still = True
        self._reins.apply()
        metrics.STOPPED.labels(self.name).set(1)

    def redeliver(self, wanted: Sequence[Redelivery]) -> None:
        """Go on with these from now on, as far as they are this subscriber's, and with no others."""
        self._redeliverer.want(wanted)

    def steer(self, steering: Steering) -> None:
        """Do as people order from now on."""
        if steering == self._reins.steering:
            return
        self._reins.steering = steering
        self._reins.apply()
        LOG.steered(self.name, paused=steering.is_paused, draining=steering.is_draining, skips=len(steering.skips))
        if self.state in {LoopState.RUNNING, LoopState.PAUSED}:
            self.state = self._at_work()

    def _at_work(self) -> LoopState:
        return LoopState.PAUSED if self._reins.steering.stands else LoopState.RUNNING

    def _measure(self) -> None:
        queued, kept, bounds = self._lanes.queued, sum(owned.progress.kept_count for owned in self._owned.values()), self._bounds
        full, size_bytes = self._reins.full, self._lanes.queued_bytes
        if not full and (queued >= bounds.high_messages or size_bytes >= bounds.high_bytes or kept >= bounds.kept_messages):
            full = True
        elif full and bounds.has_room(queued, size_bytes) and kept <= bounds.kept_messages // 2:
            full = False
        if full != self._reins.full:
            self._reins.full = full
            self._reins.apply()
        metrics.QUEUED.labels(self.name).set(queued)
        metrics.RUNNING.labels(self.name).set(self._lanes.running)

    # -- committing

    async def _commits(self) -> None:
        last = -COMMIT_INTERVAL_S
        while True:
            await self._dirty.wait()
            while self._lanes.ready and (wait := last + COMMIT_INTERVAL_S - self._clock.monotonic_s()) > 0:
                await self._clock.sleep(min(wait, 0.01))
            self._dirty.clear()
            last = self._clock.monotonic_s()
            with suppress(UnknownBatch):
                await self._commit()

    async def _commit(self) -> None:
        try:
            batch = await self._committer.commit(self._release, self._is_mine)
        except UnknownBatch as unknown:
            self._retake([part.owned for part in unknown.batch.parts.values()])
            raise
        for part in batch.parts.values():
            part.owned.committed = part.released.base
            self.retired += len(part.released.results) + len(part.redelivered)
            self._redeliverer.committed(part.owned, part.redelivered)

    def _release(self) -> Batch:
        batch = Batch()
        for partition, owned in self._owned.items():
            if owned.fence is not None and (part := self._part(owned, owned.fence)):
                batch.parts[partition] = part
        self._watch_maps()
        if self._reins.full:
            self._measure()
        return batch

    def _part(self, owned: Owned, fence: Fence) -> Part | None:
        if not owned.progress.releasable and not owned.unconfirmed.releasable:
            return None
        redelivered, serial = owned.unconfirmed.release(self._leases.serial(fence.subscriber, fence.topic_id, fence.partition))
        released = owned.progress.release(surely=bool(redelivered))
        if released is None:
            return None
        owned.serial = max(owned.serial, serial)
        return Part(owned, released, redelivered, owned.serial)

    def _watch_maps(self) -> None:
        """A partition whose map has little room left starts only what closes gaps, and takes nothing more, until it has much again."""
        tight = {
            partition: owned.progress.frontier
            for partition, owned in self._owned.items()
            if owned.progress.is_tight or (partition in self._reins.tight and not owned.progress.is_loose)
        }
        if tight == self._reins.tight:
            return
        for partition in tight.keys() ^ self._reins.tight.keys():
            LOG.offset_map(self.name, partition=f"{partition.topic}/{partition.partition}", tight=partition in tight)
        self._reins.tight = tight
        self._reins.apply()
        metrics.TIGHT.labels(self.name).set(len(tight))

    def _retake(self, owned: Sequence[Owned]) -> None:
        """Forget what is under way of these partitions, and take them over again if they are still ours."""
        mine = [item for item in owned if self._is_mine(item)]
        if not mine:
            return
        partitions = [item.partition for item in mine]
        self._forget(partitions, lost=True)
        task = asyncio.create_task(self._renew(partitions))
        self._takeovers.add(task)
        task.add_done_callback(self._takeovers.discard)

    async def _renew(self, partitions: Sequence[TopicPartition]) -> None:
        try:
            snapshot = await self._consumer.retake(partitions)
        except Exception as error:  # noqa: BLE001  the consumer is gone: the subscriber is started anew
            self.failed(error)
            return
        latest = self._consumer.snapshot().epochs  # what was lost on the way here is told before we are
        kept = [p for p in partitions if p in latest and latest[p] == snapshot.epochs.get(p)]
        if not kept:
            return
        self._forget(kept, lost=True)  # assigned anew just before it was retaken: that epoch is over
        fresh = [Owned(partition, snapshot.epochs[partition], self._clock) for partition in kept]
        for item in fresh:
            self._owned[item.partition] = item
        await self._take_over(fresh, rewind=True)
