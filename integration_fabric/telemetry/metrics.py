"""The one table of metrics, with unit and meaning. Dashboards and docs are made from it; everything else only counts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram


class BulkHistogram(Histogram):
    """A histogram that takes many observations at once: one at a time costs a microsecond, which is a twentieth of a message."""

    def observe_all(self, amounts: Iterable[float]) -> None:
        """Observe all of them."""
        places: dict[int, int] = {}
        total = 0.0
        for amount in amounts:
            place = bisect_left(self._upper_bounds, amount)
            places[place] = places.get(place, 0) + 1
            total += amount
        self._sum.inc(total)
        for place, count in places.items():
            self._buckets[place].inc(count)


HANDLED = Counter("fabric_messages", "Messages whose outcome is committed, by subscriber and outcome.", ["subscriber", "outcome"])
HANDLING = BulkHistogram(
    "fabric_handling_seconds",
    "From the first attempt to the outcome of one message, waits included.",
    ["subscriber"],
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RETRIES = Counter("fabric_retries", "Attempts that failed and were tried again in the lane.", ["subscriber", "code"])
WAITS = Counter("fabric_waits", "Times that a lane waited for a system that is down or asks for less.", ["subscriber", "code"])
COMMITS = Histogram(
    "fabric_commit_seconds",
    "One Kafka transaction: outputs, activity and offsets.",
    ["subscriber"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 10),
)
COMMIT_FAILURES = Counter("fabric_commit_failures", "Transactions that did not commit, by what is known of them.", ["subscriber", "kind"])
TAKEOVERS = Counter("fabric_takeovers", "Partitions taken over.", ["subscriber"])
QUEUED = Gauge("fabric_queued_messages", "Messages in lanes that have not begun.", ["subscriber"])
RUNNING = Gauge("fabric_running_messages", "Messages being handled.", ["subscriber"])
STOPPED = Gauge("fabric_subscriber_stopped", "1 where a subscriber stands still at a dead letter, or after too many.", ["subscriber"])
STORMS = Counter("fabric_storms", "Times that a subscriber stopped as too much was dead-lettered, by limit.", ["subscriber", "limit"])
STALLED = Gauge(
    "fabric_subscriber_stalled", "1 where a subscriber has messages, none comes to an end, and nothing says why.", ["subscriber"]
)
HELD_UP = Gauge("fabric_held_up_partitions", "Partitions that are read here and held up by a transaction that nobody ends.")
TIGHT = Gauge("fabric_tight_offset_maps", "Partitions whose offset map is nearly full: they take only what closes gaps.", ["subscriber"])
IGNORED_METADATA = Counter("fabric_ignored_commit_metadata", "Committed offsets whose metadata something else wrote.", ["subscriber"])
REDELIVERED = Counter(
    "fabric_redelivered",
    "Messages that were handled once more by a redelivery, by outcome; not among `fabric_messages`.",
    ["subscriber", "outcome"],
)
PRUNED = Counter("fabric_pruned", "Messages that are remembered no longer, as no producer publishes them again.", ["subscriber"])
PUBLISHED = Counter("fabric_published", "Messages published from outside a subscriber, by message type.", ["type"])
POLLED = Counter("fabric_polled", "Records that pollers found, by poller.", ["poller"])
TIMERS = Counter("fabric_timers_fired", "Process timers that came due.", ["process"])
LATE_STEPS = Counter("fabric_late_steps", "Steps whose answer did not come by their deadline.", ["process", "step"])
WEBHOOKS = Counter("fabric_webhooks", "Webhooks received, by system and answer.", ["system", "status"])
QUARANTINED = Counter("fabric_quarantined", "Payloads from outside that make no sense, by system and code.", ["system", "code"])
POLL_FAILURES = Counter("fabric_poll_failures", "Polls that failed, by poller and code.", ["poller", "code"])
SYSTEM_FLOW = Gauge("fabric_system_flow", "1 for how a system stands: flowing, throttled, away, refusing or paused.", ["system", "flow"])
SYSTEM_CALLS = Counter("fabric_system_calls", "Actions and polls that called a system, by what came of it.", ["system", "result"])
DEFERRED = Gauge("fabric_deferred_payloads", "Polled payloads that wait for something that they name to be linked.", ["poller"])
