"""Puts the simulated vendors and their control API into one web application; `__main__` serves it, tests may too."""

from __future__ import annotations

import asyncio
import fcntl
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI
from starlette.routing import Mount

from connectors.simulators import gainsight, salesforce, zendesk
from connectors.simulators.control_api import Controlled, control_router
from connectors.simulators.exchange import Vendor
from connectors.simulators.faults import Panel, Switches
from connectors.simulators.front_door import FrontDoor
from connectors.simulators.outbox import Outbox
from connectors.simulators.store import Store
from connectors.simulators.stripe import vendor as stripe
from connectors.simulators.tryton import vendor as tryton
from connectors.simulators.webhooks import Courier

VENDORS = ("salesforce", "stripe", "gainsight", "zendesk", "tryton")
DEFAULT_WEBHOOK_SECRET = "simulator-webhook-secret"  # noqa: S105 - of a simulator; real ones are configured


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Attributes:
        state: folder of the databases.
        vendors: which vendors to play.
        switches: by vendor, what is switched from the start.
        tokens: by vendor, the credential; `<vendor>-token` where none is given.
        webhook_secret: signs webhooks.
        seed: of the dice that decide by the rates.
        key_memory: how long the Stripe simulator remembers an idempotency key.
        landscape: whether an empty ERP gets the demo's master data.
    """

    state: Path
    vendors: Sequence[str] = VENDORS
    switches: Mapping[str, Switches] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    webhook_secret: str = DEFAULT_WEBHOOK_SECRET
    seed: int = 7
    key_memory: timedelta = timedelta(hours=24)
    landscape: bool = True


class StateInUseError(Exception):
    """Another process works on the state folder."""


def build_application(options: Options, *, stopping: asyncio.Event) -> FastAPI:
    """The web application.

    Args:
        options: how to run.
        stopping: set by whoever serves it when the server stops, so that what hangs ends.

    Returns:
        It opens its databases at once and closes them at the end of its lifespan.

    Raises:
        StateInUseError: see there.
        UnsuitableSwitchError: a switch is set of a vendor that has nothing which it could spoil.
    """
    vendors = {name: _vendor(name, options) for name in VENDORS}
    abilities = {name: vendor.abilities for name, vendor in vendors.items()}
    panels = {name: Panel(name, options.switches.get(name, Switches()), abilities) for name in options.vendors}
    resources = AsyncExitStack()
    _lock(options.state, resources)
    client = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=64))
    controlled, couriers, mounts = {}, [], []
    for name in options.vendors:
        vendor, panel, seed = vendors[name], panels[name], f"{options.seed}:{name}"
        store = Store(options.state / f"{name}.sqlite", vendor.indexed)
        resources.callback(store.close)
        courier = _courier(vendor, Outbox(store), panel, client=client, secret=options.webhook_secret, seed=seed)
        couriers += [courier] if courier else []
        controlled[name] = Controlled(vendor, store, panel, courier.wake if courier else _nobody)
        controlled[name].seed_if_empty()
        door = FrontDoor(
            vendor=vendor,
            store=store,
            panel=panel,
            token=options.tokens.get(name, f"{name}-token"),
            dice=random.Random(seed),
            on_events=controlled[name].wake,
            stopping=stopping,
        )
        mounts.append(Mount(vendor.prefix, routes=door.routes()))
    application = FastAPI(title="Simulated vendors", openapi_url=None, lifespan=_Lifespan(resources, client, couriers))
    application.include_router(control_router(controlled))
    application.router.routes.extend(mounts)
    return application


def _vendor(name: str, options: Options) -> Vendor:
    match name:
        case "stripe":
            return stripe.vendor(key_memory=options.key_memory)
        case "tryton":
            return tryton.vendor(seeded=options.landscape)
        case _:
            return {"salesforce": salesforce.VENDOR, "gainsight": gainsight.VENDOR, "zendesk": zendesk.VENDOR}[name]


def _courier(vendor: Vendor, outbox: Outbox, panel: Panel, *, client: httpx.AsyncClient, secret: str, seed: str) -> Courier | None:
    if vendor.signature_header is None:
        return None
    return Courier(outbox=outbox, panel=panel, client=client, signature_header=vendor.signature_header, secret=secret, seed=seed)


def _nobody() -> None:
    """This vendor sends no webhooks."""


def _lock(state: Path, resources: AsyncExitStack) -> None:
    state.mkdir(parents=True, exist_ok=True)
    lock = resources.enter_context((state / "in-use.lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise StateInUseError(
            f"another process works on the state folder {state}; end it, or choose another folder with --state"
        ) from error


class _Lifespan:
    """Runs the couriers while the application runs, and closes what was opened at its end."""

    def __init__(self, resources: AsyncExitStack, client: httpx.AsyncClient, couriers: Sequence[Courier]) -> None:
        self._resources = resources
        self._client = client
        self._couriers = couriers

    @asynccontextmanager
    async def __call__(self, _application: FastAPI) -> AsyncIterator[None]:
        async with self._resources, self._client:
            tasks = [asyncio.create_task(courier.run()) for courier in self._couriers]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    with suppress(asyncio.CancelledError):
                        await task
