"""The rules of protocol.md (A-E, I, K), each switched off at the one place that keeps it. The machine must notice every one (test 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from stage_ports import StageTransactions

from integration_fabric.backends.memory import stores
from integration_fabric.backends.memory.broker import Membership, MemoryBroker
from integration_fabric.backends.memory.consumer import MemoryConsumer
from integration_fabric.backends.memory.redeliveries import MemoryRedeliveries
from integration_fabric.backends.memory.store import MemoryStore
from integration_fabric.backends.memory.stores import MemoryEffects, MemoryLeases
from integration_fabric.delivery import effects
from integration_fabric.delivery.effects import Once
from integration_fabric.delivery.ports import EffectState, Fresh, Remembered
from integration_fabric.delivery.strategies import Strategy
from integration_fabric.messages.errors import Transient, UnknownOutcome
from integration_fabric.runtime import executor, failures
from integration_fabric.runtime.committer import Committer
from integration_fabric.runtime.consumer import SubscriberLoop
from integration_fabric.runtime.offset_map import OffsetMap
from integration_fabric.runtime.offsets import Done, Progress, Released
from integration_fabric.runtime.policy import AtDeadLetter
from integration_fabric.runtime.ports import Aborted, Commit, CommittedOffset, Lease, Refused, ResultUnknown, Snapshot
from integration_fabric.runtime.redeliverer import Redeliverer
from integration_fabric.runtime.redelivery import Unconfirmed
from integration_fabric.runtime.takeover import Standing, Takeover

_OVER = stores._OVER
Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule switched off."""

    name: str
    rule: str
    patch: Patch
    world: Mapping[str, Any] = field(default_factory=dict)
    """Of a run in which the rule matters: the search is then shorter."""
    focus: Sequence[str] = ()
    """What happens in a run in which the rule matters, for the same reason; anything where nothing is named."""


def _set(target: Any, name: str, value: Any) -> Patch:
    return lambda monkeypatch: monkeypatch.setattr(target, name, value)


def _around(target: Any, name: str, wrap: Callable[[Any], Any]) -> Patch:
    """Replace a method by what `wrap` makes of it."""
    return lambda monkeypatch: monkeypatch.setattr(target, name, wrap(getattr(target, name)))


# -- A. taking a partition over


def _no_wait_for_takeover(original: Any) -> Any:
    def begin(self: Any, partitions: Any) -> None:
        original(self, partitions)
        self._waiting.clear()

    return begin


def _go_on_beside_open(self: MemoryBroker, group: str, partitions: Any) -> Any:
    return {partition: self.position(group, partition) for partition in partitions}


async def _no_fence(*_: Any) -> None:
    return None


async def _no_announcement(*_: Any) -> bool:
    return True


def _raise_always(self: MemoryLeases, subscriber: str, lease: Any, owner: str) -> bool:
    self._store.put(self._store.leases, (subscriber, lease.topic_id, lease.partition.partition), Lease(lease.epoch, 0, owner))
    return True


def _first_stop_of_all(self: MemoryLeases, subscriber: str, lease: Any, done: Any) -> list[Any]:
    mine = sorted(key for key in self._stops if key[:3] == (subscriber, lease.topic_id, lease.partition.partition))
    return [self._stops[key] for key in mine][:1]


async def _no_stops(*_: Any) -> list[Any]:
    return []


def _without_map(original: Any) -> Any:
    async def announce(self: Any, owned: Any, standings: Any, epoch: int) -> Any:
        for standing in standings.values():
            metadata = standing.committed.metadata
            if metadata is not None:
                object.__setattr__(standing.committed, "metadata", replace(metadata, completed=""))
        return await original(self, owned, standings, epoch)

    return announce


# -- B to D. effects


def _fresh_without_a_row(original: Any) -> Any:
    async def claim(self: Any, *arguments: Any, **named: Any) -> Any:
        found = await original(self, *arguments, **named)
        if isinstance(found, Fresh):
            self._store.drop(self._rows, (arguments[0].subscriber, arguments[1]))
        return found

    return claim


