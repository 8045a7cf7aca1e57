"""`fabric up`, `down`, `status` and `doctor`: the local landscape, and how everything stands."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console

from integration_fabric.apps.terminal import ERR, Json, answer, table, tell
from integration_fabric.wiring import local_systems
from integration_fabric.wiring.contracts import apply_topics, push_schemas
from integration_fabric.wiring.health import Check, check_all, read_status
from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.local_vendors import Landscape
from integration_fabric.wiring.settings import load


def up(
    *,
    systems: Annotated[Landscape, typer.Option(help="Which systems play the roles beside Kafka.")] = Landscape.NONE,
    store: Annotated[
        Store | None, typer.Option(help="Where effects and processes are kept; by default where they were, at first in SQLite.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what earlier runs left in the store and the systems.")] = False,
    as_json: Json = False,
) -> None:
    """Start Apache Kafka on this machine, and systems if you name them; make topics and register schemas."""
    began = time.monotonic()
    with ERR.status("starting") as status:

        def progress(line: str) -> None:
            status.update(line)
            tell(line)

        running = local_systems.up(systems, progress, fresh=fresh, store=store)
        settings = load()
        progress("making topics")
        made = sum(item.state == "made" for item in apply_topics(settings))
        progress("registering schemas")
        pushed = sum(item.is_new for item in push_schemas(settings))
    took_s = time.monotonic() - began
    document = {
        "bootstrap": running.bootstrap,
        "store": running.store.value,
        "systems": {playing.name: {"role": playing.role, "url": playing.url} for playing in running.systems},
        "topics_made": made,
        "schemas_registered": pushed,
        "took_s": round(took_s, 1),
    }

    def show(out: Console) -> None:
        out.print(f"[green]ready[/] in {took_s:.1f} s: Kafka at [bold]{running.bootstrap}[/], store on {running.store}")
        for playing in running.systems:
            out.print(f"{playing.role} is played by {playing.name} at [bold]{playing.url}[/]")
        out.print(
            "[dim]next: `fabric worker run all`, `fabric gateway run`, or `fabric demo` for the whole story; `fabric down` stops it[/]"
        )

    answer(document, as_json=as_json, show=show)


def down(*, as_json: Json = False) -> None:
    """Stop everything of this checkout; its data stays."""
    stopped = local_systems.down(tell)
    shown = f"stopped: {', '.join(stopped)}" if stopped else "nothing was running"
    answer({"stopped": list(stopped)}, as_json=as_json, show=lambda out: out.print(shown))


def status(*, as_json: Json = False) -> None:
    """Show broker, registry, store and workers, with what each subscriber is doing and how far it is behind."""
    document = read_status(load())
    answer(document, as_json=as_json, show=lambda out: _show_status(out, document))
    if not document["broker"]["reachable"]:
        raise typer.Exit(3)


def _show_status(out: Console, document: dict[str, Any]) -> None:
    for name in ("broker", "registry", "store"):
        part = document[name]
        mark = "[green]answers[/]" if part["reachable"] else f"[bold red]does not answer[/] {part['problem']}"
        out.print(f"{name:<9} {part['address']}  {mark}")
    rows = [
        (worker["name"], subscriber["name"], subscriber["state"], subscriber["lag_messages"], subscriber["stopped_at"])
        for worker in document["workers"]
        for subscriber in worker["subscribers"]
    ]
    if rows:
        out.print()
        out.print(table(None, ("worker", "subscriber", "state", "behind", "stands at"), rows, right=("behind",)))
    else:
        out.print("[dim]no workers: `fabric worker run all` starts one[/]")


def doctor(*, as_json: Json = False) -> None:
    """Check this machine and what the settings name; exit code 1 where something should be mended."""
    with ERR.status("looking"):
        checks = check_all(load())
    document = [{"check": check.name, "ok": check.ok, "found": check.found, "remedy": check.remedy} for check in checks]
    answer(document, as_json=as_json, show=lambda out: _show_checks(out, checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _show_checks(out: Console, checks: list[Check]) -> None:
    rows = [("ok" if check.ok else "MEND", check.name, check.found, check.remedy or None) for check in checks]
    out.print(table(None, ("", "check", "found", "what to do"), rows))
