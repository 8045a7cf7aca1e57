"""The table of `connectors/README.md`: role by vendor by case, from the outcomes of a run of these suites."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parents[2] / "connectors/README.md"
EVERY_ACTION = HERE / "test_every_action.py"
BEGIN, END = "<!-- the role suites write from here -->", "<!-- to here -->"

Column = tuple[str, str, str]
"""Role, vendor, and how it runs: simulated or real."""


@dataclass
class Outcomes:
    """What a run came to."""

    passed: dict[tuple[str, Column], int] = field(default_factory=lambda: defaultdict(int))
    failed: dict[tuple[str, Column], int] = field(default_factory=lambda: defaultdict(int))

    def note(self, case: str, column: Column, *, passed: bool) -> None:
        """One case of one command."""
        (self.passed if passed else self.failed)[case, column] += 1

    def cell(self, case: str, column: Column) -> str:
        """How many commands came through; a dash where the case asks for what this system has no switch for."""
        passed, failed = self.passed[case, column], self.failed[case, column]
        return f"✗ {failed} of {passed + failed}" if failed else f"✓ {passed}" if passed else "-"


def cases() -> Sequence[str]:
    """Every case that every action goes through, in words, as the suite has them."""
    tree = ast.parse(EVERY_ACTION.read_text())
    return [in_words(node.name) for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")]


def in_words(name: str) -> str:
    """`it is done once` for `test_it_is_done_once`."""
    return name.removeprefix("test_").replace("_", " ")


def written(outcomes: Outcomes, columns: Sequence[Column]) -> str:
    """The table as Markdown."""
    head = ["case", *(f"{role}: {vendor}, {how}" for role, vendor, how in columns)]
    rows = [[case, *(outcomes.cell(case, column) for column in columns)] for case in cases()]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put(table: str) -> None:
    """Write the table into the README."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


def standing() -> Mapping[str, Sequence[str]]:
    """The table as it stands in the README: by case, its cells; the head under `case`."""
    text = README.read_text()
    inside = text.split(BEGIN)[1].split(END)[0]
    return {row[0]: row[1:] for row in _rows(inside) if not set(row[0]) <= {"-"}}


def _rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
