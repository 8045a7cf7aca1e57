"""pytest puts each directory of tests on the path of modules: what stands beside tests in one must not hide what stands in another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]


def importable_names(directory: Path) -> Iterator[str]:
    """What `import` finds when the directory is on the path."""
    for path in directory.iterdir():
        if path.is_dir() and (path / "__init__.py").exists():
            yield path.name
        elif path.suffix == ".py" and path.stem != "conftest":
            yield path.stem


def test_no_two_directories_of_tests_offer_a_module_of_one_name() -> None:
    offered = defaultdict(list)
    for directory in (TESTS, *TESTS.rglob("*/")):
        if (directory / "__init__.py").exists() or directory.name == "__pycache__":
            continue
        for name in importable_names(directory):
            offered[name].append(str(directory.relative_to(TESTS)))
    assert {name: places for name, places in offered.items() if len(places) > 1} == {}
