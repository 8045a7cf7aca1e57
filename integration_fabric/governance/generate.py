"""Writes `integration_fabric/messages/<noun>.py` and `catalogue.py` from the schema files, so that a message type is said once.

Run by `make generate`; with `--check` by `make check`, which then fails on a module that was edited by hand or left behind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import integration_fabric.messages
from integration_fabric.governance.message_source import CATALOGUE, class_name, noun_of, write_catalogue, write_module
from integration_fabric.governance.named_types import NamedType, collect
from integration_fabric.governance.schema_files import SchemaFile, read_all
from integration_fabric.messages.errors import UsageProblem

MESSAGES = Path(integration_fabric.messages.__path__[0])
HAND_WRITTEN = frozenset({"__init__", "base", "ids", "envelope", "errors"})


def generate(files: Iterable[SchemaFile]) -> dict[str, str]:
    """Make the modules.

    Args:
        files: Every schema file; the modules refer to each other.

    Returns:
        Text by module name, e.g. `orders`.

    Raises:
        UsageProblem: Files contradict each other, say too little, or would make modules that import each other.
    """
    files = tuple(files)
    types = collect(files)
    nouns: dict[str, list[NamedType]] = {}
    for named in types.values():
        nouns.setdefault(noun_of(named), []).append(named)
    _refuse_clashes(nouns)
    topics = {file.full_name: file.topic for file in files}
    modules = {noun: write_module(noun, members, types, topics) for noun, members in sorted(nouns.items())}
    _refuse_cycles({noun: module.uses for noun, module in modules.items()})
    messages = [named for named in types.values() if named.is_message]
    return {noun: module.text for noun, module in modules.items()} | {CATALOGUE: write_catalogue(messages)}


def drift(texts: Mapping[str, str], folder: Path) -> list[str]:
    """Names of the files in `folder` that differ from `texts`, are missing there, or are generated and no longer wanted."""
    return sorted(f"{name}.py" for name in texts.keys() | _generated(folder) if _read(folder / f"{name}.py") != texts.get(name))


def write(texts: Mapping[str, str], folder: Path) -> list[str]:
    """Bring `folder` to what `texts` says; files that are right already are not touched.

    Returns:
        Names of the files that were written or removed.
    """
    changed = drift(texts, folder)
    for file in changed:
        text = texts.get(file.removesuffix(".py"))
        if text is None:
            (folder / file).unlink()
        else:
            (folder / file).write_text(text, encoding="utf-8")
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the modules, or with `--check` say which are not what the schema files say.

    Returns:
        Exit code: 0 done; 1 drift; 2 the schema files cannot be used.
    """
    parser = argparse.ArgumentParser(prog="python -m integration_fabric.governance.generate", description="Message types from schemas/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that differ")
    check: bool = parser.parse_args(arguments).check
    try:
        texts = generate(read_all())
    except UsageProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return problem.exit_code
    changed = drift(texts, MESSAGES) if check else write(texts, MESSAGES)
    for file in changed:
        sys.stdout.write(f"integration_fabric/messages/{file}: {'differs from schemas/; run `make generate`' if check else 'written'}\n")
    return 1 if check and changed else 0


def _generated(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py")} - HAND_WRITTEN


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _refuse_clashes(nouns: Mapping[str, Iterable[NamedType]]) -> None:
    for noun, members in nouns.items():
        if noun in HAND_WRITTEN or noun == CATALOGUE:
            raise UsageProblem(f"noun {noun!r} is a module of its own in integration_fabric/messages; choose another noun")
        seen: dict[str, NamedType] = {}
        for named in members:
            other = seen.setdefault(class_name(named), named)
            if other is not named:
                raise UsageProblem(
                    f"schemas/{named.path}: {named.full_name} and {other.full_name} (schemas/{other.path}) "
                    f"would both be {noun}.{class_name(named)}; rename one"
                )


def _refuse_cycles(uses: Mapping[str, Iterable[str]]) -> None:
    done: set[str] = set()

    def visit(noun: str, path: tuple[str, ...]) -> None:
        if noun in path:
            cycle = " -> ".join((*path[path.index(noun) :], noun))
            raise UsageProblem(f"modules would import each other: {cycle}; move a nested type to a noun that both may use")
        if noun not in done:
            for other in sorted(uses[noun]):
                visit(other, (*path, noun))
            done.add(noun)

    for noun in uses:
        visit(noun, ())


if __name__ == "__main__":
    sys.exit(main())
