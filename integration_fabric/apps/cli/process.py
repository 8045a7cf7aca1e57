"""`fabric process`: the instances of long-running flows."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from integration_fabric.apps.terminal import Json, answer, rfc3339, table
from integration_fabric.process_engine.ports import InstanceRow
from integration_fabric.wiring.operations import find_instances
from integration_fabric.wiring.settings import load

app = typer.Typer(help="Process instances.", no_args_is_help=True)


@app.command("list")
def list_(
    *,
    process: Annotated[str | None, typer.Option(help="Only of this process.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state: running, held, completed, compensating, compensated.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=100_000)] = 200,
    as_json: Json = False,
) -> None:
    """List process instances, the newest first."""
    found = find_instances(load(), process=process, state=state, limit=limit)
    rows = [
        (row.instance.key, row.process, row.instance.state.value, _step(row), row.instance.since, _exception(row) or None) for row in found
    ]

    def show(out: Console) -> None:
        out.print(table(None, ("key", "process", "state", "step", "since", "exception"), rows) if rows else "No process instances.")

    answer([_document(row) for row in found], as_json=as_json, show=show)


@app.command("show")
def show_one(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Instance id, process key or business key.")], *, as_json: Json = False
) -> None:
    """Show one instance, step by step."""
    found = find_instances(load(), key=key, limit=20)
    if not found:
        raise typer.BadParameter(f"no process instance belongs to {key}; `fabric process list` names them")
    documents = [{**_document(row), "steps": _steps(row)} for row in found]
    answer(documents[0] if len(documents) == 1 else documents, as_json=as_json, show=lambda out: _show(out, found))


def _show(out: Console, found: Any) -> None:
    for row in found:
        title = f"{row.process} {row.instance.key}: {row.instance.state.value}"
        rows = [
            (step.name, step.status.value, step.attempt, step.since, "; ".join(f"{p.code} {p.id}: {p.hint}" for p in step.problems) or None)
            for step in row.instance.steps.values()
        ]
        out.print(table(title, ("step", "status", "attempt", "since", "problems"), rows, right=("attempt",)))


def _steps(row: InstanceRow) -> list[dict[str, Any]]:
    return [
        {
            "step": step.name,
            "status": step.status.value,
            "attempt": step.attempt,
            "since": rfc3339(step.since),
            "late": step.late,
            "command_id": step.command_id,
            "problems": [problem.model_dump(mode="json") for problem in step.problems],
        }
        for step in row.instance.steps.values()
    ]


def _document(row: InstanceRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "process": row.process,
        "version": row.version,
        "state": row.instance.state.value,
        "step": _step(row),
        "business_keys": dict(row.instance.business_keys),
        "since": rfc3339(row.instance.since),
        "deadline_at": rfc3339(row.deadline_at),
        "exception": _exception(row) or None,
    }


def _step(row: InstanceRow) -> str:
    return ", ".join(step.name for step in row.instance.open_steps())


def _exception(row: InstanceRow) -> str:
    problems = [problem for step in row.instance.open_steps() for problem in step.problems]
    late = [step.name for step in row.instance.open_steps() if step.late]
    causes = dict.fromkeys(f"{problem.code} {problem.id}" for problem in problems)
    return "; ".join([*causes, *(f"no answer to {name}" for name in late)])
