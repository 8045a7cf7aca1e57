"""`connectors/README.md` shows what the suites try on every vendor; `pytest tests/conformance/roles --role-table` writes it."""

from __future__ import annotations

from role_sites import columns
from role_table import cases, standing


def test_the_table_has_every_case_and_every_vendor() -> None:
    found = standing()
    assert list(found) == ["case", *cases()], "run `pytest tests/conformance/roles --role-table`"
    assert list(found["case"]) == [f"{role}: {vendor}, {how}" for role, vendor, how in columns()]


def test_no_cell_of_it_is_red() -> None:
    assert [(case, cell) for case, cells in standing().items() for cell in cells if cell.startswith("✗")] == []


def test_what_needs_no_switch_is_tried_everywhere() -> None:
    assert "-" not in standing()["it is done once"]