def _claim(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        async def claim(self: Any, *arguments: Any, **named: Any) -> Any:
            return change(await original(self, *arguments, **named))

        return claim

    return wrap


def _same_record(same: bool) -> Callable[[Any], Any]:
    return _claim(lambda found: Remembered(found.handled, same) if isinstance(found, Remembered) else found)


async def _as_if(*_: Any, **__: Any) -> bool:
    return True


def _unanswered_as_not_sent(original: Any) -> Any:
    async def call(self: Any, *arguments: Any) -> Any:
        try:
            return await original(self, *arguments)
        except (UnknownOutcome, TimeoutError) as error:
            raise Transient("as if it had not been sent") from error

    return call


def _late_send(original: Any) -> Any:
    async def send(self: Any, delivery: Any, generation: int, began_s: float) -> Any:
        return await original(self, delivery, generation, self._clock.monotonic_s())

    return send


def _resolve_at_once(original: Any) -> Any:
    async def resolve(self: Any, delivery: Any, began: Any) -> Any:
        return await original(self, delivery, replace(began, remaining=-self._effect.settles_after))

    return resolve


def _forget_settling(original: Any) -> Any:
    async def resolve(self: Any, delivery: Any, began: Any) -> Any:
        return await original(self, delivery, replace(began, remaining=began.remaining - self._effect.settles_after))

    return resolve


async def _resend(self: Any, delivery: Any, began: Any) -> Any:
    await self._settled_down(delivery, began)
    return await self._look_and_resend(delivery, began)


def _whoever_else(original: Any) -> Any:
    async def settle(self: Any, *arguments: Any, **named: Any) -> bool:
        await original(self, *arguments, **named)
        return True

    return settle


async def _finds_nothing(*_: Any) -> None:
    return None


def _new_generation(original: Any) -> Any:
    async def look(self: Any, delivery: Any, began: Any) -> Any:
        return await original(self, delivery, replace(began, generation=began.generation + 1))

    return look


async def _written_once(self: Any, delivery: Any, write: Any) -> Any:
    return await write()


# -- E. commit


def _fresh_metadata(original: Any) -> Any:
    async def alone(self: Any, commit: Commit) -> Any:
        async with self._thread:
            await self._network.hop("transaction sent")
        consumer = self._consumer
        fresh = Membership(consumer._group, consumer._member, consumer._member_epoch)
        await original(self, replace(commit, snapshot=Snapshot(fresh, commit.snapshot.epochs)))

    return alone


def _before_results(original: Any) -> Any:
    def release(self: Any, **named: Any) -> Any:
        found = original(self, **named)
        if found is None or self._highest < found.base:
            return found
        return Released(found.results, self._highest + 1, "")

    return release


def _outcome(error: type[Exception], instead: Callable[[Exception], Exception | None]) -> Callable[[Any], Any]:
    """A transaction's end is taken for another."""

    def wrap(original: Any) -> Any:
        async def commit(self: Any, commit: Commit) -> Any:
            try:
                return await original(self, commit)
            except error as found:
                other = instead(found)
                if other is not None and commit.outputs:
                    raise other from found
                if not commit.outputs:
                    raise

        return commit

    return wrap


def _outputs_apart(original: Any) -> Any:
    async def commit(self: Any, commit: Commit) -> Any:
        if not commit.outputs:
            return await original(self, commit)
        self._broker.commit([output for output in commit.outputs if "activity" not in output.topic], "", {})
        activity = [output for output in commit.outputs if "activity" in output.topic]
        return await original(self, replace(commit, outputs=activity))

    return commit


def _backwards(original: Any) -> Any:
    def release(self: Any, **named: Any) -> Any:
        found = original(self, **named)
        return found and Released(found.results[::-1], found.base, found.completed)

    return release


def _without(part: str) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        def outputs(self: Any, *results: Any) -> Any:
            return [output for output in original(self, *results) if part not in output.topic]

        return outputs

    return wrap


# -- I. pruning, K. a store that is away


def _prune_anywhere(original: Any) -> Any:
    async def prune(self: Any, fence: Any, *, below: int, **named: Any) -> Any:
        return await original(self, fence, below=10**9, **named)

    return prune


def _prune_young(original: Any) -> Any:
    async def prune(self: Any, fence: Any, *, older_than: timedelta, **named: Any) -> Any:
        return await original(self, fence, older_than=timedelta(-1), **named)

    return prune


def _counted_outage(original: Any) -> Any:
    def decide(error: Any, **named: Any) -> Any:
        is_away = failures.classify(error) is failures.FailureClass.UNAVAILABLE
        return _give_up_after(error, named) if is_away else original(error, **named)

    return decide


def _give_up_after(error: Any, named: Any) -> Any:
    if named["attempts"] >= named["policy"].max_attempts:
        return failures.GiveUp(failures.classify(error), failures.code_of(error))
    return failures.RetryAfter(timedelta(seconds=1))


def _taken_bases(loop: Any) -> Any:
    return {owned.fence: owned.progress._highest + 1 for owned in loop._owned.values() if owned.fence is not None}


def _prune_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_OVER", frozenset(EffectState))
    _around(MemoryEffects, "prune", _prune_anywhere)(monkeypatch)


# -- H. redelivery


def _whatever_the_serial(original: Any) -> Any:
    async def unconfirmed(self: Any, above: Any) -> Any:
        return await original(self, dict.fromkeys(above, -1))

    return unconfirmed


def _by_what_is_durable(self: Unconfirmed, durable: int) -> Any:
    found, self._written = list(self._written), deque()
    return [result for _, result in found], durable


def _unmarked(original: Any) -> Any:
    async def settle(self: Any, *arguments: Any, redelivery: int | None = None, **named: Any) -> Any:
        return await original(self, *arguments, **named)

    return settle


def _past_what_is_under_way(original: Any) -> Any:
    async def advance(self: Any, owned: Any, number: int, store: Any) -> Any:
        under_way, course = owned.redelivering.get(number), self._courses[owned, number]
        if course is not None and course.onward > course.position:
            owned.redelivering[number] = set()
        try:
            return await original(self, owned, number, store)
        finally:
            if under_way is not None:
                owned.redelivering[number] = under_way

    return advance


def _never_forgotten(original: Any) -> Any:
    def again(self: Any, *arguments: Any) -> Any:
        return replace(original(self, *arguments), is_forgotten=False)

    return again


CALLS = {"strategy": Strategy.LOOKUP_FIRST}
UPSERT = {"strategy": Strategy.UPSERT}
NATIVE = {"strategy": Strategy.NATIVE_KEY}
UNSAFE = {"strategy": Strategy.UNSAFE}
COPIES = {"strategy": None}
GOES_ON = {"at_dead_letter": AtDeadLetter.SKIP}
STOPS = {"at_dead_letter": AtDeadLetter.STOP}
AGAIN = {**CALLS, **GOES_ON, "comes_again": True}
REDELIVERY = ("redeliver", "worker", "trap")
PRUNING = ("worker", "store", "trap", "calls_fail")
NO_PRUNING_LIMIT = {**CALLS, **GOES_ON, "comes_again": False}

REFUSED_AS_COMMITTED = _around(StageTransactions, "commit", _outcome(Refused, lambda _: None))
"""Needs one batch of two partitions of which one moves while it is under way: a story, as the search seldom comes upon it."""

OLDER_COPY_UNNOTICED: Mapping[str, Patch] = {
    "the store's serial is not compared": _set(Standing, "is_behind", lambda *_: False),
    "Kafka is not told the store's serial": _set(MemoryLeases, "serial", lambda *_: 0),
}
"""Stories, too: a copy is seldom made, used and older."""

MUTATIONS: Sequence[Mutation] = (
    Mutation("records come before the takeover", "A1", _around(MemoryConsumer, "_begin", _no_wait_for_takeover)),
    Mutation("an open transaction of a predecessor is passed over", "A2", _set(MemoryBroker, "committed", _go_on_beside_open), GOES_ON),
    Mutation("the epoch is SQL's next", "A3", _set(Standing, "next_epoch", lambda self: (self.lease.epoch if self.lease else 0) + 1)),
    Mutation(
        "the epoch is not raised",
        "A3",
        _set(Standing, "next_epoch", lambda self: max(1, self.committed.metadata.epoch if self.committed.metadata else 0)),
    ),
    Mutation("Kafka is not asked for the epoch", "A3", _set(Takeover, "_announce", _no_announcement)),
    Mutation("the announcement drops the map", "A3", _around(Takeover, "_announce", _without_map), COPIES),
    Mutation(
        "the map is not read",
        "A3",
        _set(CommittedOffset, "done", property(lambda self: Done(self.offset, OffsetMap(self.offset)))),
        {"map_chars": 3900},
    ),
    Mutation("a lease is taken whatever its epoch", "A4", _set(MemoryLeases, "_take", _raise_always)),
    Mutation("another store is not noticed", "A4", _set(Standing, "check", lambda *_: None)),
    Mutation(
        "stops that Kafka does not confirm stay",
        "A5",
        _set(MemoryLeases, "_first_stop", _first_stop_of_all),
        {**CALLS, **STOPS, "map_chars": 3900},
    ),
    Mutation("stops are not read", "A5", _set(MemoryLeases, "stops", _no_stops), {**CALLS, **STOPS}),
    Mutation("SQL asks for no fence", "B", _set(MemoryStore, "hold_fence", lambda *_: None), CALLS),
    Mutation("who is fenced goes on", "B", _set(SubscriberLoop, "_retake", lambda *_: None)),
    Mutation("no intent is written", "C2", _around(MemoryEffects, "claim", _fresh_without_a_row), {**CALLS, **GOES_ON}),
    Mutation("a duplicate emits the stored outputs", "C2", _around(MemoryEffects, "claim", _same_record(True)), AGAIN),
    Mutation("its own record counts as a duplicate", "C2", _around(MemoryEffects, "claim", _same_record(False)), CALLS),
    Mutation("a claim may take as long as it likes", "C3", _around(Once, "_send", _late_send), CALLS),
    Mutation("an unanswered call counts as not sent", "C4", _around(Once, "_call", _unanswered_as_not_sent), {**CALLS, **GOES_ON}),
    Mutation("what was done is not written down", "C4", _set(MemoryEffects, "settle", _as_if), {**UPSERT, **GOES_ON}),
    Mutation("the deadline is not waited for", "D", _around(Once, "_resolve", _resolve_at_once), CALLS),
    Mutation("what a call may take to settle is not waited for", "D", _around(Once, "_resolve", _forget_settling), CALLS),
    Mutation("nothing is read back", "D", _set(Once, "_read_back", _finds_nothing), {**CALLS, **GOES_ON}),
    Mutation("no intent is written before a call is made again", "D", _set(MemoryEffects, "renew", _as_if), {**UPSERT, **GOES_ON}),
    Mutation(
        "another record's intent is renewed",
        "D",
        _set(stores, "_is_as_seen", lambda row, *_: row.state not in _OVER),
        AGAIN,
        ("calls_fail", "come_again", "worker"),
    ),
    Mutation("what another record has settled is settled again", "D", _around(MemoryEffects, "settle", _whoever_else), AGAIN),
    Mutation("what is unsafe is sent again", "D", _set(Once, "_resolve", _resend), {**UNSAFE, **GOES_ON}),
    Mutation("what has begun is passed over", "F", _set(Once, "conclude", _finds_nothing), {**CALLS, **GOES_ON}),
    Mutation("the vendor is taken to remember for ever", "D", _set(effects, "VENDOR_MEMORY", timedelta(days=999)), {**NATIVE, **GOES_ON}),
    Mutation("a call that is made again has a new key", "D", _around(Once, "_look_and_resend", _new_generation), {**NATIVE, **GOES_ON}),
    Mutation("fresh metadata is sent", "E", _around(StageTransactions, "_alone", _fresh_metadata), COPIES),
    Mutation("offsets are committed before their results", "E", _around(Progress, "release", _before_results)),
    Mutation(
        "an unknown end counts as aborted", "E", _around(StageTransactions, "commit", _outcome(ResultUnknown, lambda e: Aborted(str(e))))
    ),
    Mutation("an unknown end counts as committed", "E", _around(StageTransactions, "commit", _outcome(ResultUnknown, lambda _: None))),
    Mutation("an aborted transaction counts as committed", "E", _around(StageTransactions, "commit", _outcome(Aborted, lambda _: None))),
    Mutation("outputs go out before the transaction", "E", _around(StageTransactions, "commit", _outputs_apart)),
    Mutation("results go out in the wrong order", "E", _around(Progress, "release", _backwards)),
    Mutation("no activity is written", "E", _around(Committer, "_outputs", _without("activity"))),
    Mutation("no dead letter is written", "E", _around(Committer, "_outputs", _without("dlq")), {**CALLS, **GOES_ON}),
    Mutation(
        "a lost partition is not forgotten",
        "E",
        _set(SubscriberLoop, "lost", lambda *_: None),
        {**COPIES, "in_flight": 1},
        ("worker", "zombie", "trap"),
    ),
    Mutation("what is above the base is pruned", "I", _around(MemoryEffects, "prune", _prune_anywhere), NO_PRUNING_LIMIT, PRUNING),
    Mutation("what is not committed counts as the base", "I", _set(SubscriberLoop, "bases", _taken_bases), NO_PRUNING_LIMIT, PRUNING),
    Mutation("what may come again is pruned", "I", _around(MemoryEffects, "prune", _prune_young), AGAIN, (*PRUNING, "come_again")),
    Mutation("open intents are pruned", "I", _prune_open, NO_PRUNING_LIMIT, PRUNING),
    Mutation(
        "a store that is away counts as a failed attempt", "K", _around(executor, "decide", _counted_outage), CALLS, ("store", "calls_fail")
    ),
    Mutation(
        "an answered call does not wait for its store", "K", _set(Once, "_kept", _written_once), {**NATIVE, **GOES_ON}, ("store", "trap")
    ),
    Mutation("results that Kafka does not have are not found", "H", _set(Takeover, "_find_unconfirmed", _no_fence), COPIES, REDELIVERY),
    Mutation(
        "results are emitted whatever their serial",
        "H",
        _around(MemoryRedeliveries, "unconfirmed", _whatever_the_serial),
        GOES_ON,
        REDELIVERY,
    ),
    Mutation(
        "the serial does not wait for what is being written",
        "H",
        _set(Unconfirmed, "release", _by_what_is_durable),
        {**COPIES, "in_flight": 4},
        ("redeliver", "worker"),
    ),
    Mutation(
        "what a redelivery has done counts as done before",
        "H",
        _around(MemoryEffects, "settle", _unmarked),
        AGAIN,
        (*REDELIVERY, "calls_fail"),
    ),
    Mutation(
        "what is forced is no effect of its own", "H", _set(effects, "_effect_id", lambda delivery: delivery.envelope.id), CALLS, REDELIVERY
    ),
    Mutation(
        "it is over before all is through", "H", _around(Redeliverer, "_advance", _past_what_is_under_way), COPIES, ("redeliver", "worker")
    ),
    Mutation(
        "what is forgotten counts as never done",
        "H",
        _around(Redeliverer, "again", _never_forgotten),
        NO_PRUNING_LIMIT,
        (*REDELIVERY, "store"),
    ),
    Mutation("what is known is not looked at", "H", _set(Once, "_known", _finds_nothing), CALLS, REDELIVERY),
    Mutation(
        "a subscriber goes on behind its dead letter", "A5", _set(SubscriberLoop, "_stand_still", lambda *_: None), {**CALLS, **STOPS}
    ),
)
