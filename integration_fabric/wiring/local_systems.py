"""The local landscape: Kafka, simulators, a real ERP, the gateway and workers of this checkout, started, found again and stopped."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from integration_fabric.local import kafka, ports, processes, state
from integration_fabric.local.settings import LocalSettings, environment
from integration_fabric.local.state import Service
from integration_fabric.messages.errors import UsageProblem
from integration_fabric.wiring import local_store, local_vendors
from integration_fabric.wiring.local_store import Store
from integration_fabric.wiring.local_vendors import READY_WITHIN, SIMULATORS, Ground, Landscape, Playing, Tell, answers, section
from integration_fabric.wiring.settings import LOCAL_CONFIG

GATEWAY = "gateway"
DEMO = "# made by a demo: the next one forgets it"
WORKER_PARTS: tuple[str, ...] = ("processes", "cpq", "erp", "billing", "support", "customer-success")
"""One worker each in the local landscape."""
FABRIC = (sys.executable, "-m", "integration_fabric.apps.cli.main")
STOP_WITHIN = timedelta(seconds=20)
"""A worker drains for ten seconds at the most, then leaves its groups."""


@dataclass(frozen=True, slots=True)
class Running:
    """What runs now."""

    bootstrap: str
    kafka_ready_in: timedelta
    systems: Sequence[Playing]
    store: Store


def check_disposable(*, fresh: bool) -> None:
    """Raises UsageProblem where the local landscape was not made by a demo and may hold somebody's data, unless `fresh`."""
    path = LocalSettings().state_dir / LOCAL_CONFIG.name
    if fresh or not path.exists() or DEMO in path.read_text():
        return
    raise UsageProblem(
        f"{path}: the landscape here was made by `fabric up` and may hold data of yours, and the demo starts with nothing; "
        "say `fabric demo --fresh` to forget it"
    )


def up(landscape: Landscape, tell: Tell, *, fresh: bool = False, purpose: str = "up", store: Store | None = None) -> Running:
    """Start what is not running and write `.fabric/fabric.toml`, by which every command finds it.

    Args:
        landscape: Which systems.
        tell: Told what takes long.
        fresh: Whether broker, systems and store begin anew, without what earlier runs left in them.
        purpose: `demo` if a later demo may forget it.
        store: Where the fabric keeps its own; by default where it did before, at first in SQLite.

    Raises:
        UsageProblem: something cannot be started, or the store is another than before; the message says what to do.
    """
    settings = LocalSettings()
    chosen = local_store.choose(settings, store, fresh=fresh)
    if fresh:
        stop_workers(tell)
        kafka.down(settings, tell)
        shutil.rmtree(settings.state_dir / "kafka", ignore_errors=True)
        local_store.forget(settings)
    address = kafka.up(settings, tell)
    store_url = local_store.up(settings, chosen, tell)
    systems = local_vendors.up(landscape, _ground(settings, tell, fresh=fresh))
    _write_config(settings, address.bootstrap, store_url, systems, note=DEMO if purpose == "demo" else "")
    return Running(address.bootstrap, address.ready_in, systems, chosen)


def simulators_up(tell: Tell) -> None:
    """Start the simulators alone, and write settings in which they play all roles and there is no broker."""
    settings = LocalSettings()
    store_url = local_store.up(settings, Store.SQLITE, tell)
    systems = local_vendors.up(Landscape.SIMULATORS, _ground(settings, tell, fresh=False))
    _write_config(settings, "", store_url, systems, note="")


def _ground(settings: LocalSettings, tell: Tell, *, fresh: bool) -> Ground:
    webhooks = f"http://127.0.0.1:{_port(GATEWAY)}/webhooks"
    return Ground(settings, tell, simulators_port=_port(SIMULATORS), webhooks=webhooks, fresh=fresh)


def down(tell: Tell) -> Sequence[str]:
    """Stop everything of this checkout, workers first; data stays. The names of what was stopped."""
    settings = LocalSettings()
    stopped = list(stop_workers(tell))
    if _stop(settings, SIMULATORS):
        stopped.append(SIMULATORS)
    stopped += local_vendors.down(settings)
    if local_store.down(settings):
        stopped.append(Store.POSTGRESQL)
    if kafka.down(settings, tell):
        stopped.append("kafka")
    return stopped


