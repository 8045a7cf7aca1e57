"""`fabric systems`: how the systems stand that the fabric calls, and stopping and resuming all calls of one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console

from integration_fabric.apps.terminal import By, Json, Reason, answer, duration, rfc3339, table, tell
from integration_fabric.delivery.ports import Flow
from integration_fabric.wiring.operations import SystemStanding, pause_system, read_systems, resume_system
from integration_fabric.wiring.settings import load

app = typer.Typer(help="The systems that the fabric calls.", no_args_is_help=True)

System = Annotated[str, typer.Argument(metavar="SYSTEM", help="Its name in the settings, e.g. stripe.")]


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the systems: whether they are called, why not, and what they are given at the most."""
    found = read_systems(load())
    answer([_document(each) for each in found], as_json=as_json, show=lambda out: _show(out, found))


def _document(found: SystemStanding) -> dict[str, Any]:
    state, limits = found.state, found.settings.limits
    return {
        "system": found.name,
        "role": found.settings.role,
        "vendor": found.settings.vendor,
        "flow": state.flow.value,
        "since": rfc3339(state.since) if state.flow is not Flow.FLOWING else None,
        "remaining_s": round(max(0.0, state.remaining.total_seconds()), 1),
        "why": state.why,
        "by": state.by,
        "maintenance_left_s": round(found.maintenance_left.total_seconds(), 1),
        "calls_per_s": limits.per_s,
        "concurrency": limits.concurrency,
    }


def _show(out: Console, found: Sequence[SystemStanding]) -> None:
    if not found:
        out.print("No systems are set; they stand under \\[systems.NAME] in the settings.")
        return
    rows = [
        (
            each.name,
            each.settings.role,
            each.settings.vendor,
            "maintenance" if each.maintenance_left > timedelta() and each.state.flow is Flow.FLOWING else each.state.flow.value,
            _left(each),
            each.state.since if each.state.flow is not Flow.FLOWING else None,
            f"{each.state.why} ({each.state.by})" if each.state.by else each.state.why or None,
            f"{each.settings.calls_per_s:g}/s" if each.settings.calls_per_s else None,
        )
        for each in found
    ]
    out.print(table(None, ("system", "role", "vendor", "flow", "left", "since", "why", "rate"), rows))


def _left(found: SystemStanding) -> str | None:
    left = max(found.state.remaining, found.maintenance_left)
    if found.state.flow is Flow.PAUSED and left > timedelta(days=36_500):
        return "until resumed"
    return f"{left.total_seconds():.0f} s" if left > timedelta() else None


@app.command("pause")
def pause(
    system: System,
    *,
    reason: Reason,
    by: By,
    within: Annotated[str | None, typer.Option("--for", help="For how long, e.g. 30m or 2h; until `resume` where it is left out.")] = None,
) -> None:
    """Stop all calls of a system, by every worker, within a second; commands for it wait in order."""
    pause_system(load(), system, by=by, why=reason, within=duration(within, "--for") if within else None)
    tell(f"{system} is paused; `fabric systems resume {system}` lets calls go on")


@app.command("resume")
def resume(system: System) -> None:
    """Let the calls of a system go on, whatever stopped them: a person, or failures."""
    tell(f"{system} is called again" if resume_system(load(), system) else f"{system} was called all the time")
