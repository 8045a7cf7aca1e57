"""How much memory and time one subscriber has in one worker (guarantee G6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from integration_fabric.runtime.offsets import MAP_CHARS


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one subscriber in one worker."""

    high_messages: int = 2_000
    """In lanes; at more nothing is taken. With 5,000, a twentieth slower: what waits for long is in no cache of the processor any more."""
    low_messages: int = 1_000
    """In lanes; at fewer it goes on."""
    high_bytes: int = 32 * 2**20
    """The same in bytes of keys and values; at half of them it goes on. What a turn of the consumer brings is on top: 4 MiB."""
    kept_messages: int = 20_000
    """Taken and not committed, those included that are done and wait for a slow one below them as their map is full; at half of it it goes
    on."""
    map_chars: int = MAP_CHARS
    """Of commit metadata, for the map of what is done beyond the base."""
    drain: timedelta = timedelta(seconds=10)
    """For what runs when the worker ends."""
    revoke: timedelta = timedelta(seconds=2)
    """For what runs when partitions are handed over; with `commit` well below the broker's session timeout of 6 s."""
    commit: timedelta = timedelta(seconds=1)
    """For the commit of what has run, in both cases."""
    remembered: timedelta = timedelta(days=35)
    """How long the store knows what became of a message; what is older and unknown may have been applied."""
    burst: int = 64
    """Messages that one worker coroutine handles before the loop is let go."""

    def holding(self, in_flight: int) -> Bounds:
        """The same, but with room for a few messages for each that may run: with fewer there would not be enough different keys."""
        return replace(self, high_messages=max(self.high_messages, 4 * in_flight), low_messages=max(self.low_messages, 2 * in_flight))

    def has_room(self, queued: int, queued_bytes: int) -> bool:
        """Whether so much in lanes is little enough to go on."""
        return queued <= self.low_messages and queued_bytes <= self.high_bytes // 2
