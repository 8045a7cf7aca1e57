"""Which systems play the roles in the local landscape: simulators of one process, and real ones. `local_systems` calls it."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from integration_fabric.local import helpdesk, localstripe, processes, state, tryton
from integration_fabric.local.settings import LocalSettings
from integration_fabric.local.state import Service

Tell = Callable[[str], None]

SIMULATORS = "simulators"
WEBHOOK_SECRET = "local-webhook-secret"  # noqa: S105  of systems on this machine
READY_WITHIN = timedelta(seconds=60)
SIMULATED: Mapping[str, str] = {
    "salesforce": "cpq",
    "stripe": "billing",
    "gainsight": "customer-success",
    "zendesk": "support",
    "tryton": "erp",
}
"""Who is simulated, by vendor, with their roles."""
PATHS: Mapping[str, str] = {"tryton": "erp"}
"""Where a simulated vendor stands, if not under its own name."""
SENDS_WEBHOOKS = frozenset({"salesforce", "stripe"})


class Landscape(StrEnum):
    """Which systems play the roles."""

    NONE = "none"
    """Only Kafka."""
    SIMULATORS = "simulators"
    """All five are simulated."""
    TRYTON = "tryton"
    """The ERP is a real Tryton, the others are simulated."""
    REAL = "real"
    """ERP, billing and support are real: Tryton, localstripe and django-helpdesk. CPQ and customer success are simulated."""


@dataclass(frozen=True, slots=True)
class Playing:
    """One running system, as the settings name it."""

    name: str
    role: str
    settings: Mapping[str, str]
    """What stands in its section of the settings file besides its role."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.settings["url"]

    @property
    def section(self) -> str:
        """Its section of the settings file."""
        return section(f"systems.{self.name}", role=self.role, **self.settings)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the systems stand, and whom they tell."""

    settings: LocalSettings
    tell: Tell
    simulators_port: int
    webhooks: str
    """The gateway's address for webhooks, without the system."""
    fresh: bool = False


def up(landscape: Landscape, ground: Ground) -> Sequence[Playing]:
    """Have every system of a landscape running. Raises LocalError."""
    if landscape is Landscape.NONE:
        return []
    url = _simulators_up(ground)
    real = {playing.role: playing for playing in _real(landscape, ground)}
    simulated = [_simulated(vendor, role, url) for vendor, role in SIMULATED.items() if role not in real]
    return [*simulated, *real.values()]


def down(settings: LocalSettings) -> Sequence[str]:
    """Stop the real ones; their data stays. The names of those that ran."""
    stops = {"tryton": tryton.down, "localstripe": localstripe.down, "helpdesk": helpdesk.down}
    return [name for name, stop in stops.items() if stop(settings)]


def section(name: str, **values: str | int) -> str:
    """A section of the settings file."""
    return "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())])


def answers(url: str) -> bool:
    """Whether a GET is answered with a status below 400."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  an address of ours
            return True
    except (OSError, ValueError):
        return False


def _simulated(vendor: str, role: str, url: str) -> Playing:
    secret = {"webhook_secret": WEBHOOK_SECRET} if vendor in SENDS_WEBHOOKS else {}
    return Playing(vendor, role, {"vendor": vendor, "url": f"{url}/{PATHS.get(vendor, vendor)}", "key": f"{vendor}-token", **secret})


def _real(landscape: Landscape, ground: Ground) -> Sequence[Playing]:
    found = []
    if landscape in {Landscape.TRYTON, Landscape.REAL}:
        erp = tryton.up(ground.settings, ground.tell, fresh=ground.fresh)
        values = {"vendor": "tryton", "url": erp.url, "database": erp.database, "key": erp.key, "answer_within": "PT30S"}
        found.append(Playing("tryton", "erp", values))
    if landscape is Landscape.REAL:
        webhook = localstripe.Webhook(f"{ground.webhooks}/localstripe", WEBHOOK_SECRET)
        billing = localstripe.up(ground.settings, ground.tell, fresh=ground.fresh, webhook=webhook)
        values = {"vendor": "localstripe", "url": billing.url, "key": billing.key, "webhook_secret": WEBHOOK_SECRET}
        found.append(Playing("localstripe", "billing", values))
        support = helpdesk.up(ground.settings, ground.tell, fresh=ground.fresh)
        found.append(
            Playing("helpdesk", "support", {"vendor": "helpdesk", "url": support.url, "key": support.key, "answer_within": "PT15S"})
        )
    return found


def _simulators_up(ground: Ground) -> str:
    settings, port = ground.settings, ground.simulators_port
    url = f"http://127.0.0.1:{port}"
    service = state.read(settings.state_dir).services.get(SIMULATORS)
    if service is None or service.process is None or not processes.is_alive(service.process):
        ground.tell("starting the simulators")
        arguments = ["--port", str(port), "--state", str(settings.state_dir / SIMULATORS), "--webhook-secret", WEBHOOK_SECRET]
        for vendor in sorted(SENDS_WEBHOOKS):
            arguments += ["--webhook-url", f"{vendor}={ground.webhooks}/{vendor}"]
        process = processes.start(SIMULATORS, [sys.executable, "-m", "connectors.simulators", *arguments], state_dir=settings.state_dir)
        state.record(settings.state_dir, Service(SIMULATORS, process.pid, url))
        log = processes.log_path(settings.state_dir, SIMULATORS)
        processes.await_ready(process, lambda: answers(f"{url}/_control/health"), within=READY_WITHIN, log=log)
    if ground.fresh:
        urllib.request.urlopen(urllib.request.Request(f"{url}/_control/reset", method="POST"), timeout=10).close()  # noqa: S310  ours
    return url
