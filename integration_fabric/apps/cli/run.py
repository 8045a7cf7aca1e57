"""`fabric worker`, `fabric gateway` and `fabric demo`: what runs until it is told to end."""

from __future__ import annotations

import asyncio
import socket
from typing import Annotated

import typer

from integration_fabric.apps.demo.show import run_demo
from integration_fabric.apps.gateway.app import run_gateway
from integration_fabric.apps.terminal import tell
from integration_fabric.apps.worker import run_worker
from integration_fabric.telemetry import logs
from integration_fabric.wiring import landscape
from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.settings import load

worker = typer.Typer(help="Workers: subscribers, pollers and timers.", no_args_is_help=True)
gateway = typer.Typer(help="The gateway: webhooks come in here.", no_args_is_help=True)


@worker.command("run")
def worker_run(
    names: Annotated[list[str], typer.Argument(help="Parts to run: processes, a role, a system, a subscriber, or all.", metavar="NAME…")],
    name: Annotated[str | None, typer.Option(help="What this process is called in the activity log; by default host and parts.")] = None,
) -> None:
    """Run parts of the landscape until Ctrl-C or SIGTERM; a second one ends at once."""
    settings = load()
    logs.set_up(level=settings.log_level)
    landscape.select(settings, names)
    called = name or f"{socket.gethostname()}-{'-'.join(names)}"
    asyncio.run(run_worker(settings, names, name=called, ready=lambda address: tell(f"{called} answers at {address}")))


@gateway.command("run")
def gateway_run() -> None:
    """Take webhooks until Ctrl-C or SIGTERM."""
    settings = load()
    logs.set_up(level=settings.log_level)
    asyncio.run(run_gateway(settings, ready=lambda address: tell(f"the gateway takes webhooks at {address}/webhooks/SYSTEM")))


def demo(
    *,
    quotes: Annotated[int, typer.Option(help="How many quotes are approved.", min=9, max=500)] = 50,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Simulate all systems, instead of running a real ERP, billing and support.")
    ] = False,
    store: Annotated[Store, typer.Option(help="Where effects and processes are kept.")] = Store.SQLITE,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget a local landscape that `fabric up` made, too.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, to look around.")] = False,
) -> None:
    """Start everything, approve quotes, break something, show how each goes on, and count what the systems hold."""
    raise typer.Exit(run_demo(quotes=quotes, simulated=simulated, keep=keep, fresh=fresh, store=store))
