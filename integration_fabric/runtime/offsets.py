"""What is done of a partition, and how it is said in commit metadata. Pure; the subscriber loop calls it."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeVar
from zlib import crc32

from integration_fabric.runtime.offset_map import OffsetMap, decode as decode_map

R = TypeVar("R")

MAX_METADATA_CHARS = 4095
"""What a broker takes by default (`offset.metadata.max.bytes` 4096), less the NUL that confluent-kafka appends."""
MAP_CHARS = 3900
"""Of these, for the map; the rest is for what stands around it."""
_VERSION = "f1"


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """What travels with a committed offset: who committed it, so that a successor knows what SQL must show (protocol.md, A)."""

    base: int
    """The committed offset itself, so that metadata that was copied elsewhere is found out."""
    epoch: int
    """Epoch of the owner that committed; the next owner's is higher."""
    serial: int
    """A number that SQL's transactions for the partition had reached by then: a store that has not is an older copy."""
    store_id: str
    """The store that holds the effects of this partition."""
    completed: str = ""
    """Map of what is done beyond the base (`runtime.offset_map`); empty where nothing is."""

    def encode(self) -> str:
        """ASCII text of at most `MAX_METADATA_CHARS` characters."""
        body = f"{_VERSION};{self.base};{self.epoch};{self.serial};{self.store_id};{self.completed}"
        return f"{body};{crc32(body.encode()):08x}"

    @classmethod
    def decode(cls, text: str | None) -> CommitMetadata | None:
        """Read what `encode` wrote; None for anything else, whoever wrote it. Never raises."""
        if not text or len(text) > MAX_METADATA_CHARS + 1:
            return None
        body, _, checksum = text.rstrip("\x00").rpartition(";")
        parts = body.split(";")
        if len(parts) != 6 or parts[0] != _VERSION or checksum != f"{crc32(body.encode('utf-8', 'replace')):08x}":  # noqa: PLR2004  the six above
            return None
        numbers = parts[1:4]
        if not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):  # noqa: PLR2004  digits of 2**63
            return None
        base, epoch, serial = (int(number) for number in numbers)
        return cls(base, epoch, serial, parts[4], parts[5])

    def map(self) -> OffsetMap | None:
        """What is done beyond the base; None where the text is none of ours, which its checksum all but excludes."""
        return decode_map(self.completed, self.base)


@dataclass(frozen=True, slots=True)
class Done:
    """What is done of a partition, as Kafka has it."""

    base: int
    map: OffsetMap

    def __contains__(self, offset: int) -> bool:
        """Whether an offset is done."""
        return offset < self.base or self.map.is_done(offset)


TIGHT = 0.75
"""Of the room for the map: from here on a partition takes only what closes gaps."""
LOOSE = 0.5
"""Of the room: below it the partition takes everything again."""


@dataclass(frozen=True, slots=True)
class Released(Generic[R]):
    """What one commit says of a partition: results, and what is done once they are committed. All from one moment."""

    results: Sequence[R]
    base: int
    completed: str


