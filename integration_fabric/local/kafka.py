"""The Apache Kafka of a developer's machine: `fabric up`, `fabric down`, and whoever needs its address call this, and nothing below it.

One node in KRaft mode, listening on the loopback interface. Its data and ports stand in the checkout's state folder and survive a restart.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from integration_fabric.local import broker_docker, broker_jvm, broker_wire, jars, java, locks, ports, processes, state
from integration_fabric.local.broker_properties import Listeners
from integration_fabric.local.errors import DiedEarly, DownloadFailed, LocalError, NoKafka
from integration_fabric.local.settings import KAFKA_PORT_SETTING, LocalSettings
from integration_fabric.local.state import Service

NAME = "kafka"
CONTROLLER = "kafka-controller"
LOCK_NAME = "kafka.lock"

# It takes 2 s here; a busy machine that recovers many partitions after a crash may need a minute.
READY_TIME = timedelta(minutes=2)

# Another `up` may be downloading, which has ten minutes of its own, and then starts.
OTHERS_TIME = timedelta(minutes=13)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A Kafka that serves.

    Attributes:
        bootstrap: Its address for clients, `host:port`.
        ready_in: How long it took, downloads included; zero if it was not waited for.
        was_running: Whether it ran already.
    """

    bootstrap: str
    ready_in: timedelta
    was_running: bool


class Source(StrEnum):
    """Where the Kafka comes from, in the order of preference."""

    GIVEN = "given"
    CACHE = "cache"
    MAVEN = "maven"
    DOCKER = "docker"


def choose(settings: LocalSettings, *, bootstrap: str | None = None) -> Source:
    """Where the Kafka would come from. It starts and downloads nothing.

    Args:
        settings: Where to look.
        bootstrap: The address that the fabric's settings name, if they do. It is then taken (`GIVEN`), and `up` is not for the caller.

    Raises:
        NoKafka: From nowhere; the line names everything that was tried.
        JarDiffers: The cached jars are not the pinned ones.
    """
    if bootstrap:
        return Source.GIVEN
    tried = ["an address from the settings: none is set"]
    found = java.find()
    if isinstance(found, java.Java):
        if jars.KAFKA.cached(settings.cache_dir):
            return Source.CACHE
        tried.append(f"jars in {jars.KAFKA.folder(settings.cache_dir)}: none")
        if shutil.which("mvn"):
            return Source.MAVEN
        tried.append("a download by Maven: no `mvn` on the PATH")
    else:
        tried.append(f"jars, from the cache or by Maven: {found}")
    return _docker(tried)


def up(settings: LocalSettings, tell: Tell) -> KafkaAddress:
    """Make a Kafka serve, starting one if none does, on the data of the one before. Blocks; any number of callers at once start one.

    Args:
        settings: Where its state is, and which port it must have.
        tell: Takes lines of progress for people.

    Raises:
        LocalError: In one line, why not and what to do.
    """
    began = time.monotonic()
    with _alone(settings, tell):
        service = _found(settings)
        if service is None:
            address = _start_and_await(settings, tell)
        else:
            _point_out_the_port(settings, service, tell)
            address = service.address
        ready_in = timedelta(seconds=time.monotonic() - began)
        tell(f"Kafka is ready at {address} in {ready_in.total_seconds():.1f} s" if service is None else f"Kafka runs already at {address}")
        return KafkaAddress(address, ready_in, was_running=service is not None)


def down(settings: LocalSettings, tell: Tell) -> bool:
    """Stop the Kafka of this checkout; its data and its ports stay.

    Returns:
        Whether there was one.
    """
    with _alone(settings, tell):
        service = _living(settings)
        if service is not None:
            tell(f"stopping Kafka at {service.address} ...")
            _stop(settings, service)
        state.forget(settings.state_dir, NAME)
        return service is not None


def running(settings: LocalSettings) -> KafkaAddress | None:
    """The Kafka of this checkout if it serves now. It starts nothing and waits for nobody."""
    service = _living(settings)
    if service is None or not _serves(service):
        return None
    return KafkaAddress(service.address, timedelta(0), was_running=True)


@contextmanager
def _alone(settings: LocalSettings, tell: Tell) -> Iterator[None]:
    """One `up` or `down` of a checkout at a time. Folders that cannot be written are a matter of settings, and said in one line."""
    try:
        with locks.held(
            settings.state_dir / LOCK_NAME, within=OTHERS_TIME, waiting=lambda: tell("waiting for another start or stop of Kafka ...")
        ):
            yield
    except OSError as error:
        raise LocalError(
            f"{error.filename or settings.state_dir}: {error.strerror}",
            setting="FABRIC_LOCAL_STATE_DIR, FABRIC_LOCAL_CACHE_DIR",
            remedy="Both folders must be ours to write to, on a disk with room.",
        ) from error


