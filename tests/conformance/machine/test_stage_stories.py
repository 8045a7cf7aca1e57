"""Single stories on the stage of the protocol machine: what it found, and what is worth seeing by itself (tests 8 and 9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest
from destination import Fate
from mutations import OLDER_COPY_UNNOTICED, REFUSED_AS_COMMITTED
from network import POINTS, Trap
from stage import Stage, World
from stage_ports import consulted, unlike_the_check

from integration_fabric.delivery.strategies import Strategy
from integration_fabric.runtime.policy import AtDeadLetter
from integration_fabric.runtime.ports import Codec, Commit, Snapshot
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.takeover import ForeignStore

every_strategy = pytest.mark.parametrize("strategy", [strategy for strategy in Strategy if strategy is not Strategy.UNSAFE])
"""That finds out by itself what became of a call."""


class MakeStage(Protocol):
    """Makes a stage, gone at the end of the test."""

    def __call__(self, world: World) -> Stage: ...


@pytest.fixture
def make_stage(codec: Codec) -> Iterator[MakeStage]:
    stages: list[Stage] = []

    def make(world: World) -> Stage:
        stages.append(Stage(world, codec))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


# -- ids that come more than once


@every_strategy
@pytest.mark.parametrize("point", [point for point in POINTS if point.split()[0] in {"claim", "settle", "transaction", "answer"}])
def test_an_id_over_offsets_keys_and_partitions_is_applied_once(make_stage: MakeStage, strategy: Strategy, point: str) -> None:
    """The worker crashes at a point of the first one's way; the others come when something has become of it."""
    stage = make_stage(World(strategy, partitions=2, comes_again=True))
    stage.start().network.set_trap(point, Trap.CRASH)
    message = stage.publish("a", 0)
    stage.go(1)
    stage.rest()
    for key, partition in (("a", 0), ("b", 0), ("a", 1), ("b", 1)):
        stage.publish(key, partition, message)
    stage.rest()
    stage.invariants.check_rest()
    outcomes = [stage.invariants.first[place].outcome for place in sorted(stage.invariants.published)]
    assert outcomes == ["applied", "duplicate", "duplicate", "duplicate", "duplicate"]
    assert len({landing.position for landing in stage.destination.landed}) == 1


@every_strategy
def test_an_id_that_comes_again_while_its_outcome_is_unknown_is_applied_once(make_stage: MakeStage, strategy: Strategy) -> None:
    """The call of the first is never answered; the second, under another key, finds an open intent that is not its own."""
    stage = make_stage(World(strategy, comes_again=True))
    stage.destination.fates.append(Fate.HANGS)
    stage.publish("b", 0, stage.publish("a", 0))
    stage.start()
    stage.go(1)
    assert not stage.destination.fates
    stage.rest()
    stage.invariants.check_rest()


@pytest.mark.parametrize("fate", [Fate.HANGS, Fate.DONE_HANGS])
def test_an_unsafe_call_that_was_not_answered_is_not_made_again(make_stage: MakeStage, fate: Fate) -> None:
    """The same id under another key is not sent either: nobody knows."""
    stage = make_stage(World(Strategy.UNSAFE, comes_again=True))
    stage.destination.fates.append(fate)
    stage.publish("b", 0, stage.publish("a", 0))
    stage.start()
    stage.go(1)
    assert not stage.destination.fates
    stage.rest()
    stage.invariants.check_rest()
    assert [stage.invariants.first[0, offset].code for offset in range(2)] == ["unknown-outcome", "unknown-outcome"]


# -- what people order


@pytest.mark.parametrize("point", ["answer", "settle sent", "settle done"])
@every_strategy
def test_what_has_begun_is_not_passed_over(make_stage: MakeStage, strategy: Strategy, point: str) -> None:
    """Its call has landed, its worker is dead, and somebody skips the offset: it was applied, so it is not discarded."""
    stage = make_stage(World(strategy))
    stage.start().network.set_trap(point, Trap.CRASH)
    stage.publish("a", 0)
    stage.go(1)
    stage.skip(0, 1)
    stage.rest()
    stage.invariants.check_rest()


def test_what_has_not_begun_is_passed_over(make_stage: MakeStage) -> None:
    stage = make_stage(World())
    stage.skip(0, 2)
    for key in ("a", "a", "a"):
        stage.publish(key, 0)
    stage.rest()
    stage.invariants.check_rest()
    assert [stage.invariants.first[0, offset].outcome for offset in range(3)] == ["discarded", "discarded", "applied"]


# -- bounds, and a store that is away


@every_strategy
def test_an_outage_in_the_middle_of_an_attempt_makes_no_dead_letter(make_stage: MakeStage, strategy: Strategy) -> None:
    """The system is locked once, and for longer than a message may be tried nobody can write that down."""
    stage = make_stage(World(strategy))
    worker = stage.start()
    stage.destination.fates += [Fate.LOCKED, Fate.LOCKED]
    worker.network.set_trap("withdraw sent", Trap.HOLD)
    stage.publish("a", 0)
    stage.go(0.5)
    stage.store.is_down = True
    worker.heal()
    stage.go(150)
    stage.rest()
    stage.invariants.check_rest()
    assert stage.invariants.first[0, 0].outcome == "applied"


