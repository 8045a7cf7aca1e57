"""Every requirement on the consumer has its tests, and every test that names one stands in the list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from requirements import REQUIREMENTS

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"test_r(\d\d)_")
BY_PROTOCOL = {"site", "wide_site", "kafka_kit", "mortal"}
"""Fixtures of `conformance/requirements` that come once with each group protocol, or with all of them side by side."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def named() -> dict[str, tuple[Path, Function]]:
    """The tests that are named after a requirement, wherever they stand."""
    return {function.name: (path, function) for path in TESTS.rglob("test_*.py") for function in _functions(path)}


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, Function) and NAMED.match(node.name):
            yield node


def runs_with_each_protocol(name: str) -> bool:
    path, function = named()[name]
    return path.parent.name == "requirements" and bool(BY_PROTOCOL & {argument.arg for argument in function.args.args})


def test_there_are_thirty() -> None:
    assert list(REQUIREMENTS) == list(range(1, 31))


@pytest.mark.parametrize("number", REQUIREMENTS, ids=lambda number: f"R{number:02}")
def test_it_has_the_tests_that_the_list_names_or_says_why_it_has_none(number: int) -> None:
    requirement = REQUIREMENTS[number]
    assert bool(requirement.tests) != bool(requirement.untested)
    missing = [name for name in requirement.tests if name not in named() or int(NAMED.match(name)[1]) != number]  # type: ignore[index]
    assert not missing
    if requirement.each_protocol:
        assert any(runs_with_each_protocol(name) for name in requirement.tests)


def test_every_test_that_names_a_requirement_stands_in_the_list() -> None:
    listed = {name for requirement in REQUIREMENTS.values() for name in requirement.tests}
    assert named().keys() == listed


@pytest.mark.parametrize("name", sorted(named()))
def test_its_docstring_says_which_requirement_it_is(name: str) -> None:
    _, function = named()[name]
    assert (ast.get_docstring(function) or "").startswith(f"R{NAMED.match(name)[1]}")  # type: ignore[index]