def _living(settings: LocalSettings) -> Service | None:
    """The Kafka that stands in the state, if it is alive: after a `kill -9` or a restart of the machine it is not."""
    service = state.read(settings.state_dir).services.get(NAME)
    if service is None:
        return None
    process = service.process
    alive = processes.is_alive(process) if process else broker_docker.of(settings.state_dir).is_running()
    return service if alive else None


def _found(settings: LocalSettings) -> Service | None:
    """The one that runs already, once it serves: whoever started it may have been killed before it did."""
    service = _living(settings)
    if service is None:
        return None
    try:
        _await(settings, service)
    except DiedEarly:
        # It was ending when we looked; its ports and its data are free now.
        return None
    return service


def _start_and_await(settings: LocalSettings, tell: Tell) -> str:
    """Start one and wait until it serves; one that does not is stopped, whatever interrupts us."""
    service = _start(settings, tell)
    try:
        _await(settings, service)
    except BaseException:
        _stop(settings, service)
        state.forget(settings.state_dir, NAME)
        raise
    return service.address


def _start(settings: LocalSettings, tell: Tell) -> Service:
    """Start one. It is noted before it is waited for: if we are killed meanwhile, the next `up` finds it."""
    source = choose(settings)
    if source is Source.MAVEN:
        source = _download(settings, tell)
    listeners = _listeners(settings, source)
    service = (_in_docker if source is Source.DOCKER else _in_java)(settings, listeners, tell)
    return state.record(settings.state_dir, service)


def _in_java(settings: LocalSettings, listeners: Listeners, tell: Tell) -> Service:
    state_dir = settings.state_dir
    process = broker_jvm.start(_java(), state_dir=state_dir, cache_dir=settings.cache_dir, listeners=listeners, tell=tell)
    details = {"cluster_id": broker_jvm.cluster_id(state_dir)}
    return Service(NAME, process.pid, _address(listeners), details, process.birthmark)


def _in_docker(settings: LocalSettings, listeners: Listeners, tell: Tell) -> Service:
    container = broker_docker.start(settings.state_dir, listeners=listeners, tell=tell)
    details = {"cluster_id": broker_docker.cluster_id(settings.state_dir), "container": container.name}
    return Service(NAME, None, _address(listeners), details)


def _address(listeners: Listeners) -> str:
    return f"{listeners.host}:{listeners.port}"


def _listeners(settings: LocalSettings, source: Source) -> Listeners:
    if settings.kafka_port is None:
        port = ports.claim(settings.state_dir, NAME)
    else:
        port = ports.demand(settings.kafka_port, setting=KAFKA_PORT_SETTING, service="Kafka")
    bind = "0.0.0.0" if source is Source.DOCKER else ports.HOST  # noqa: S104  inside the container; outside, loopback is published
    return Listeners(port, ports.claim(settings.state_dir, CONTROLLER), bind, ports.HOST)


def _download(settings: LocalSettings, tell: Tell) -> Source:
    """Fetch the jars; where Maven cannot, Docker may."""
    tell(f"downloading Kafka {jars.VERSION} ({jars.SIZE}) ...")
    try:
        jars.KAFKA.download(settings.cache_dir, java_home=_java().home)
    except DownloadFailed as failed:
        if broker_docker.why_not() is not None:
            raise
        tell(str(failed))
        return Source.DOCKER
    return Source.CACHE


def _docker(tried: list[str]) -> Source:
    reason = broker_docker.why_not()
    if reason is None:
        return Source.DOCKER
    raise NoKafka(
        "there is no Kafka to start",
        tried=[*tried, f"Docker: {reason}"],
        remedy=(
            "Install Maven, with Java 17 or newer or this package's extra `local`; or run a Docker engine; "
            "or name a Kafka of yours by its bootstrap address in the settings."
        ),
    )


def _java() -> java.Java:
    found = java.find()
    if isinstance(found, str):
        raise NoKafka(found, remedy="Install the package's extra `local`, or Java 17 or newer.")
    return found


def _serves(service: Service) -> bool:
    """Whether this very Kafka answers: another's, on a port that was taken over, has another cluster id."""
    host, _, port = service.address.rpartition(":")
    return broker_wire.serving_cluster(host, int(port)) == service.details["cluster_id"]


def _await(settings: LocalSettings, service: Service) -> None:
    process = service.process
    if process is None:
        broker_docker.of(settings.state_dir).await_ready(lambda: _serves(service), within=READY_TIME)
    else:
        log = processes.log_path(settings.state_dir, NAME)
        processes.await_ready(process, lambda: _serves(service), within=READY_TIME, log=log)


def _stop(settings: LocalSettings, service: Service) -> None:
    process = service.process
    if process is None:
        broker_docker.of(settings.state_dir).remove()
    else:
        processes.stop(process, within=broker_jvm.STOP_TIME)


def _point_out_the_port(settings: LocalSettings, service: Service, tell: Tell) -> None:
    wanted = settings.kafka_port
    if wanted is not None and not service.address.endswith(f":{wanted}"):
        tell(f"{KAFKA_PORT_SETTING}={wanted} will be heeded at the next start: Kafka runs already on another port")
