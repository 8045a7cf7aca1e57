"""The state machine of protocol.md, test 1: all that can happen to workers on the real core, in any order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Any

from destination import Fate
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans, integers, lists, sampled_from, tuples
from network import POINTS, Trap
from stage import REMEMBERED_S, Stage, Worker, World

from integration_fabric.backends.memory.transactions import Fault
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.runtime.policy import AtDeadLetter
from integration_fabric.runtime.ports import Codec

MOST_WORKERS = 3
DAY_S = 90_000.0
OUTAGE_S = 150.0
"""Longer than a message may be tried."""

KEYS = lists(sampled_from("ab"), min_size=1, max_size=6)
FATES = lists(sampled_from(Fate), max_size=3)
HANDED_OVER = sampled_from(
    (
        "transaction sent",
        "transaction open",
        "take sent",
        "claim sent",
        "claim done",
        "settle sent",
        "transaction ended",
        "stops sent",
        "stop sent",
        "go done",
    )
)
"""Where a worker is most dangerous that does not know that it lost a partition."""
TAKING_OVER = ("take sent", "stops sent", "go done")
TRAPS = lists(tuples(sampled_from(POINTS), sampled_from(Trap)), min_size=1, max_size=4)
WHO = integers(0, MOST_WORKERS - 1)
PARTITION = integers(0, 1)
THEN_S = sampled_from((0.05, 0.01, 0.002, 0.4, 2.0, 7.0))
"""How long everything goes on before the next thing happens: from less than a call to longer than any deadline."""


class Event(Enum):
    """What happens to a worker, or to all of them."""

    STARTS = "another one starts"
    CRASHES = "it is killed"
    MOVES = "its partitions move, and it does not notice"
    LOSES = "its session ends, and it is told so"
    DRAINS = "it is asked to end"
    GUEST = "a guest comes and takes partitions, or all guests go"
    FORGETS = "what is old is forgotten, and then it is killed"
    LET_GO = "whatever is held up goes on, and all hear of their partitions"


class StoreEvent(Enum):
    """What happens to the store."""

    GOES_OR_COMES = "it goes away, or comes back"
    LONG_AWAY = "it is away for long, and comes back"
    PRUNED = "what is old is forgotten"
    SWAPPED = "somebody tries another one"
    RESTORED = "somebody tries a copy that was made before more came about"


class ProtocolMachine(RuleBasedStateMachine):
    """One run. Each rule says what happens, and how long everything goes on after it."""

    def __init__(self, codec: Codec, world: Mapping[str, Any] | None = None, focus: Collection[str] = ()) -> None:
        """Take what stays the same in all runs: of the world, and the rules that are used beside `arrive`; all where none is named."""
        super().__init__()
        self._codec, self._fixed, self._focus = codec, world or {}, focus
        self._stage: Stage | None = None
        self._is_broken = False
        self._since = 0
        """Records before this one are so old that their messages do not come again."""

    @property
    def stage(self) -> Stage:
        assert self._stage is not None
        return self._stage

    def uses(self, rule: str) -> bool:
        """Whether it is used."""
        return not self._focus or rule in self._focus

    @initialize(
        strategy=sampled_from([*Strategy, None]),
        at_dead_letter=sampled_from([AtDeadLetter.SKIP, AtDeadLetter.SKIP, AtDeadLetter.STOP]),
        partitions=integers(1, 2),
        map_chars=sampled_from([3900, 3900, 5, 0]),
        in_flight=sampled_from([4, 1]),
        comes_again=booleans(),
        seed=integers(0, 1000),
        keys=KEYS,
        fates=FATES,
        workers=integers(1, 2),
    )
    def begin(self, *, keys: list[str], fates: list[Fate], workers: int, **drawn: Any) -> None:
        self._stage = Stage(World(**{**drawn, **self._fixed}), self._codec)
        for _ in range(workers):
            self.stage.start()
        self.arrive(keys=keys, partition=0, fates=fates, then_s=0.4)

    # -- what comes in, and what the destination does with it

    @rule(keys=KEYS, partition=PARTITION, fates=FATES, then_s=THEN_S)
    def arrive(self, *, keys: list[str], partition: int, fates: list[Fate], then_s: float) -> None:
        for key in keys:
            self.stage.publish(key, partition % self.stage.world.partitions)
            partition += 1
        self._fate(fates)
        self._go(then_s)

    @precondition(lambda self: self.uses("come_again"))
    @precondition(lambda self: self.stage.world.comes_again and self.stage.world.strategy)
    @rule(which=integers(0, 9), keys=KEYS, partition=PARTITION, fates=FATES, then_s=THEN_S)
    def come_again(self, *, which: int, keys: list[str], partition: int, fates: list[Fate], then_s: float) -> None:
        """An id that came before, under other keys and in other partitions."""
        known = self.stage.invariants.recent_messages(self._since)
        for key in keys if known else ():
            self.stage.publish(key, partition % self.stage.world.partitions, known[which % len(known)])
            partition += 1
        self._fate(fates)
        self._go(then_s)

    @precondition(lambda self: self.uses("calls_fail"))
    @precondition(lambda self: self.stage.world.strategy)
    @rule(fates=lists(sampled_from(Fate), min_size=1, max_size=5), question_fails=booleans(), then_s=THEN_S)
    def calls_fail(self, *, fates: list[Fate], question_fails: bool, then_s: float) -> None:
        self._fate(fates)
        self.stage.destination.find_fails = int(question_fails)
        self._go(then_s)

    def _fate(self, fates: list[Fate]) -> None:
        if self.stage.world.strategy is not None:
            self.stage.destination.fates.extend(fates)

    # -- workers, transactions, the store

    @precondition(lambda self: self.uses("worker"))
    @rule(event=sampled_from(Event), who=WHO, then_s=THEN_S)
    def worker(self, *, event: Event, who: int, then_s: float) -> None:
        self._guarded(lambda: self._happen(event, who))
        self._go(then_s)

    @precondition(lambda self: self.uses("trap"))
    @rule(who=WHO, traps=TRAPS, keys=KEYS, partition=PARTITION, event=sampled_from([None, *Event]), then_s=THEN_S)
    def trap(self, *, who: int, traps: list[tuple[str, Trap]], keys: list[str], partition: int, event: Event | None, then_s: float) -> None:
        """A worker will be stopped at some points, and there is something to do; afterwards something happens to it."""
        worker = self._somebody(who)
        for point, trap in traps:
            worker.network.set_trap(point, trap)
        self.arrive(keys=keys, partition=partition, fates=[], then_s=then_s)
        if event is not None:
            self.worker(event=event, who=who, then_s=then_s)

    @precondition(lambda self: self.uses("zombie"))
    @rule(
        point=HANDED_OVER,
        trap=sampled_from((Trap.HOLD, Trap.MOVE)),
        event=sampled_from(Event),
        keys=KEYS,
        partition=PARTITION,
        lead_s=sampled_from((0.0, 0.01, 0.06)),
        then_s=THEN_S,
    )
    def zombie(self, *, point: str, trap: Trap, event: Event, keys: list[str], partition: int, lead_s: float, then_s: float) -> None:
        """Something of a worker is held up while its partitions move, and goes on when others have had time to work."""
        if event is Event.GUEST:  # takes one partition of two
            for other in self.stage.alive[1:]:
                other.crash()
            self._go(1.0)
        elif len(self.stage.alive) == 1:
            self.stage.start()
        worker = self._newcomer() if point in TAKING_OVER else self._somebody(0)
        if lead_s:
            self.arrive(keys=keys, partition=partition, fates=[], then_s=lead_s)
        worker.network.set_trap(point, trap)
        self.arrive(keys=keys, partition=partition, fates=[], then_s=then_s)
        self.worker(event=event, who=0, then_s=7.0)
        self.arrive(keys=keys, partition=partition, fates=[], then_s=1.0)
        self.worker(event=Event.LET_GO, who=0, then_s=then_s)

    @precondition(lambda self: self.uses("transactions_fail"))
    @rule(who=WHO, faults=lists(sampled_from(Fault), min_size=1, max_size=2), keys=KEYS, partition=PARTITION, then_s=THEN_S)
    def transactions_fail(self, *, who: int, faults: list[Fault], keys: list[str], partition: int, then_s: float) -> None:
        self._somebody(who).transactions.fail_next(*faults)
        self.arrive(keys=keys, partition=partition, fates=[], then_s=then_s)

    @precondition(lambda self: self.uses("store"))
    @rule(event=sampled_from(StoreEvent), keys=KEYS, partition=PARTITION, fates=FATES, then_s=THEN_S)
    def store(self, *, event: StoreEvent, keys: list[str], partition: int, fates: list[Fate], then_s: float) -> None:
        """There is something to do when it happens."""
        self.arrive(keys=keys, partition=partition, fates=fates, then_s=0.002)
        self._guarded(lambda: self._happen_to_store(event))
        self._go(then_s)

    def _happen(self, event: Event, who: int) -> None:
        stage, worker = self.stage, self._somebody(who)
        happen: dict[Event, Callable[[], object]] = {
            Event.STARTS: lambda: stage.start() if len(stage.alive) < MOST_WORKERS else None,
            Event.CRASHES: worker.crash,
            Event.MOVES: worker.move,
            Event.LOSES: worker.consumer.lose,
            Event.DRAINS: worker.loop.drain,
            Event.GUEST: stage.guest,
            Event.FORGETS: lambda: (stage.prune(), stage.go(0.2), worker.crash()),
            Event.LET_GO: lambda: [each.heal() for each in stage.workers],
        }
        happen[event]()

    def _happen_to_store(self, event: StoreEvent) -> None:
        stage = self.stage
        happen: dict[StoreEvent, Callable[[], object]] = {
            StoreEvent.GOES_OR_COMES: stage.toggle_store,
            StoreEvent.LONG_AWAY: lambda: stage.outage(OUTAGE_S),
            StoreEvent.PRUNED: stage.prune,
            StoreEvent.SWAPPED: stage.try_another_store,
            StoreEvent.RESTORED: self._try_an_older_copy,
        }
        happen[event]()

    def _try_an_older_copy(self) -> None:
        copy = self.stage.copy_of_store()
        self.stage.go(0.4)
        self.stage.try_an_older_copy(copy)

    # -- people, and time

    @precondition(lambda self: self.uses("skip"))
    @rule(partition=PARTITION, count=integers(0, 3), keys=KEYS, then_s=THEN_S)
    def skip(self, *, partition: int, count: int, keys: list[str], then_s: float) -> None:
        """What is left and what comes next is to be discarded, but for what has begun."""
        number = partition % self.stage.world.partitions
        self.stage.skip(number, self.stage.broker.end(self.stage.partitions[number]) + count)
        self.arrive(keys=keys, partition=partition, fates=[], then_s=then_s)

    @precondition(lambda self: self.uses("redeliver"))
    @rule(force=booleans(), key=sampled_from((None, b"a")), keys=KEYS, partition=PARTITION, fates=FATES, then_s=THEN_S)
    def redeliver(self, *, force: bool, key: bytes | None, keys: list[str], partition: int, fates: list[Fate], then_s: float) -> None:
        """What is there is to be handled once more, beside what comes."""
        self.stage.redeliver(force=force, key=key)
        self.arrive(keys=keys, partition=partition, fates=fates, then_s=then_s)

    @precondition(lambda self: self.uses("redeliver"))
    @rule(paused=booleans(), then_s=THEN_S)
    def pause_redeliveries(self, *, paused: bool, then_s: float) -> None:
        self.stage.pause_redeliveries(paused=paused)
        self._go(then_s)

    @precondition(lambda self: self.uses("rest"))
    @rule(passes_s=sampled_from((0.0, REMEMBERED_S + 60, DAY_S)))
    def rest(self, passes_s: float) -> None:
        """All comes to rest; then it may be that nobody works for long, and no id comes again that came before."""
        self._guarded(self._rest)
        if passes_s:
            for worker in self.stage.alive:
                worker.crash()
            self._go(passes_s)
            self._since = len(self.stage.invariants.published)

    @precondition(lambda self: self.uses("nobody_works_for_a_day"))
    @precondition(lambda self: not self.stage.world.comes_again)
    @rule()
    def nobody_works_for_a_day(self) -> None:
        """Where ids come again that is ruled out: they would be pruned while they wait, as after 35 days of standing still."""
        for worker in self.stage.alive:
            worker.crash()
        self._go(DAY_S)

    # -- what must hold

    @invariant()
    def holds(self) -> None:
        if self._stage is not None:
            self._guarded(self.stage.invariants.check)

    def teardown(self) -> None:
        if self._stage is None:
            return
        try:
            if not self._is_broken:
                self._rest()
        finally:
            self.stage.close()

    def _rest(self) -> None:
        self.stage.rest()
        self.stage.invariants.check_rest()

    def _somebody(self, who: int) -> Worker:
        """Those first that own something."""
        alive = sorted(self.stage.alive or [self.stage.start()], key=lambda worker: not worker.loop.told)
        return alive[who % len(alive)]

    def _newcomer(self) -> Worker:
        """One that is about to take over all that others have."""
        others = self.stage.alive[: MOST_WORKERS - 1]
        for other in self.stage.alive[MOST_WORKERS - 1 :]:
            other.crash()
        newcomer = self.stage.start()
        for other in others:
            other.consumer.lose()
        return newcomer

    def _go(self, seconds: float) -> None:
        self._guarded(lambda: self.stage.go(seconds))

    def _guarded(self, what: Callable[[], object]) -> None:
        try:
            what()
        except BaseException:
            self._is_broken = True
            raise
