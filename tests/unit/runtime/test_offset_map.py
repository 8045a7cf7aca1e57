"""The map of what is done beyond the base: it comes back as it was written, fits, and nothing that it is given makes it raise."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis.strategies import DrawFn, binary, composite, integers, lists, sampled_from, text

from integration_fabric.runtime.offset_map import OffsetMap, decode

ROOM = 4_000


@composite
def maps(draw: DrawFn) -> OffsetMap:
    """Runs of open and of done offsets by turns, from all kinds of load."""
    longest = draw(sampled_from([1, 3, 40, 2_000]))
    at = draw(sampled_from([0, 1, 4_711, 2**40, 2**62]))
    found: list[int] = []
    for opened, done in draw(lists(lists(integers(1, longest), min_size=2, max_size=2), max_size=60)):
        found += range(at, at + opened)
        at += opened + done
    return OffsetMap(at, tuple(found))


def base_of(found: OffsetMap) -> int:
    return found.open[0] if found.open else found.frontier


@given(maps())
@example(OffsetMap(7))
@example(OffsetMap(2**63 - 1, (2**63 - 3,)))
def test_r10_it_comes_back_as_it_was_written(found: OffsetMap) -> None:
    """R10: a map is read as it was written."""
    text = found.encode(10**9)
    assert text is not None
    assert text.isascii()
    assert ";" not in text
    assert decode(text, base_of(found)) == found


@given(maps(), integers(0, 5_000))
def test_it_fits_or_is_not_written(found: OffsetMap, room: int) -> None:
    text = found.encode(room)
    whole = found.encode(10**9)
    assert whole is not None
    assert text == (whole if len(whole) <= room else None)


@given(maps(), integers(0, 200))
def test_it_says_what_is_done(found: OffsetMap, ahead: int) -> None:
    offset = base_of(found) + ahead
    assert found.is_done(offset) == (offset < found.frontier and offset not in set(found.open))


@given(maps(), lists(integers(0, 500), max_size=10))
def test_without_its_lowest_holes_it_is_no_longer(found: OffsetMap, counts: list[int]) -> None:
    """What is done at the base must always fit where the map before it did: else a partition could not go on."""
    sizes = [len(OffsetMap(found.frontier, found.open[count:]).encode(10**9) or "") for count in sorted(counts)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("holes", "frontier", "way", "most"),
    [
        pytest.param(range(100, 2_100), 1_000_000, "r", 8, id="a long stretch"),
        pytest.param(range(0, 10_000, 2), 10_000, "b", 1_700, id="every other one"),
        pytest.param(range(0, 1_000_000, 1_000), 1_000_000, "d", 2_700, id="one of a thousand"),
    ],
)
def test_the_shortest_of_three_ways_is_taken(holes: range, frontier: int, way: str, most: int) -> None:
    text = OffsetMap(frontier, tuple(holes)).encode(ROOM)
    assert text is not None
    assert text[0] == way
    assert len(text) <= most


@given(text(max_size=60), integers(0, 2**62))
@example("r", 0)
@example("b", 0)
@example("x1234", 0)
@example("rAA", 0)
@example("r\x00", 0)
@example("NONE", 0)
def test_what_something_else_wrote_is_nothing(foreign: str, base: int) -> None:
    found = decode(foreign, base)
    assert found is None or found.frontier >= base


@given(sampled_from("rbd"), binary(max_size=300), integers(0, 2**40))
def test_r10_any_bytes_are_a_map_that_makes_sense_or_none(way: str, body: bytes, base: int) -> None:
    """R10: reading never raises, whatever the bytes."""
    found = decode(way + base64.urlsafe_b64encode(body).rstrip(b"=").decode(), base)
    if found is not None:
        assert found.open[0] == base
        assert list(found.open) == sorted(set(found.open))
        assert found.open[-1] < found.frontier - 1
        again = found.encode(ROOM)
        assert again is None or decode(again, base) == found


def test_r10_a_map_of_a_billion_holes_is_not_made() -> None:
    """R10: reading holds no more than its bound."""
    body = bytes([0x80, 0x94, 0xEB, 0xDC, 0x03, 1])  # a run of 10**9, then one that is done
    assert decode("r" + base64.urlsafe_b64encode(body).rstrip(b"=").decode(), 0) is None
