"""What is done of a partition, and how it is said in commit metadata."""

from __future__ import annotations

import string
from zlib import crc32

import pytest
from hypothesis import example, given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import binary, builds, integers, text

from integration_fabric.runtime.offsets import MAX_METADATA_CHARS, CommitMetadata, Progress

LONGEST_OFFSET = 2**63 - 1


class ProgressMachine(RuleBasedStateMachine):
    """Offsets with gaps are taken, done in any order and released; a set says what should be open."""

    def __init__(self) -> None:
        super().__init__()
        self.progress: Progress[str] = Progress(3)
        self.next_offset = 3
        self.open: set[int] = set()
        self.taken: list[int] = []
        self.released: list[int] = []

    @rule(gap=integers(0, 3))
    def take(self, gap: int) -> None:
        offset = self.next_offset + gap
        assert self.progress.take(offset)
        self.next_offset = offset + 1
        self.open.add(offset)
        self.taken.append(offset)

    @precondition(lambda self: self.taken)
    @rule(back=integers(0, 5))
    def take_again(self, back: int) -> None:
        """The broker may hand out again what was handed out before."""
        assert not self.progress.take(self.taken[-1 - back % len(self.taken)])

    @rule(below=integers(1, 4))
    def take_below_the_base(self, below: int) -> None:
        assert not self.progress.take(self.progress.base - below)

    @precondition(lambda self: self.open)
    @rule(place=integers(0, 20))
    def complete(self, place: int) -> None:
        offset = sorted(self.open)[place % len(self.open)]
        self.progress.complete(offset, str(offset))
        self.open.discard(offset)

    @rule()
    def release(self) -> None:
        ready = self.progress.releasable
        found = [int(result) for result in self.progress.release()]
        assert bool(found) == ready
        self.released += found

    @invariant()
    def released_once_and_in_order(self) -> None:
        assert self.released == self.taken[: len(self.released)]

    @invariant()
    def everything_below_the_base_is_done(self) -> None:
        assert all(offset >= self.progress.base for offset in self.open)
        assert all(offset < self.progress.base for offset in self.released)
        assert self.progress.open_count == len(self.open)

    def teardown(self) -> None:
        for offset in sorted(self.open):
            self.progress.complete(offset, str(offset))
        self.open.clear()
        self.release()
        assert self.released == self.taken
        assert self.progress.base == (self.taken[-1] + 1 if self.taken else 3)


ProgressMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestProgress = ProgressMachine.TestCase


def test_what_is_not_open_cannot_be_completed() -> None:
    progress: Progress[str] = Progress(0)
    progress.take(0)
    progress.complete(0, "done")
    with pytest.raises(KeyError):
        progress.complete(0, "done twice")


store_ids = text(string.hexdigits, max_size=36)
offsets = integers(0, LONGEST_OFFSET)
kept = builds(CommitMetadata, base=offsets, epoch=offsets, serial=offsets, store_id=store_ids)


@given(kept)
def test_metadata_comes_back_as_it_was_written(metadata: CommitMetadata) -> None:
    assert CommitMetadata.decode(metadata.encode()) == metadata


@given(kept)
def test_metadata_fits_what_a_broker_takes(metadata: CommitMetadata) -> None:
    assert metadata.encode().isascii()
    assert len(metadata.encode()) <= MAX_METADATA_CHARS


@given(kept)
def test_the_nul_that_the_client_library_appends_is_passed_over(metadata: CommitMetadata) -> None:
    assert CommitMetadata.decode(metadata.encode() + "\x00") == metadata


@given(text(max_size=200))
@example("")
@example("\x00")
@example(";" * 6)
@example("f1;;;;;;")
@example("f1;0;0;0;;;00000000")
@example("f1;²;1;1;s;;00000000")
@example("NONE")
@example("\ud800")
@example("AgAAAYx" * 20)
def test_what_others_wrote_is_nothing_of_ours(foreign: str) -> None:
    """Random texts, and what Kafka Streams and the parallel consumer write."""
    assert CommitMetadata.decode(foreign) is None


@given(binary(max_size=100))
def test_bytes_read_as_text_are_nothing_of_ours(foreign: bytes) -> None:
    assert CommitMetadata.decode(foreign.decode("latin-1")) is None


@given(kept, integers(1, 60))
def test_cut_metadata_is_nothing(metadata: CommitMetadata, cut: int) -> None:
    assert CommitMetadata.decode(metadata.encode()[:-cut]) is None


@given(kept, integers(0, 200))
def test_a_changed_letter_is_noticed(metadata: CommitMetadata, place: int) -> None:
    written = metadata.encode()
    place %= len(written)
    changed = written[:place] + ("0" if written[place] != "0" else "1") + written[place + 1 :]
    assert CommitMetadata.decode(changed) is None


@pytest.mark.parametrize("numbers", ["-1;0;0", "1.5;0;0", "x;0;0", f"{'9' * 20};0;0", "0x1;0;0", " 1;0;0", "1_0;0;0"])
def test_numbers_that_are_none_are_refused_whatever_the_checksum_says(numbers: str) -> None:
    body = f"f1;{numbers};store;"
    assert CommitMetadata.decode(f"{body};{crc32(body.encode()):08x}") is None


def test_a_huge_text_is_not_even_looked_at() -> None:
    assert CommitMetadata.decode("f1;" + "9" * 10_000_000) is None


def test_no_metadata_is_none() -> None:
    assert CommitMetadata.decode(None) is None