def forget(tell: Tell) -> None:
    """Stop everything of this checkout and delete what the fabric kept, wherever that is: for runs that begin with nothing."""
    down(tell)
    local_store.forget(LocalSettings())


def start_workers(tell: Tell, parts: Sequence[str] = WORKER_PARTS, *, gateway: bool = True) -> None:
    """Start one worker for each part, and the gateway, and wait until they are ready."""
    settings = LocalSettings()
    started = [start_worker(part) for part in parts]
    if gateway:
        started.append(start_gateway())
    for service in started:
        tell(f"waiting for {service.name}")
        await_ready(settings, service)


def start_worker(part: str) -> Service:
    """Start one worker, without waiting for it; the one that runs if there is one."""
    name = f"worker-{part}"
    return _start(name, [*FABRIC, "worker", "run", part, "--name", name], _port(name), "WORKER")


def start_gateway() -> Service:
    """Start the gateway, without waiting for it; the one that runs if there is one."""
    return _start(GATEWAY, [*FABRIC, "gateway", "run"], _port(GATEWAY), "GATEWAY")


def await_ready(settings: LocalSettings, service: Service) -> None:
    """Wait until a worker or the gateway says that it is ready. Raises LocalError with its last words where it does not."""
    process = service.process
    assert process is not None
    log = processes.log_path(settings.state_dir, service.name)
    processes.await_ready(process, lambda: answers(f"{service.address}/health/ready"), within=READY_WITHIN, log=log)


def stop_workers(tell: Tell) -> Sequence[str]:
    """Ask all workers and the gateway to end, all at once, and wait."""
    settings = LocalSettings()
    names = [name for name in state.read(settings.state_dir).services if name == GATEWAY or name.startswith("worker-")]
    stopped = []
    for name in names:
        tell(f"stopping {name}")
        if _stop(settings, name):
            stopped.append(name)
    return stopped


def services() -> Mapping[str, Service]:
    """Everything of this checkout that is alive."""
    found = state.read(LocalSettings().state_dir).services
    return {name: service for name, service in found.items() if service.process is None or processes.is_alive(service.process)}


def worker_status(address: str) -> Mapping[str, object] | None:
    """What a worker says of itself; None where it does not answer."""
    try:
        with urllib.request.urlopen(f"{address}/status", timeout=2) as answer:  # noqa: S310  an address of ours
            found: Mapping[str, object] = json.load(answer)
            return found
    except (OSError, ValueError):
        return None


def listens(url: str) -> bool:
    """Whether something listens where a URL points."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), timeout=2):
            return True
    except OSError:
        return False


def _start(name: str, command: Sequence[str], port: int, section: str) -> Service:
    settings = LocalSettings()
    found = services().get(name)
    if found is not None:
        return found
    process = processes.start(
        name, command, state_dir=settings.state_dir, environment=environment(**{f"FABRIC_{section}__PORT": str(port)})
    )
    return state.record(settings.state_dir, Service(name, process.pid, f"http://127.0.0.1:{port}"))


def _stop(settings: LocalSettings, name: str) -> bool:
    service = state.read(settings.state_dir).services.get(name)
    if service is None:
        return False
    alive = service.process is not None and processes.is_alive(service.process)
    if alive and service.process is not None:
        processes.stop(service.process, within=STOP_WITHIN)
    state.forget(settings.state_dir, name)
    return alive


def _port(name: str) -> int:
    """The port of a service; the one that it has if it runs."""
    settings = LocalSettings()
    found = services().get(name)
    return int(found.address.rpartition(":")[2]) if found else ports.claim(settings.state_dir, name)


def _write_config(settings: LocalSettings, bootstrap: str, store_url: str, systems: Sequence[Playing], *, note: str) -> None:
    sections = [
        f"# Written by `fabric up`: the local landscape. Environment variables FABRIC_… go before it.\n{note}".strip(),
        section("kafka", bootstrap=bootstrap),
        section("store", url=store_url),
        section("gateway", port=_port(GATEWAY)),
        *(playing.section for playing in systems),
    ]
    path = settings.state_dir / LOCAL_CONFIG.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("\n\n".join(sections) + "\n")