class Progress(Generic[R]):
    """One partition: what was taken, what is done, what may be committed.

    Results are released as they come, in the order of their offsets. What is done beyond the base goes into the map; results that the map
    has no room for wait. Gaps between offsets (compaction, transaction markers) count as done.
    """

    __slots__ = (
        "_done",
        "_frontier",
        "_highest",
        "_is_full",
        "_known",
        "_known_below",
        "_open",
        "_order",
        "_passed",
        "_size",
        "base",
        "room",
    )

    def __init__(self, base: int, found: OffsetMap | None = None, *, room: int = MAP_CHARS) -> None:
        """Begin where somebody has committed.

        Args:
            base: The committed offset.
            found: What is done beyond it.
            room: Characters for the map.
        """
        self.base, self.room = base, room
        """The offset that is committed next: everything below it is done."""
        self._frontier = found.frontier if found else base
        """One above the highest offset that was released."""
        self._known = deque(found.open if found else ())
        """Open by the map that was found, and not taken yet."""
        self._known_below = self._frontier
        """Up to here that map says what is done."""
        self._order: deque[int] = deque()
        """Offsets that are taken and not released, and some that are. Plain numbers, as an object for each would keep the garbage
        collector busy."""
        self._open: set[int] = set()
        self._done: dict[int, R] = {}
        self._highest = -1
        self._size, self._is_full = 0, False
        self._passed = False
        """Whether open offsets of the map that was found are gone, so that the base may move though nothing was done."""

    def take(self, offset: int) -> bool:
        """Note a record as taken; False where it was taken before, or is done: then it must not be handled."""
        if offset < self.base or offset <= self._highest:
            return False
        if offset < self._known_below and not self._is_known_open(offset):
            return False
        self._order.append(offset)
        self._open.add(offset)
        self._highest = offset
        return True

    def _is_known_open(self, offset: int) -> bool:
        """Whether the map that was found calls it open. Open ones that are passed over are gone from the topic, and so are done."""
        known = self._known
        while known and known[0] < offset:
            known.popleft()
            self._passed = True
        if known and known[0] == offset:
            known.popleft()
            return True
        return False

    def complete(self, offset: int, result: R) -> None:
        """Note what became of a taken record. Raises KeyError where it is not open."""
        self._open.remove(offset)
        self._done[offset] = result

    def release(self, *, surely: bool = False) -> Released[R] | None:
        """Take out the results that may be committed, in order, with the base and the map that go with them.

        Args:
            surely: Whether something else is committed for the partition, so that base and map are needed in any case.

        Returns:
            None where there is nothing to commit.
        """
        if not self.releasable and not surely:
            return None
        released = self._release_lowest()
        text = ""
        if self._done or self._frontier > self.base:
            beyond, text = self._release_beyond()
            released += beyond
        self._size, self._is_full = len(text), bool(self._done)
        moved, self._passed = bool(released) or self._passed, False
        return Released(released, self.base, text) if moved or surely else None

    def _release_lowest(self) -> list[R]:
        """Those with nothing open below them; the base moves past them."""
        released: list[R] = []
        order, is_open, done = self._order, self._open, self._done
        while order and order[0] not in is_open:
            offset = order.popleft()
            if offset in done:
                released.append(done.pop(offset))
            self.base = offset + 1
        self._frontier = max(self._frontier, self.base)
        return released

    def _release_beyond(self) -> tuple[list[R], str]:
        """As many of the others, the lowest first, as the map has room for."""
        self._order = deque(offset for offset in self._order if offset in self._open or offset in self._done)
        offsets = sorted(self._done)
        count = len(offsets)
        text = self._map(offsets)
        if text is None:
            count = bisect_left(range(count), True, key=lambda count: self._map(offsets[: count + 1]) is None)
            text = self._map(offsets[:count])
            assert text is not None, "without its lowest holes a map that was committed is no longer"
        if count:
            self._frontier = max(self._frontier, offsets[count - 1] + 1)
        return [self._done.pop(offset) for offset in offsets[:count]], text

    def _map(self, released: Sequence[int]) -> str | None:
        """The map once these are released too. The base is raised to the first that is open: between them there is nothing."""
        frontier = max(self._frontier, released[-1] + 1) if released else self._frontier
        gone = set(released)
        found = [offset for offset in takewhile(lambda offset: offset < frontier, self._order) if offset not in gone]
        found += takewhile(lambda offset: offset < frontier, self._known)
        self.base = found[0] if found else frontier
        return OffsetMap(frontier, tuple(found)).encode(self.room)

    @property
    def frontier(self) -> int:
        """One above the highest offset that is done: what lies below it closes gaps."""
        return max(self._frontier, max(self._done, default=-1) + 1)

    @property
    def is_tight(self) -> bool:
        """Whether the map has little room left: then only what closes gaps is to be started."""
        return self._size > TIGHT * self.room or self._is_full

    @property
    def is_loose(self) -> bool:
        """Whether the map has much room again."""
        return self._size <= LOOSE * self.room and not self._is_full

    @property
    def releasable(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._done) or self._passed

    @property
    def kept_count(self) -> int:
        """How many records are taken and not released, done or not."""
        return len(self._open) + len(self._done)

    @property
    def open_count(self) -> int:
        """How many records are taken and not done."""
        return len(self._open)
