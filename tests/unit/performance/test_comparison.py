"""What the benchmark says of its figures."""

from __future__ import annotations

from tests.performance.comparison import OURS, RAW, Aim, Row

ROW = Row(
    "P1", "consume", (Aim(RAW, 0.7), Aim("Faust", 3), Aim("gone", 2)), {OURS: [80.0, 100.0, 90.0], RAW: [100.0], "Faust": [40.0, 45.0]}
)


def test_medians_and_ratios() -> None:
    assert ROW.rate(OURS) == 90
    assert ROW.ratio(RAW) == 0.9
    assert ROW.ratio("gone") is None
    assert round(ROW.spread(OURS), 3) == 0.222


def test_only_aims_that_are_known_to_be_missed_are_missed() -> None:
    assert ROW.missed() == [Aim("Faust", 3)]


def test_json_says_what_was_met() -> None:
    found = ROW.to_json()
    assert found["rates_per_s"][OURS] == [80, 100, 90]
    assert [aim["met"] for aim in found["aims"]] == [True, False, True]
