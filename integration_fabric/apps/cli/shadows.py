"""`fabric backfill --shadow`: what a handler would make of retained messages, beside what was made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from integration_fabric.apps.terminal import ERR, answer, key_text, table
from integration_fabric.delivery.shadow import Shadowed, Verdict
from integration_fabric.runtime.redelivery import Stretch
from integration_fabric.wiring import shadow
from integration_fabric.wiring.settings import Settings
from integration_fabric.wiring.shadow import Report

SHOWN = 50
"""Rows of a table; the document has all that the report has."""
MEANINGS = {
    Verdict.SAME: "would come to what they came to",
    Verdict.DIFFERS: "would be answered otherwise",
    Verdict.NEW: "would be answered, and nothing is known of an earlier answer",
    Verdict.WRITES: "would write to the system",
    Verdict.FAILS: "would fail",
}


def go_through(settings: Settings, subscriber: str, wanted: Sequence[Stretch], *, key: bytes | None, as_json: bool) -> None:
    """Run it, with its progress on standard error, and tell what came of it. Raises Exit with 1 where anything differs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[so_far]}"),
    )
    with Progress(*columns, console=ERR, transient=True) as progress:
        total = sum(stretch.end - stretch.first for stretch in wanted)
        task = progress.add_task(f"{subscriber} in the shadow", total=total, so_far="")

        def told(behind: int, report: Report) -> None:
            progress.update(task, completed=behind, so_far=_in_short(report))

        report = shadow.run(settings, subscriber, wanted, key=key, told=told) if wanted else Report()
    answer(_document(subscriber, report), as_json=as_json, show=lambda out: _show(out, subscriber, report))
    if not report.is_same:
        raise typer.Exit(1)


def _in_short(report: Report) -> str:
    return ", ".join(f"{count:,} {verdict.value}" for verdict, count in sorted(report.counts.items()))


def _document(subscriber: str, report: Report) -> dict[str, Any]:
    return {
        "subscriber": subscriber,
        "messages": report.counts.total(),
        **{verdict.value: report.counts[verdict] for verdict in Verdict},
        "unlike": [_of(found) for found in report.unlike],
        "not_listed": report.counts.total() - report.counts[Verdict.SAME] - len(report.unlike),
    }


def _of(found: Shadowed) -> dict[str, Any]:
    return {
        "position": str(found.coordinates),
        "key": key_text(found.key),
        "verdict": found.verdict.value,
        "was": found.was,
        "now": found.now,
        "differences": [{"field": each.field, "was": each.was, "now": each.now} for each in found.differences],
    }


def _show(out: Console, subscriber: str, report: Report) -> None:
    if not report.counts:
        out.print(f"Nothing that {subscriber} reads stands there for that time and key.")
        return
    rows = [(f"{report.counts[verdict]:,}", meaning) for verdict, meaning in MEANINGS.items() if report.counts[verdict]]
    out.print(f"{subscriber}: {report.counts.total():,} messages, nothing was written")
    out.print(table(None, ("messages", ""), rows, right=("messages",)))
    if not report.unlike:
        return
    listed = [(str(found.coordinates), key_text(found.key), found.verdict.value, found.was, _now(found)) for found in report.unlike[:SHOWN]]
    out.print()
    out.print(table(None, ("position", "key", "", "was", "would be"), listed))
    more = report.counts.total() - report.counts[Verdict.SAME] - len(listed)
    if more:
        out.print(f"and {more:,} more; --json has up to {shadow.LISTED:,}")


def _now(found: Shadowed) -> str:
    if not found.differences:
        return found.now
    return "; ".join(f"{each.field}: {each.was} → {each.now}" for each in found.differences)
