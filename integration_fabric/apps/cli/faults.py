"""`fabric faults`: what simulated systems are made to do wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from integration_fabric.apps.terminal import Json, answer, table
from integration_fabric.wiring.faults import Change, Cleared, Played, Switch, SystemFaults, clear_faults, read_faults, set_faults
from integration_fabric.wiring.settings import load

app = typer.Typer(help="Faults that simulated systems can be switched to.", no_args_is_help=True)

_SYSTEM = "Its name in the settings, e.g. stripe."
OneOrAll = Annotated[str | None, typer.Argument(metavar="[SYSTEM]", help=f"{_SYSTEM} All where it is left out.", show_default=False)]
_NOTES = {Played.REAL: "is a real system: it has no switches", Played.SILENT: "does not answer"}


@app.command("list")
def list_(
    system: OneOrAll = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every switch, not only those that are switched on.")] = False,
    as_json: Json = False,
) -> None:
    """List the faults that are switched on; with --all every switch, its value and its meaning."""
    found = read_faults(load(), system)
    documents = [_document(each, everything=everything) for each in found]
    answer(documents, as_json=as_json, show=lambda out: _show(out, found, everything=everything))


def _document(found: SystemFaults, *, everything: bool) -> dict[str, Any]:
    switches = [
        {
            "switch": switch.name,
            "value": switch.value,
            "default": switch.default,
            "on": switch.on,
            "taken": switch.taken,
            "meaning": switch.meaning,
        }
        for switch in (found.switches if everything else found.on)
    ]
    return {"system": found.name, "vendor": found.vendor, "url": found.url, "played": found.played.value, "switches": switches}


def _show(out: Console, found: Sequence[SystemFaults], *, everything: bool) -> None:
    if everything:
        for each in found:
            if each.switches:
                out.print(table(each.name, ("switch", "value", "meaning"), [_row(switch) for switch in each.switches]))
    elif rows := [(each.name, *_row(switch)) for each in found for switch in each.on]:
        out.print(table(None, ("system", "switch", "value", "meaning"), rows))
    else:
        out.print("No fault is switched on; `fabric faults list --all` names what there is.")
    for each in found:
        if each.played in _NOTES:
            out.print(f"[dim]{each.name} {_NOTES[each.played]}[/]")


def _row(switch: Switch) -> tuple[str, Text, str]:
    value = _shown(switch.name, switch.value, on=switch.on) if switch.taken else Text("not taken", style="dim")
    return switch.name, value, switch.meaning


@app.command("set")
def set_(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help=_SYSTEM)],
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="SWITCH=VALUE...", help="E.g. error_rate=2% webhook_loss_rate=0.1 offline=true renamed_fields=name:full_name."
        ),
    ],
    *,
    as_json: Json = False,
) -> None:
    """Set switches of a simulated system, all or none of them; a rate is a share from 0 to 1, or 2%."""
    changes = set_faults(load(), system, _taken_apart(settings))
    documents = [{"switch": each.switch, "before": each.before, "after": each.after} for each in changes]
    answer({"system": system, "changes": documents}, as_json=as_json, show=lambda out: _show_changes(out, system, changes))


def _taken_apart(settings: Sequence[str]) -> dict[str, str]:
    changes: dict[str, str] = {}
    for each in settings:
        switch, equals, value = each.partition("=")
        if not equals or not switch:
            raise typer.BadParameter(f"{each} is not SWITCH=VALUE, e.g. error_rate=2%")
        if switch in changes:
            raise typer.BadParameter(f"{switch} is set twice")
        changes[switch] = value
    return changes


def _show_changes(out: Console, system: str, changes: Sequence[Change]) -> None:
    for each in changes:
        line = Text.assemble((system, "bold"), f"  {each.switch}  ", _shown(each.switch, each.before), " → ")
        out.print(line.append_text(_shown(each.switch, each.after, on=each.after != each.before)))


@app.command("clear")
def clear(
    system: OneOrAll = None,
    *,
    as_json: Json = False,
) -> None:
    """Switch all faults off, of one simulated system or of all; their records stay, and webhooks go where they went."""
    cleared = clear_faults(load(), system)
    documents = [{"system": each.name, "cleared": {switch.name: switch.value for switch in each.switches}} for each in cleared]
    answer(documents, as_json=as_json, show=lambda out: _show_cleared(out, cleared))


def _show_cleared(out: Console, cleared: Sequence[Cleared]) -> None:
    rows = [(each.name, switch.name, _shown(switch.name, switch.value)) for each in cleared for switch in each.switches]
    out.print(table(None, ("system", "switched off", "was"), rows) if rows else "No fault was switched on.")


def _shown(switch: str, value: Any, *, on: bool = False) -> Text:
    match value:
        case bool():
            text = "on" if value else "off"
        case dict():
            text = ", ".join(f"{old}:{new}" for old, new in value.items()) or "-"
        case int() | float() if switch.endswith("_rate"):
            text = f"{value:.6%}".rstrip("%").rstrip("0").rstrip(".") + "%"
        case float():
            text = f"{value:g}"
        case None:
            text = "-"
        case _:
            text = str(value)
    return Text(text, style="bold yellow" if on else "")
