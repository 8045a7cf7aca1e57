"""`fabric backfill` and `fabric replay`: giving one subscriber retained messages once more, and following how far that is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from integration_fabric.apps.cli import shadows
from integration_fabric.apps.terminal import ERR, By, Json, answer, key_text, moment, rfc3339, table, tell
from integration_fabric.runtime.clock import SystemClock
from integration_fabric.runtime.redelivery import ENDS, FAILED, Redelivery, RedeliveryProgress, RedeliveryState, Stretch
from integration_fabric.wiring import redeliveries
from integration_fabric.wiring.settings import Settings, load

app = typer.Typer(help="Following redeliveries, and stopping them.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="Of the redelivery; `fabric replay list` has it.")]
LOOK_S = 0.5
ENDED = {RedeliveryState.DONE, RedeliveryState.CANCELLED}


def backfill(  # noqa: PLR0913  one option each
    *,
    subscriber: Annotated[str, typer.Option("--subscriber", "-s", metavar="SUBSCRIBER", help="To whom, e.g. tryton.create-order.")],
    by: By,
    reason: Annotated[
        str | None,
        typer.Option("--reason", help="Why; it is shown with the redelivery. Needed unless nothing is redelivered.", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="From this time on, or so long ago, e.g. 2h; else from the first message that is there.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Up to this time; else up to the last message that is there now.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only messages with this key, e.g. SO-9.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Apply again what was applied, as an effect of its own; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be redelivered.")] = False,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Only run the handler, here, and say what would differ from what was done; nothing is written.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it is over; Ctrl-C ends only the following.")] = False,
    as_json: Json = False,
) -> None:
    """Give one subscriber retained messages once more, beside what is live and never before it; no other subscriber sees them.

    What was applied is not applied again: only what had no effect is handled (it was filtered, discarded, or could not be applied). With
    --force everything is.

    With --shadow nothing is redelivered: the handler runs in this process, reads from its system as ever, and ends at the first
    request that would change something. What it comes to is told beside what was done; the answer is 1 where that differs.
    """
    if shadow and force:
        raise typer.BadParameter("it handles every message anyway, and writes nothing", param_hint="--force with --shadow")
    if reason is None and not dry_run and not shadow:
        raise typer.BadParameter("say why; it is shown with the redelivery", param_hint="--reason")
    settings, now = load(), SystemClock().now()
    window = redeliveries.Window(
        moment(since, "--from", now=now) if since else None,
        moment(until, "--to", now=now) if until else None,
        key.encode() if key is not None else None,
    )
    wanted = redeliveries.stretches(settings, subscriber, window)
    if shadow and not dry_run:
        shadows.go_through(settings, subscriber, wanted, key=window.key, as_json=as_json)
        return
    if dry_run or not wanted:
        answer(_plan(subscriber, wanted), as_json=as_json, show=lambda out: _show_plan(out, subscriber, wanted))
        return
    assert reason is not None, "it was asked for above"
    if force and not yes and not typer.confirm(f"{_covered(wanted)}: apply again what {subscriber} has applied of them?", err=True):
        tell("nothing is redelivered")
        raise typer.Exit(1)
    number = redeliveries.file(settings, Redelivery(0, subscriber, force, window.key, by, reason), wanted)
    tell(f"redelivery {number} of {_covered(wanted)} to {subscriber}; `fabric replay show {number}` says how far it is")
    if wait:
        _follow(settings, number)
    (found,) = redeliveries.look(settings, number)
    answer(_document(found), as_json=as_json, show=lambda out: _show(out, found) if wait else None)
    if wait and found.counts.get(FAILED):
        raise typer.Exit(1)


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the redeliveries, the newest first."""
    found = redeliveries.look(load())

    def show(out: Console) -> None:
        if not found:
            out.print("Nothing was ever redelivered.")
            return
        rows = [
            (
                each.redelivery.number,
                each.redelivery.subscriber,
                each.state.value,
                f"{_share(each):.0%}",
                each.counts.get("applied", 0),
                each.counts.get(FAILED, 0),
                each.redelivery.why,
                each.redelivery.by,
                each.redelivery.filed_at,
            )
            for each in found
        ]
        columns = ("number", "subscriber", "state", "through", "applied", "failed", "why", "by", "since")
        out.print(table(None, columns, rows, right=("number", "through", "applied", "failed")))

    answer([_document(each) for each in found], as_json=as_json, show=show)


