"""What is done of a partition beyond the committed offset, as ASCII text for commit metadata. Pure; `runtime.offsets` calls it.

Between the base and the frontier all is done but what is listed. That list is written in the shortest of three ways, each better than the
others for some load: runs of open and of done offsets (a few long stretches), bits (many holes close together), and distances between
open offsets (few holes far apart). Of these, the Java Parallel Consumer has the first two (its `offsets` package), which are larger by a
fifth where the map is sparse.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from dataclasses import dataclass
from itertools import islice, pairwise

MAX_OPEN = 1_000_000
"""Of a map that is read: what a broken or a foreign one says must not fill the memory. Ours have as many as a worker takes at once."""
_LONGEST_VARINT_BITS = 63
_RUNS, _BITS, _DISTANCES = "r", "b", "d"


@dataclass(frozen=True, slots=True)
class OffsetMap:
    """What is done at and beyond a base: everything below `frontier` that is not in `open`."""

    frontier: int
    """One above the highest offset that is done; the base, where nothing beyond it is done."""
    open: tuple[int, ...] = ()
    """Below the frontier and not done, ascending. The first is the base."""

    def is_done(self, offset: int) -> bool:
        """Whether an offset at or above the base is done."""
        place = bisect_left(self.open, offset)
        return offset < self.frontier and self.open[place : place + 1] != (offset,)

    def encode(self, room: int) -> str | None:
        """Write it in at most `room` characters; None where it does not fit."""
        if not self.open:
            return ""
        most = room - 1
        found = [
            name + text
            for name, body in ((_RUNS, self._runs(most)), (_BITS, self._bits(most)), (_DISTANCES, self._distances(most)))
            if body is not None and len(text := base64.urlsafe_b64encode(body).rstrip(b"=").decode()) <= most
        ]
        return min(found, key=len, default=None)

    def _runs(self, most: int) -> bytes | None:
        """Lengths by turns: open, done, open, … done."""
        found = bytearray()
        start = previous = self.open[0]
        for offset in (*self.open[1:], None):
            if offset == previous + 1:
                previous = offset
                continue
            _put(found, previous + 1 - start)
            _put(found, (self.frontier if offset is None else offset) - previous - 1)
            if len(found) > most:
                return None
            if offset is not None:
                start = previous = offset
        return bytes(found)

    def _bits(self, most: int) -> bytes | None:
        """A bit for each offset from the base on, set where it is done; the highest set bit is the frontier's."""
        base, span = self.open[0], self.frontier - self.open[0]
        if span // 8 > most:
            return None
        bits = (1 << span) - 1
        holes = bytearray((span + 7) // 8)
        for offset in self.open:
            place = offset - base
            holes[place >> 3] |= 1 << (place & 7)
        return (bits & ~int.from_bytes(holes, "little")).to_bytes((span + 7) // 8, "little")

    def _distances(self, most: int) -> bytes | None:
        """The span, then the number of done offsets before each further open one."""
        if len(self.open) > most:
            return None
        found = bytearray()
        _put(found, self.frontier - self.open[0])
        for previous, offset in pairwise(self.open):
            _put(found, offset - previous - 1)
        return bytes(found)


def decode(text: str, base: int) -> OffsetMap | None:
    """Read what `encode` wrote for this base; None for anything else. Never raises, and holds no more than `MAX_OPEN`."""
    if not text:
        return OffsetMap(base)
    try:
        body = base64.b64decode(text[1:] + "=" * (-(len(text) - 1) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    read = {_RUNS: _from_runs, _BITS: _from_bits, _DISTANCES: _from_distances}.get(text[0])
    return read(body, base) if read else None


def _from_runs(body: bytes, base: int) -> OffsetMap | None:
    lengths = _numbers(body)
    if not lengths or len(lengths) % 2 or min(lengths) < 1 or sum(lengths[::2]) > MAX_OPEN:
        return None
    found: list[int] = []
    at = base
    for opened, done in zip(lengths[::2], lengths[1::2], strict=True):
        found.extend(range(at, at + opened))
        at += opened + done
    return OffsetMap(at, tuple(found))


def _from_bits(body: bytes, base: int) -> OffsetMap | None:
    bits = int.from_bytes(body, "little")
    if not bits or bits & 1 or not body[-1]:
        return None
    done = f"{bits:b}"[::-1]
    return OffsetMap(base + len(done), tuple(base + place for place, bit in enumerate(done) if bit == "0"))


def _from_distances(body: bytes, base: int) -> OffsetMap | None:
    numbers = _numbers(body)
    if not numbers:
        return None
    found = [base]
    for distance in islice(numbers, 1, None):
        found.append(found[-1] + distance + 1)
    frontier = base + numbers[0]
    return OffsetMap(frontier, tuple(found)) if found[-1] < frontier - 1 else None


def _put(into: bytearray, number: int) -> None:
    """As a varint: seven bits a byte, the lowest first, the highest bit set on all but the last."""
    while number > 0x7F:  # noqa: PLR2004
        into.append(number & 0x7F | 0x80)
        number >>= 7
    into.append(number)


def _numbers(body: bytes) -> list[int]:
    """Varints; none where one is longer than any of ours, or cut."""
    found: list[int] = []
    number = shift = 0
    for byte in body:
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > _LONGEST_VARINT_BITS:
            return []
        if not byte & 0x80:
            found.append(number)
            number = shift = 0
    return [] if shift else found
