"""Apache Kafka as a container, for machines that have a Docker engine and neither Java nor Maven. Called by `kafka` alone."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from integration_fabric.local import broker_properties, jars, processes
from integration_fabric.local.broker_properties import Listeners
from integration_fabric.local.errors import DiedEarly

IMAGE = f"apache/kafka:{jars.VERSION}"
DATA = "/var/lib/kafka/data"

# A command to an engine that hangs is given up after this; pulling the image (some 400 MB) has its own bound.
ENGINE_TIME = timedelta(seconds=20)
PULL_TIME = timedelta(minutes=15)
STOP_TIME = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Container:
    """The container of one checkout, and the volume of the same name that keeps its data."""

    name: str

    def is_running(self) -> bool:
        """Whether the engine says so."""
        answer = _docker("inspect", "--format", "{{.State.Running}}", self.name)
        return answer.returncode == 0 and answer.stdout.strip() == "true"

    def await_ready(self, ready: Callable[[], bool], *, within: timedelta) -> None:
        """Return once it serves; as `processes.await_ready`."""
        ending = processes.wait(ready, alive=self.is_running, within=within)
        processes.demand_ready(ending, name=self.name, words=self._last_words, log=f"`docker logs {self.name}`")

    def _last_words(self) -> str:
        answer = _docker("logs", "--tail", "20", self.name)
        return processes.condensed((answer.stdout + answer.stderr).encode())

    def remove(self) -> bool:
        """Stop it, politely at first, and remove it; the volume stays. Returns whether it was running."""
        running = self.is_running()
        _docker("stop", "-t", f"{STOP_TIME.total_seconds():.0f}", self.name, within=STOP_TIME + ENGINE_TIME)
        _docker("rm", "--force", self.name)
        return running


def of(state_dir: Path) -> Container:
    """The container of a checkout."""
    return Container(f"fabric-kafka-{hashlib.sha256(bytes(state_dir)).hexdigest()[:12]}")


def why_not() -> str | None:
    """Why no container can be started; None if a Docker engine answers."""
    if shutil.which("docker") is None:
        return "no `docker` on the PATH"
    answer = _docker("info", "--format", "{{.ServerVersion}}")
    return None if answer.returncode == 0 and answer.stdout.strip() else "`docker info` finds no engine that answers"


def start(state_dir: Path, *, listeners: Listeners, tell: Callable[[str], None]) -> Container:
    """Start the broker in a container, on the data of the one before. It does not wait until it serves.

    Raises:
        DiedEarly: The engine does not run it.
    """
    container = of(state_dir)
    container.remove()
    if _docker("image", "inspect", IMAGE).returncode:
        tell(f"downloading the image {IMAGE} ...")
        _must(_docker("pull", "--quiet", IMAGE, within=PULL_TIME))
    tell(f"starting Kafka {jars.VERSION} in Docker ...")
    published = f"{listeners.host}:{listeners.port}:{listeners.port}"
    variables = [word for name, value in environment(state_dir, listeners).items() for word in ("--env", f"{name}={value}")]
    _must(
        _docker(
            "run", "--detach", "--name", container.name, "--publish", published, "--volume", f"{container.name}:{DATA}", *variables, IMAGE
        )
    )
    return container


def environment(state_dir: Path, listeners: Listeners) -> dict[str, str]:
    """What the image is told. It formats its data by itself if need be."""
    settings = broker_properties.properties(listeners, log_dir=DATA)
    return {**broker_properties.as_environment(settings), "CLUSTER_ID": cluster_id(state_dir), "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m"}


def cluster_id(state_dir: Path) -> str:
    """The same for a checkout at any time, as the volume outlives the state folder."""
    return broker_properties.cluster_id(uuid.uuid5(uuid.NAMESPACE_URL, state_dir.as_uri()))


def _docker(*arguments: str, within: timedelta = ENGINE_TIME) -> subprocess.CompletedProcess[str]:
    """Run a Docker command; one that hangs or is not there counts as failed."""
    command = ("docker", *arguments)
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=within.total_seconds())
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _must(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise DiedEarly(f"Docker does not run {IMAGE}: {done.stderr.strip()}", remedy="See `docker info`.")
