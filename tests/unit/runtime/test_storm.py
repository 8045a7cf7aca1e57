"""When a subscriber dead-letters too much, against a list of all its outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis.strategies import booleans, floats, integers, lists

from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.storm import Limit, Storm, StormWatch


def policy(*, in_a_row: int = 50, window: int = 200, share: float = 0.5) -> Policy:
    return Policy(dead_letters_in_a_row=in_a_row, dead_letter_window=window, dead_letter_share=share)


def watched(outcomes: Sequence[bool], policy: Policy) -> tuple[int, Storm | None]:
    """How many outcomes were noted until a limit was reached, and what was; `True` is a dead letter."""
    watch = StormWatch(policy)
    for number, dead_lettered in enumerate(outcomes, 1):
        watch.note(dead_lettered=dead_lettered)
        if watch.storm is not None:
            return number, watch.storm
    return len(outcomes), None


def reached(before: Sequence[bool], policy: Policy) -> Storm | None:
    """The rule as it is said: looked at whenever a message is dead-lettered."""
    in_a_row, window = before[-policy.dead_letters_in_a_row :], before[-policy.dead_letter_window :]
    if not before or not before[-1]:
        return None
    if len(in_a_row) == policy.dead_letters_in_a_row and all(in_a_row):
        return Storm(Limit.IN_A_ROW, len(in_a_row), len(in_a_row))
    if len(window) == policy.dead_letter_window and sum(window) > policy.dead_letter_share * len(window):
        return Storm(Limit.SHARE, sum(window), len(window))
    return None


def modelled(outcomes: Sequence[bool], policy: Policy) -> tuple[int, Storm | None]:
    for number in range(1, len(outcomes) + 1):
        if (storm := reached(outcomes[:number], policy)) is not None:
            return number, storm
    return len(outcomes), None


@given(
    outcomes=lists(booleans(), max_size=60),
    in_a_row=integers(1, 8),
    window=integers(1, 12),
    share=floats(0.01, 1.0),
)
def test_it_is_reached_when_the_rule_says_so_and_never_before(outcomes: list[bool], in_a_row: int, window: int, share: float) -> None:
    mine = policy(in_a_row=in_a_row, window=window, share=share)
    assert watched(outcomes, mine) == modelled(outcomes, mine)


def test_fifty_in_a_row_are_too_many() -> None:
    assert watched([True] * 49 + [False] + [True] * 49, Policy()) == (99, None)
    assert watched([False, *[True] * 60], Policy()) == (51, Storm(Limit.IN_A_ROW, 50, 50))


def test_more_than_half_of_two_hundred_are_too_many_but_not_of_fewer() -> None:
    three_of_four = [True, True, True, False] * 60
    assert watched(three_of_four[:199], Policy()) == (199, None)
    assert watched(three_of_four, Policy()) == (201, Storm(Limit.SHARE, 150, 200))
    assert watched([True, False] * 400, Policy()) == (800, None)


def test_a_share_of_one_is_never_exceeded() -> None:
    assert watched([True] * 40, policy(window=10, share=1.0)) == (40, None)


def test_what_was_reached_stays_reached() -> None:
    watch = StormWatch(policy(in_a_row=2))
    for dead_lettered in (True, True, False, False, True):
        watch.note(dead_lettered=dead_lettered)
    assert watch.storm == Storm(Limit.IN_A_ROW, 2, 2)


def test_it_says_what_was_reached() -> None:
    assert str(Storm(Limit.IN_A_ROW, 50, 50)) == "50 dead letters in a row"
    assert str(Storm(Limit.SHARE, 101, 200)) == "101 of the last 200 messages are dead letters"
