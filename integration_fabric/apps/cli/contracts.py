"""`fabric topics` and `fabric schemas`: what must be there before anything runs."""

from __future__ import annotations

import typer
from rich.console import Console

from integration_fabric.apps.terminal import Json, answer, table
from integration_fabric.wiring.contracts import apply_topics, push_schemas
from integration_fabric.wiring.settings import load

topics = typer.Typer(help="Topics.", no_args_is_help=True)
schemas = typer.Typer(help="Schemas and their registry.", no_args_is_help=True)


@topics.command("apply")
def topics_apply(*, as_json: Json = False) -> None:
    """Make the topics that are missing; nothing is ever deleted or changed."""
    found = apply_topics(load())
    document = [{"topic": item.name, "state": item.state.value, "differences": list(item.differences)} for item in found]
    counts = {state: sum(item.state == state for item in found) for state in ("made", "there", "differs")}
    shown = [item for item in found if item.state != "there"]

    def show(out: Console) -> None:
        if shown:
            out.print(
                table(
                    None, ("topic", "state", "differences"), [(item.name, item.state.value, "; ".join(item.differences)) for item in shown]
                )
            )
        out.print(", ".join(f"{count} {state}" for state, count in counts.items()))

    answer(document, as_json=as_json, show=show)


@schemas.command("push")
def schemas_push(*, as_json: Json = False) -> None:
    """Register every schema of this checkout; what is registered already keeps its id."""
    found = push_schemas(load())
    document = [{"subject": item.subject, "id": item.id, "new": item.is_new} for item in found]
    fresh = [item for item in found if item.is_new]

    def show(out: Console) -> None:
        if fresh:
            out.print(table(None, ("subject", "id"), [(item.subject, item.id) for item in fresh], right=("id",)))
        out.print(f"{len(fresh)} registered, {len(found) - len(fresh)} there already")

    answer(document, as_json=as_json, show=show)
