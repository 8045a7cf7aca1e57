"""The table of aims: what is measured for each row, and what it is to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tests.performance.contest import Work
from tests.performance.report import FLOOR, LIMIT, OURS, Aim, AtMost
from tests.performance.workload import BOOKED_TOPIC, FEW_TOPIC, ISSUED_TOPIC

BEHIND = 1_000_000
FEW_BEHIND = 10_000
GROWTH_EVENTS = 100_000
JAVA = "Parallel Consumer"


class Log(StrEnum):
    """Where the effect log is."""

    OFF = "off"
    SQLITE = "SQLite"
    POSTGRESQL = "PostgreSQL"


@dataclass(frozen=True, slots=True)
class Trial:
    """What one contender's process is to do, save for addresses and how much of it."""

    work: Work
    topic: str = ISSUED_TOPIC
    latency_ms: float = 0.0
    in_flight: int = 100
    log: Log = Log.OFF
    over_http: bool = False
    whole_worker: bool = False
    events: int | None = None
    """Where it is not the contender's share."""

    @property
    def limit_per_s(self) -> float | None:
        """As many as the downstream lets through."""
        return self.in_flight / self.latency_ms * 1000 if self.latency_ms else None


class Measure(StrEnum):
    """What of the answers counts."""

    RATE = "rate"
    MEMORY = "memory"
    HANDOVER = "handover"
    """Measured by killing, not by answers."""


@dataclass(frozen=True, slots=True)
class Discipline:
    """One row of the table of aims: a race, or variants of ours beside each other."""

    number: str
    title: str
    aims: tuple[Aim | AtMost, ...]
    race: Trial | None = None
    variants: Mapping[str, Trial] = field(default_factory=dict)
    measure: Measure = Measure.RATE


@dataclass(frozen=True, slots=True)
class Grown:
    """A topic of another size."""

    topic: str
    keys: int
    partitions: int


FEW_KEYS = Grown("bench.invoice-issued-few-keys.v1", 10, 8)
MANY_KEYS = Grown("bench.invoice-issued-many-keys.v1", 100_000, 8)
ONE_PARTITION = Grown("bench.invoice-issued-one-partition.v1", 1_000, 1)
MANY_PARTITIONS = Grown("bench.invoice-issued-many-partitions.v1", 1_000, 64)
GROWN = (FEW_KEYS, MANY_KEYS, ONE_PARTITION, MANY_PARTITIONS)

_HTTP_EVENTS, _BARE_EVENTS = 4_000, 25_000


def _effect(log: Log, *, over_http: bool) -> Trial:
    events = _HTTP_EVENTS if over_http else _BARE_EVENTS
    return Trial(Work.EFFECT, BOOKED_TOPIC, latency_ms=5.0, in_flight=200, log=log, over_http=over_http, events=events)


def _grown(topic: Grown) -> Trial:
    return Trial(Work.CONSUME, topic.topic, events=GROWTH_EVENTS)


def waiting(latency_ms: float, in_flight: int) -> Trial:
    """A downstream that takes this long, so many at once."""
    return Trial(Work.WAIT, latency_ms=latency_ms, in_flight=in_flight)


DISCIPLINES = (
    Discipline(
        "P1",
        "consume: typed event into an async handler, in order of its key, activity log on",
        (Aim(FLOOR, 0.7), Aim("FastStream", 4.0), Aim("Faust", 3.0)),
        Trial(Work.CONSUME),
    ),
    Discipline(
        "P2",
        "pipe: typed in, typed out, exactly once, activity log on",
        (Aim(FLOOR, 0.8), Aim("Quix Streams", 1.2)),
        Trial(Work.PIPE),
    ),
    Discipline("P3", "50 ms downstream, 100 in flight, 1,000 keys; limit 2,000/s", (Aim(LIMIT, 0.95),), waiting(50.0, 100)),
    Discipline("P4", "50 ms downstream, 1,000 in flight, 1,000 keys; limit 20,000/s", (Aim(JAVA, 1.0),), waiting(50.0, 1000)),
    Discipline("P5", "publish: typed event, Avro, idempotent", (Aim(FLOOR, 0.9),), Trial(Work.PUBLISH)),
    Discipline(
        "P6",
        "effect over HTTP, 5 ms downstream, 200 in flight: intent and done durable, beside the same with the effect log off",
        (
            Aim("HTTP, log off", 0.8, of="HTTP, SQLite"),
            Aim("HTTP, log off", 0.8, of="HTTP, PostgreSQL"),
        ),
        variants={
            f"{'HTTP' if over_http else 'bare'}, {'log off' if log is Log.OFF else log}": _effect(log, over_http=over_http)
            for over_http in (True, False)
            for log in Log
        },
    ),
    Discipline(
        "P9",
        "memory of a worker that is far behind",
        (AtMost(250.0, "1,000,000 behind"), Aim("1,000,000 behind", 0.8, of="10,000 behind")),
        variants={
            "10,000 behind": Trial(Work.CONSUME, FEW_TOPIC, whole_worker=True, events=FEW_BEHIND),
            "1,000,000 behind": Trial(Work.CONSUME, whole_worker=True, events=150_000),
        },
        measure=Measure.MEMORY,
    ),
    Discipline(
        "P10",
        "growth of keys and of partitions (of blocked keys: not measured)",
        (Aim("10 keys", 0.8, of="100,000 keys"), Aim("1 partition", 0.8, of="64 partitions")),
        variants={
            "10 keys": _grown(FEW_KEYS),
            "100,000 keys": _grown(MANY_KEYS),
            "1 partition": _grown(ONE_PARTITION),
            "64 partitions": _grown(MANY_PARTITIONS),
        },
    ),
    Discipline(
        "P11",
        "a worker is gone: first message of its partitions handled by another",
        (AtMost(1.0, "killed, once noticed"), AtMost(1.0, "drained")),
        measure=Measure.HANDOVER,
    ),
)

CURVES = "curves"
"""Names the picture among the disciplines."""
IN_FLIGHTS = (1, 10, 100, 300, 1000)
"""Of the picture, each with `STEADY_MS`."""
LATENCIES_MS = (1.0, 5.0, 20.0, 50.0, 200.0)
"""Of the picture, each with `STEADY_IN_FLIGHT`."""
STEADY_MS, STEADY_IN_FLIGHT = 50.0, 100
RACERS = (OURS, JAVA, FLOOR)
"""Who is in the picture: the others of those that take one event after the other stand where the raw loop stands."""
