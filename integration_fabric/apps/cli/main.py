"""The command line: `fabric`. Every command says in one line what it cannot do; exit codes are 0, 1, 2, 3 and 130 (see the README)."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from typing import Annotated, Any

import typer

from integration_fabric.apps.cli import contracts, dlq, faults, landscape, look, process, replay, run, subscribers, systems
from integration_fabric.apps.terminal import ERR
from integration_fabric.messages.errors import FabricError, Unavailable, UsageProblem
from integration_fabric.telemetry import logs

INTERRUPTED = 130
CANNOT_REACH = 3
WrongUsage: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What Typer raises for wrong usage: its own copy of Click's class, which it exports only through its subclasses."""

app = typer.Typer(
    name="fabric",
    help="An event-driven integration fabric on Apache Kafka: quote to cash and service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(landscape.up)
app.command("down")(landscape.down)
app.command("status")(landscape.status)
app.command("doctor")(landscape.doctor)
app.command("demo")(run.demo)
app.command("journey")(look.journey)
app.command("balance")(look.balance)
app.command("backfill")(replay.backfill)
app.add_typer(contracts.topics, name="topics")
app.add_typer(contracts.schemas, name="schemas")
app.add_typer(run.worker, name="worker")
app.add_typer(run.gateway, name="gateway")
app.add_typer(dlq.app, name="dlq")
app.add_typer(replay.app, name="replay")
app.add_typer(process.app, name="process")
app.add_typer(subscribers.app, name="subscribers")
app.add_typer(systems.app, name="systems")
app.add_typer(faults.app, name="faults")


@app.callback()
def _options(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(installed("integration-fabric"))
        raise typer.Exit


def main() -> None:
    """Run a command and end the process with its exit code."""
    sys.exit(_run())


def _run() -> int:
    logs.set_up(level="ERROR", libraries="CRITICAL")
    try:
        code = app(standalone_mode=False)
    except UsageProblem as error:
        return _say(str(error), error.exit_code)
    except Unavailable as error:
        return _say(str(error), CANNOT_REACH)
    except FabricError as error:
        return _say(str(error), 1)
    except WrongUsage as error:
        error.show()
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _say(message: str, code: int) -> int:
    ERR.print(f"[bold red]fabric:[/] {message}", markup=True, soft_wrap=True)
    return code


if __name__ == "__main__":
    main()
