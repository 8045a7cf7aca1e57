"""What is done of a partition, and how it is said in commit metadata. Pure; the subscriber loop calls it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from zlib import crc32

R = TypeVar("R")

MAX_METADATA_CHARS = 4095
"""What a broker takes by default (`offset.metadata.max.bytes` 4096), less the NUL that confluent-kafka appends."""
_VERSION = "f1"


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """What travels with a committed offset: who committed it, so that a successor knows what SQL must show (protocol.md, A)."""

    base: int
    """The committed offset itself, so that metadata that was copied elsewhere is found out."""
    epoch: int
    """Epoch of the owner that committed; the next owner's is higher."""
    serial: int
    """The highest number of a replayed result with nothing missing below."""
    store_id: str
    """The store that holds the effects of this partition."""
    completed: str = ""
    """Map of what is done beyond the base; empty while results are released in offset order."""

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


@dataclass(slots=True)
class Progress(Generic[R]):
    """One partition: what was taken, what is done, what may be committed.

    Results are released in the order of their offsets, so that what is committed is exactly what lies below the base.
    Gaps between offsets (compaction, transaction markers) count as done.
    """

    base: int
    """The offset that is committed next: everything below it is done."""
    _order: deque[int] = field(default_factory=deque)
    """Offsets that are taken and not released. Plain numbers, as an object for each would keep the garbage collector busy."""
    _open: set[int] = field(default_factory=set)
    _done: dict[int, R] = field(default_factory=dict)
    _highest: int = -1

    def take(self, offset: int) -> bool:
        """Note a record as taken; False where it was taken before or lies below the base: then it must not be handled."""
        if offset < self.base or offset <= self._highest:
            return False
        self._order.append(offset)
        self._open.add(offset)
        self._highest = offset
        return True

    def complete(self, offset: int, result: R) -> None:
        """Note what became of a taken record. Raises KeyError where it is not open."""
        self._open.remove(offset)
        self._done[offset] = result

    def release(self) -> list[R]:
        """Take out the results with nothing open below them, in order, and move the base past them."""
        released: list[R] = []
        order, done = self._order, self._done
        while order and order[0] in done:
            offset = order.popleft()
            released.append(done.pop(offset))
            self.base = offset + 1
        return released

    @property
    def releasable(self) -> bool:
        """Whether `release` would give something."""
        return bool(self._order) and self._order[0] in self._done

    @property
    def kept_count(self) -> int:
        """How many records are taken and not released, done or not."""
        return len(self._order)

    @property
    def open_count(self) -> int:
        """How many records are taken and not done."""
        return len(self._open)
