"""What is done of a partition, and how it is said in commit metadata."""

from __future__ import annotations

import string
from zlib import crc32

import pytest
from hypothesis import example, given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import binary, builds, integers, sampled_from, text

from integration_fabric.runtime.offset_map import decode
from integration_fabric.runtime.offsets import MAX_METADATA_CHARS, CommitMetadata, Done, Progress

LONGEST_OFFSET = 2**63 - 1


class ProgressMachine(RuleBasedStateMachine):
    """Offsets with gaps are taken, done in any order, released and committed; workers die and begin anew from what was committed.

    Beside it, plain sets say what stands in the topic and what is done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room = 4_000
        self.base, self.text = 3, ""
        self.topic: list[int] = []
        """What was ever handed out, ascending."""
        self.committed: list[int] = []
        """Results that were released, in order of their release."""
        self.begin()

    @initialize(room=sampled_from([6, 9, 20, 4_000]))
    def choose_room(self, room: int) -> None:
        self.room = room
        self.begin()

    def begin(self) -> None:
        found = decode(self.text, self.base)
        assert found is not None
        self.progress: Progress[int] = Progress(self.base, found, room=self.room)
        self.position = self.base
        self.open: set[int] = set()
        self.done: set[int] = set()

    @rule(gap=integers(0, 3), count=integers(1, 4))
    def take(self, gap: int, count: int) -> None:
        for _ in range(count):
            again = [offset for offset in self.topic if offset >= self.position]
            offset = again[0] if again else max([self.position, *(known + 1 for known in self.topic)]) + gap
            if not again:
                self.topic.append(offset)
            self.position = offset + 1
            assert self.progress.take(offset) == (offset not in self.committed)
            if offset not in self.committed:
                self.open.add(offset)

    @precondition(lambda self: self.open or self.done)
    @rule(back=integers(0, 5))
    def take_again(self, back: int) -> None:
        """The broker may hand out again what was handed out before."""
        taken = sorted(self.open | self.done)
        assert not self.progress.take(taken[-1 - back % len(taken)])

    @precondition(lambda self: self.open)
    @rule(place=integers(0, 20))
    def complete(self, place: int) -> None:
        offset = sorted(self.open)[place % len(self.open)]
        self.progress.complete(offset, offset)
        self.open.discard(offset)
        self.done.add(offset)

    @rule()
    def release(self) -> None:
        released = self.progress.release()
        if released is None:
            return
        assert list(released.results) == sorted(set(released.results)), "not in the order of their offsets"
        assert len(released.completed) <= self.room
        self.committed += released.results
        self.done -= set(released.results)
        self.base, self.text = released.base, released.completed

    @rule()
    def die(self) -> None:
        """What was done and not released is done again."""
        self.begin()

    @rule()
    def compact(self) -> None:
        """Open records that nobody holds go from the topic."""
        self.topic = [offset for offset in self.topic if offset < self.position or offset in self.committed]

    @invariant()
    def what_is_committed_says_what_is_done(self) -> None:
        found = decode(self.text, self.base)
        assert found is not None
        committed = Done(self.base, found)
        assert [offset for offset in self.topic if offset in committed] == sorted(self.committed)

    @invariant()
    def each_result_is_released_once(self) -> None:
        assert len(self.committed) == len(set(self.committed))
        assert self.progress.open_count == len(self.open)
        assert self.progress.kept_count == len(self.open | self.done)
        assert self.progress.releasable or not self.done

    def teardown(self) -> None:
        """In the end everything is through, whatever the room."""
        self.begin()
        self.take(0, len(self.topic) + 1)
        for offset in sorted(self.open, reverse=True):
            self.complete(sorted(self.open).index(offset))
            self.release()
        self.release()
        assert sorted(self.committed) == self.topic
        assert (self.base, self.text) == (self.topic[-1] + 1, "")


def test_r07_what_is_committed_says_exactly_what_is_done_wherever_a_worker_dies() -> None:
    """R07: base, frontier and open offsets come from one moment, so what is not in the map contains all that is unfinished."""
    run_state_machine_as_test(ProgressMachine, settings=settings(max_examples=300, stateful_step_count=50, deadline=None))


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
def test_r10_metadata_fits_what_a_broker_takes(metadata: CommitMetadata) -> None:
    """R10: 4,095 ASCII characters at the most."""
    assert metadata.encode().isascii()
    assert len(metadata.encode()) <= MAX_METADATA_CHARS


@given(kept)
def test_r10_the_nul_that_the_client_library_appends_is_passed_over(metadata: CommitMetadata) -> None:
    """R10: confluent-kafka commits one character more."""
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
def test_r10_what_others_wrote_is_nothing_of_ours(foreign: str) -> None:
    """R10: random texts, and what Kafka Streams and the parallel consumer write."""
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
