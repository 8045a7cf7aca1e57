"""`fabric journey` and `fabric balance`: what became of one transaction, and whether the sum is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from integration_fabric.apps.terminal import ERR, Json, answer, rfc3339, table
from integration_fabric.operations.conservation import Balance
from integration_fabric.operations.journey import Journey
from integration_fabric.runtime.outcomes import OutcomeKind
from integration_fabric.wiring.operations import read_balances, read_journey
from integration_fabric.wiring.settings import load


def journey(
    key: Annotated[str, typer.Argument(help="A quote, order, contract … or correlation id.", metavar="KEY")], *, as_json: Json = False
) -> None:
    """Print the timeline of one transaction, from the quote to the support entitlement."""
    with ERR.status(f"reading the activity log for {key}"):
        found = read_journey(load(), key)
    answer(_journey_document(found), as_json=as_json, show=lambda out: _show_journey(out, key, found))
    if not found.entries:
        raise typer.Exit(1)


def _journey_document(found: Journey) -> dict[str, Any]:
    entries = [
        {
            "at": rfc3339(entry.at),
            "kind": entry.kind,
            "type": entry.type,
            "topic": entry.topic,
            "partition": entry.partition,
            "offset": entry.offset,
            "subscriber": entry.subscriber,
            "outcome": entry.outcome,
            "duration_ms": entry.duration_ms,
            "attempts": entry.attempts,
            "detail": entry.detail,
        }
        for entry in found.entries
    ]
    return {"business_keys": dict(found.business_keys), "entries": entries}


def _show_journey(out: Console, key: str, found: Journey) -> None:
    if not found.entries:
        out.print(f"Nothing is known of [bold]{key}[/]. Is it the id of a quote, order, contract, subscription or customer?")
        return
    out.print("  ".join(f"[dim]{name}[/] [bold]{value}[/]" for name, value in found.business_keys.items()))
    began = found.entries[0].at
    rows = [
        (
            entry.at.strftime("%H:%M:%S.%f")[:-3],
            f"+{(entry.at - began).total_seconds():.2f}",
            entry.kind,
            entry.type,
            entry.subscriber,
            entry.outcome,
            entry.duration_ms,
            entry.detail,
        )
        for entry in found.entries
    ]
    columns = ("at (UTC)", "s", "kind", "message", "subscriber", "outcome", "ms", "detail")
    out.print(table(None, columns, rows, right=("s", "ms")))


def balance(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also topics that hold no message.")] = False,
    as_json: Json = False,
) -> None:
    """Prove that each message is in exactly one outcome at each subscriber, or in flight; exit code 1 where it is not."""
    with ERR.status("folding the activity log"):
        found = read_balances(load())
    answer([_balance_document(item) for item in found], as_json=as_json, show=lambda out: _show_balances(out, found, everything=everything))
    if not all(item.balanced for item in found):
        raise typer.Exit(1)


def _balance_document(item: Balance) -> dict[str, Any]:
    document: dict[str, Any] = {"topic": item.topic, "subscriber": item.subscriber, "accepted": item.accepted, **item.outcomes}
    document |= {"in_flight": item.in_flight, "balanced": item.balanced}
    if item.offence_count:
        document["offences"] = [{"position": offence.position, "why": offence.why} for offence in item.offences]
        document["offence_count"] = item.offence_count
    return document


def _show_balances(out: Console, found: Sequence[Balance], *, everything: bool) -> None:
    shown = [item for item in found if everything or item.accepted or not item.balanced]
    kinds = [kind.value for kind in OutcomeKind if any(item.outcomes.get(kind.value) for item in shown)]
    columns = ("topic", "subscriber", "accepted", *kinds, "in_flight", "balanced")
    rows = [
        (
            item.topic,
            item.subscriber,
            item.accepted,
            *(item.outcomes.get(kind) or None for kind in kinds),
            item.in_flight or None,
            "yes" if item.balanced else "NO",
        )
        for item in shown
    ]
    out.print(table(None, columns, rows, right=("accepted", *kinds, "in_flight")))
    for item in shown:
        for offence in item.offences:
            out.print(f"[bold red]{item.subscriber}[/] {offence.position}: {offence.why}")
    even = sum(item.balanced for item in found)
    out.print(f"{even} of {len(found)} sums are even" + ("" if everything else f"; {len(found) - len(shown)} of empty topics not shown"))