@pytest.mark.parametrize("point", [point for point in POINTS if point.split()[0] not in {"stop", "give_up", "found", "retake", "renew"}])
@pytest.mark.parametrize("at_dead_letter", AtDeadLetter)
def test_a_store_that_goes_at_any_point_is_waited_for(make_stage: MakeStage, point: str, at_dead_letter: AtDeadLetter) -> None:
    """It is away for longer than a message may be tried; then all goes on by itself, and nothing was guessed."""
    stage = make_stage(World(at_dead_letter=at_dead_letter))
    worker = stage.start()
    worker.network.set_trap(point, Trap.HOLD)
    for key in "aba":
        stage.publish(key, 0)
    stage.go(0.5)
    stage.store.is_down = True
    worker.heal()
    stage.go(300)
    assert not stage.invariants.offences
    stage.rest()
    stage.invariants.check_rest()
    assert [stage.invariants.first[0, offset].outcome for offset in range(3)] == ["applied"] * 3


def _try_an_older_copy(stage: Stage) -> None:
    """Kafka has committed more than the copy knows; a call was made that it does not know of, and is not made again."""
    stage.start()
    stage.publish("a", 0)
    stage.go(1)
    copy = stage.copy_of_store()
    stage.publish("a", 0)
    stage.go(1)
    (worker,) = stage.alive
    worker.network.set_trap("settle done", Trap.CRASH)
    stage.publish("a", 0)
    stage.go(1)
    landed = len(stage.destination.landed)
    stage.try_an_older_copy(copy)
    stage.invariants.judge()
    assert len(stage.destination.landed) == landed
    stage.rest()
    stage.invariants.check_rest()


@every_strategy
def test_an_older_copy_of_the_store_is_refused(make_stage: MakeStage, strategy: Strategy) -> None:
    _try_an_older_copy(make_stage(World(strategy)))


@pytest.mark.parametrize("patch", OLDER_COPY_UNNOTICED.values(), ids=OLDER_COPY_UNNOTICED.keys())
def test_an_older_copy_that_is_taken_for_the_store_is_noticed(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, patch: Callable[[pytest.MonkeyPatch], None]
) -> None:
    patch(monkeypatch)
    with pytest.raises(AssertionError, match="older copy"):
        _try_an_older_copy(make_stage(World()))


def test_a_worker_that_has_seen_more_than_its_store_shows_stops(make_stage: MakeStage) -> None:
    """The store is restored under it; Kafka was told nothing of what is lost, so only the worker itself can know."""
    stage = make_stage(World())
    worker = stage.start()
    stage.publish("a", 0)
    stage.go(1)
    copy = stage.copy_of_store()
    worker.network.set_trap("settle done", Trap.HOLD)
    stage.publish("a", 0)
    stage.go(1)
    assert len(stage.destination.landed) == 2
    stage.restore(copy)
    worker.heal()
    stage.publish("a", 0)
    stage.run(asyncio.sleep(40))
    with pytest.raises(ForeignStore, match="older copy"):
        worker.task.result()
    assert len(stage.destination.landed) == 2


# -- a batch of which a part is lost


def _lose_one_of_two(make_stage: MakeStage, seed: int) -> None:
    """One partition leaves while a transaction with results of both is under way: it is refused, and what stays is committed again."""
    stage = make_stage(World(None, partitions=2, seed=seed))
    worker = stage.start()
    stage.go(1)
    _publish_to_both(stage)
    stage.go(0.03)
    worker.network.set_trap("transaction sent", Trap.HOLD)
    _publish_to_both(stage)
    stage.go(0.4)
    stage.guest()
    stage.go(7)
    worker.heal()
    stage.go(2)
    stage.rest()
    stage.invariants.check_rest()


def _publish_to_both(stage: Stage) -> None:
    for number in range(6):
        stage.publish("ab"[number % 2], number % 2)


@pytest.mark.parametrize("seed", range(5))
def test_of_a_refused_batch_what_stays_is_committed_again(make_stage: MakeStage, seed: int) -> None:
    _lose_one_of_two(make_stage, seed)


def test_a_refused_batch_that_counts_as_committed_is_noticed(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    REFUSED_AS_COMMITTED(monkeypatch)
    with pytest.raises(AssertionError):
        _lose_one_of_two(make_stage, 3)


# -- the snapshot of a commit


def test_a_commit_under_another_snapshot_than_its_ownership_check_asked_is_noticed() -> None:
    """What all runs of the machine look for at the port, seen once."""
    partition = TopicPartition("t", 0)
    asked, fresh = (consulted(Snapshot("metadata", {partition: 1})) for _ in range(2))
    asked.epochs.get(partition)
    offsets = {partition: (1, "")}
    assert not unlike_the_check(Commit((), offsets, asked), [asked, fresh])
    assert "not asked for" in unlike_the_check(Commit((), offsets, fresh), [asked, fresh])
    assert "not handed out" in unlike_the_check(Commit((), offsets, Snapshot("fresher", asked.epochs)), [asked, fresh])