@app.command("show")
def show_one(number: Number, *, as_json: Json = False) -> None:
    """Show one redelivery: how far it is, what became of the messages, and which failed."""
    (found,) = redeliveries.look(load(), number)
    answer(_document(found), as_json=as_json, show=lambda out: _show(out, found))


@app.command("pause")
def pause(number: Number) -> None:
    """Have one wait: what runs is finished, nothing more of it begins."""
    redeliveries.order(load(), number, RedeliveryState.PAUSED)
    tell(f"redelivery {number} waits; `fabric replay resume {number}` has it go on")


@app.command("resume")
def resume(number: Number) -> None:
    """Have one go on that waits."""
    redeliveries.order(load(), number, RedeliveryState.RUNNING)
    tell(f"redelivery {number} goes on")


@app.command("cancel")
def cancel(number: Number) -> None:
    """End one: what runs is finished, what is done stays done, nothing is lost."""
    redeliveries.order(load(), number, RedeliveryState.CANCELLED)
    tell(f"redelivery {number} is cancelled")


def _follow(settings: Settings, number: int) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    pause = threading.Event()
    with Progress(*columns, console=ERR, transient=True) as progress:
        task = progress.add_task(f"redelivery {number}", total=1.0)
        while (found := redeliveries.look(settings, number)[0]).state not in ENDED:
            progress.update(task, completed=_share(found))
            pause.wait(LOOK_S)


def _share(found: RedeliveryProgress) -> float:
    """Of the offsets that it covers."""
    total = sum(stretch.end - stretch.first for stretch in found.stretches)
    return sum(stretch.position - stretch.first for stretch in found.stretches) / total if total else 1.0


def _covered(wanted: Sequence[Stretch]) -> str:
    offsets = sum(stretch.end - stretch.first for stretch in wanted)
    return f"{offsets:,} offsets in {len(wanted)} partition{'' if len(wanted) == 1 else 's'}"


def _plan(subscriber: str, wanted: Sequence[Stretch]) -> dict[str, Any]:
    return {"subscriber": subscriber, "stretches": [_stretch(stretch) for stretch in wanted]}


def _show_plan(out: Console, subscriber: str, wanted: Sequence[Stretch]) -> None:
    if not wanted:
        out.print(f"Nothing that {subscriber} reads stands there for that time.")
        return
    rows = [(stretch.partition.topic, stretch.partition.partition, stretch.first, stretch.end) for stretch in wanted]
    out.print(table(f"{_covered(wanted)} would be redelivered", ("topic", "partition", "from offset", "up to"), rows))


def _stretch(stretch: Stretch) -> dict[str, Any]:
    return {
        "topic": stretch.partition.topic,
        "partition": stretch.partition.partition,
        "from": stretch.first,
        "to": stretch.end,
        "position": stretch.position,
    }


def _document(found: RedeliveryProgress) -> dict[str, Any]:
    asked = found.redelivery
    key = key_text(asked.key)
    return {
        "id": asked.number,
        "state": found.state.value,
        "filter": {"subscriber": asked.subscriber, "key": key, "stretches": [_stretch(stretch) for stretch in found.stretches]},
        "force": asked.force,
        "total": sum(stretch.end - stretch.first for stretch in found.stretches),
        "remaining": sum(stretch.end - stretch.position for stretch in found.stretches),
        **{end: found.counts.get(end, 0) for end in ENDS if end != FAILED},
        "rate_per_s": None,
        "failed_again": found.counts.get(FAILED, 0),
        "failures": [{"position": failure.position, "why": failure.why} for failure in found.failures],
        "by": asked.by,
        "why": asked.why,
        "filed_at": rfc3339(asked.filed_at),
    }


def _show(out: Console, found: RedeliveryProgress) -> None:
    asked = found.redelivery
    facts = {
        "subscriber": asked.subscriber,
        "state": found.state.value,
        "through": f"{_share(found):.0%} of {_covered(found.stretches)}",
        "key": key_text(asked.key),
        "force": "yes: what was applied is applied again" if asked.force else "no: what was applied stays as it is",
        "why": f"{asked.why} ({asked.by}, {rfc3339(asked.filed_at)})",
        **{end: found.counts[end] for end in ENDS if found.counts.get(end)},
    }
    out.print(table(f"Redelivery {asked.number}", ("", ""), facts.items()))
    if found.failures:
        rows = [(each.position, each.why) for each in found.failures]
        out.print(table("These failed again; they are no dead letters anew", ("position", "why"), rows))
