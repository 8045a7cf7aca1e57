"""`fabric dlq`: what could not be applied."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel

from integration_fabric.apps.terminal import Json, answer, key_text, rfc3339, table
from integration_fabric.delivery.dead_letters import DeadLetterView
from integration_fabric.wiring.operations import decode_body, owner_of, read_dead_letters
from integration_fabric.wiring.settings import load

app = typer.Typer(help="Dead letters.", no_args_is_help=True)


@app.command("list")
def list_(
    *,
    subscriber: Annotated[str | None, typer.Option(help="Only of this subscriber.")] = None,
    code: Annotated[str | None, typer.Option(help="Only with this code.")] = None,
    as_json: Json = False,
) -> None:
    """List dead letters, the newest last."""
    found = [
        item
        for item in read_dead_letters(load())
        if (subscriber is None or item.subscriber == subscriber) and (code is None or item.code == code)
    ]
    rows = [(item.id, item.subscriber, _taken_from(item), key_text(item.key), item.failure, item.code, item.message) for item in found]

    def show(out: Console) -> None:
        if not found:
            out.print("No dead letters.")
            return
        out.print(table(None, ("id", "subscriber", "position", "key", "class", "code", "message"), rows))
        out.print(f"{len(found)} dead letters; `fabric dlq show ID` tells all about one")

    answer([_document(item) for item in found], as_json=as_json, show=show)


@app.command("show")
def show_one(
    identity: Annotated[str, typer.Argument(metavar="ID", help="Of the dead letter, or its first characters.")], *, as_json: Json = False
) -> None:
    """Show one dead letter: what failed, how often, and the message itself."""
    settings = load()
    matching = [item for item in read_dead_letters(settings) if item.id.startswith(identity)]
    if not matching:
        raise typer.BadParameter(f"no dead letter has the id {identity}; `fabric dlq list` names them all")
    found = matching[-1]
    body = decode_body(settings, found)
    document = {**_document(found), "headers": found.headers, "stack": found.stack, "attempt_log": found.attempt_log, "body": body}
    answer(document, as_json=as_json, show=lambda out: _show(out, found, body))


def _document(item: DeadLetterView) -> dict[str, Any]:
    return {
        "id": item.id,
        "subscriber": item.subscriber,
        "topic": item.position.topic or None,
        "partition": item.position.partition if item.position.topic else None,
        "offset": item.position.offset if item.position.topic else None,
        "key": key_text(item.key),
        "class": item.failure,
        "code": item.code,
        "message": item.message,
        "fingerprint": item.fingerprint,
        "business_keys": dict(item.business_keys),
        "owner": owner_of(item),
        "status": "open",
        "first_seen_at": rfc3339(item.first_failed_at),
        "last_seen_at": rfc3339(item.last_failed_at),
        "attempts": item.attempts,
    }


def _show(out: Console, item: DeadLetterView, body: Any) -> None:
    facts = {
        "subscriber": item.subscriber,
        "message": f"{item.message_type or 'unreadable'}  {item.message_id}",
        "taken from": _taken_from(item),
        "key": key_text(item.key),
        "class": f"{item.failure} ({item.code})",
        "why": item.message,
        "owner": owner_of(item),
        "attempts": f"{item.attempts}, first {rfc3339(item.first_failed_at)}, last {rfc3339(item.last_failed_at)}",
        "business keys": ", ".join(f"{name} {value}" for name, value in item.business_keys.items()) or None,
    }
    out.print(table(f"Dead letter {item.id}", ("", ""), facts.items()))
    if body is not None:
        out.print(Panel(json.dumps(body, indent=2, ensure_ascii=False), title="message", title_align="left"))
    elif (told := _json_of(item.value)) is not None:
        out.print(Panel(told, title="what the system sent", title_align="left"))
    elif item.value is not None:
        out.print(Panel(item.value[:512].hex(" ", 2), title=f"{len(item.value)} bytes that are no message", title_align="left"))
    if item.stack:
        out.print(Panel(item.stack, title="where it failed", title_align="left"))


def _taken_from(item: DeadLetterView) -> str:
    """A place in a topic; what a system sent never stood in one."""
    return str(item.position) if item.position.topic else "outside"


def _json_of(value: bytes | None) -> str | None:
    """What a system sent, for people; None where it is no JSON."""
    try:
        return None if value is None else json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except ValueError:
        return None
