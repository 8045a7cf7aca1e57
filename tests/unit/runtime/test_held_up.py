"""A transaction that nobody ends is noticed by what it holds up."""

from __future__ import annotations

from integration_fabric.runtime.held_up import HANGS_AFTER_S, HeldUpWatch
from integration_fabric.runtime.records import TopicPartition

P, Q = TopicPartition("t", 0), TopicPartition("t", 1)


def test_what_is_held_up_at_one_place_for_long_hangs_and_is_told_once() -> None:
    watch = HeldUpWatch()
    told = [watch.look(10.0 * look, readable={P: 5, Q: 7 + look}, written={P: 6 + look, Q: 8 + look}) for look in range(20)]
    assert [look for look, found in enumerate(told) if found] == [int(HANGS_AFTER_S / 10)]
    assert told[int(HANGS_AFTER_S / 10)] == [P]
    assert watch.hanging == {P}


def test_one_that_is_ended_hangs_no_longer_and_may_hang_again() -> None:
    watch = HeldUpWatch()
    watch.look(0, readable={P: 5}, written={P: 6})
    assert watch.look(HANGS_AFTER_S, readable={P: 5}, written={P: 6}) == [P]
    assert watch.look(HANGS_AFTER_S + 10, readable={P: 9}, written={P: 9}) == []
    assert watch.hanging == set()
    watch.look(500, readable={P: 9}, written={P: 10})
    assert watch.look(500 + HANGS_AFTER_S, readable={P: 9}, written={P: 10}) == [P]


def test_where_nothing_is_known_nothing_hangs() -> None:
    watch = HeldUpWatch()
    watch.look(0, readable={P: 5}, written={P: 6})
    assert watch.look(HANGS_AFTER_S, readable={}, written={}) == []
    assert watch.hanging == set()
