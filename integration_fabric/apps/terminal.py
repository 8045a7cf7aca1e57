"""How commands answer: tables and colours for people, one JSON document for programs; what is said on the way goes to standard error."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 200
"""Columns off a terminal, where nothing is folded for the eye: `grep` and `awk` find a row on one line."""
OUT = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
ERR = Console(stderr=True, highlight=False)

Reason = Annotated[str, typer.Option("--reason", help="Why; it is shown to everybody who asks why nothing moves.")]
By = Annotated[
    str, typer.Option("--by", help="Who says so; by default who is logged in.", show_default=False, default_factory=getpass.getuser)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]

STYLES = {
    "applied": "green",
    "completed": "green",
    "running": "cyan",
    "waiting": "cyan",
    "flowing": "green",
    "throttled": "yellow",
    "paused": "yellow",
    "maintenance": "yellow",
    "away": "bold red",
    "refusing": "bold red",
    "held": "yellow",
    "stopped": "bold red",
    "dead_lettered": "bold red",
    "failed": "bold red",
    "done": "green",
    "cancelled": "dim",
    "compensating": "magenta",
    "compensated": "magenta",
    "filtered": "dim",
    "duplicate": "dim",
    "superseded": "dim",
}


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str, option: str) -> timedelta:
    """Read `90s`, `30m`, `2h` or `1d`. Raises BadParameter of that option."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and unit in _UNITS and len(number) < 6:  # noqa: PLR2004  274 years, in days
        return timedelta(**{_UNITS[unit]: int(number)})
    raise typer.BadParameter(f"{text!r} is no duration; write it as 90s, 30m, 2h or 1d", param_hint=option)


def moment(text: str, option: str, *, now: datetime) -> datetime:
    """Read a time in RFC 3339, in UTC where it names no zone, or how long ago it is. Raises BadParameter of that option."""
    if text[-1:] in _UNITS and text[:-1].isdigit():
        return now - duration(text, option)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write it as 2026-11-28T07:00:00Z, or as how long ago: 90s, 30m, 2h or 1d", param_hint=option
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def answer(document: Any, *, as_json: bool, show: Callable[[Console], None]) -> None:
    """Print the answer of a command: the document as JSON, or what `show` makes of it for people."""
    if as_json:
        sys.stdout.write(json.dumps(document, default=_plain, ensure_ascii=False, indent=2) + "\n")
    else:
        show(OUT)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Iterable):
        return list(value)
    return str(value)


def rfc3339(at: datetime | None) -> str | None:
    """A time as tools read it: RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None


def key_text(key: bytes | None) -> str | None:
    """A record's key for people and documents."""
    return None if key is None else key.decode("utf-8", "replace")


def tell(line: str) -> None:
    """Say on standard error what is being done."""
    ERR.print(f"[dim]·[/] {line}")


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> Table:
    """A table; cells that name a state have its colour."""
    found = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        found.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        found.add_row(*(cell(value) for value in row))
    return found


def cell(value: Any) -> Text:
    """One cell."""
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, Text):
        return value
    text = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else str(value)
    return Text(text, style=STYLES.get(text, ""))
