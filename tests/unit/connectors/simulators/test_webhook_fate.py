"""The dice of one webhook and the renaming of fields, as pure functions."""

from __future__ import annotations

from hypothesis import given, strategies as st

from connectors.simulators.faults import Switches, renamed
from connectors.simulators.webhook_fate import Fate, fate_of, is_corrupt

POSITIONS = range(1, 2001)
RATES = st.floats(0, 1)


def test_a_vendor_in_good_health_delivers_once_and_at_once():
    assert {fate_of(position, Switches(), seed="7:stripe") for position in POSITIONS} == {Fate(False, 1, 0, False, False)}


@given(RATES, RATES)
def test_a_higher_rate_spoils_what_a_lower_one_does_and_more(one, other):
    lower, higher = sorted((one, other))

    def lost(rate: float) -> set[int]:
        return {each for each in range(50) if fate_of(each, Switches(webhook_loss_rate=rate), seed="s").lost}

    assert lost(lower) <= lost(higher)


def test_a_rate_is_the_share_and_the_draws_have_nothing_to_do_with_each_other():
    switches = Switches(webhook_loss_rate=0.5, webhook_duplicate_rate=0.5, webhook_reorder_rate=0.5, webhook_corrupt_rate=0.5)
    fates = [fate_of(position, switches, seed="s") for position in POSITIONS]
    corrupt = [is_corrupt(position, 0, switches, seed="s") for position in POSITIONS]
    drawn = [(fate.lost, fate.copies == 2, fate.overtaken, bad) for fate, bad in zip(fates, corrupt, strict=True)]

    counts = [drawn.count(each) for each in set(drawn)]

    assert len(counts) == 16  # every combination, about as often as the others
    assert all(2000 / 16 / 2 < count < 2000 / 16 * 2 for count in counts)


def test_another_seed_is_another_fate_and_the_same_one_the_same():
    def lost(seed: str) -> list[bool]:
        return [fate_of(position, Switches(webhook_loss_rate=0.5), seed=seed).lost for position in POSITIONS]

    assert lost("1:stripe") == lost("1:stripe") != lost("2:stripe")
    assert lost("1:stripe") != lost("1:salesforce")


NAMES = st.sampled_from("abcd")
VALUES = st.recursive(st.integers() | st.none() | st.text(), lambda each: st.lists(each) | st.dictionaries(NAMES, each), max_leaves=20)


def _names(value: object) -> set[str]:
    match value:
        case dict():
            return set(value) | {name for each in value.values() for name in _names(each)}
        case list():
            return {name for each in value for name in _names(each)}
        case _:
            return set()


@given(VALUES)
def test_the_old_name_is_gone_at_any_depth_and_the_rest_stays(value):
    found = renamed(value, {"a": "z"})

    assert _names(found) == {"z" if name == "a" else name for name in _names(value)}
    assert renamed(found, {"z": "a"}) == value


def test_two_names_can_change_places_and_one_that_is_taken_gives_way():
    assert renamed({"a": 1, "b": [{"a": 2}]}, {"a": "b", "b": "a"}) == {"b": 1, "a": [{"b": 2}]}
    assert renamed({"b": 2, "a": 1}, {"a": "b"}) == {"b": 1}
