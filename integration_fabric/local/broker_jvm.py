"""Apache Kafka as a Java process of this machine: formatted once, started, stopped. Called by `kafka` alone."""

from __future__ import annotations

import fcntl
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from integration_fabric.local import broker_properties, jars, processes, settings
from integration_fabric.local.broker_properties import Listeners
from integration_fabric.local.errors import Busy, DiedEarly
from integration_fabric.local.java import Java

NAME = "kafka"
LOG_SETTINGS = "log4j2.properties"
DATA = "data"
UNFINISHED = "data.unfinished"

# Enough heap for 720 partitions. The serial collector has one thread and takes the least memory: measured, the broker starts in 1.8 s, has
# 350 MB resident and takes 1.5 % of a core when idle; with G1 it took 50 MB more and was no faster.
MEMORY = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData")

FORMAT_TIME = timedelta(seconds=60)

# 720 partitions took 8 s on a slow disk; after that the data is as after a crash, from which Kafka recovers at the next start.
STOP_TIME = timedelta(seconds=30)


def home(state_dir: Path) -> Path:
    """The folder that the broker runs in, with its data and its settings."""
    return state_dir / "kafka"


def start(java: Java, *, state_dir: Path, cache_dir: Path, listeners: Listeners, tell: Callable[[str], None]) -> processes.Process:
    """Write the settings, format the data folder if it is not yet there, and start the broker. It does not wait until it serves.

    Args:
        java: The Java.
        state_dir: The checkout's state folder.
        cache_dir: Where the jars are, checked.
        listeners: Where it shall listen.
        tell: Takes lines of progress.

    Raises:
        DiedEarly: Formatting failed, or Java does not run.
        Busy: Another Kafka runs on the data folder.
    """
    place = home(state_dir)
    place.mkdir(parents=True, exist_ok=True)
    (place / LOG_SETTINGS).write_text(Path(__file__).with_name("kafka-log4j2.properties").read_text(encoding="ascii"), encoding="ascii")
    if not (place / DATA).exists():
        tell("formatting Kafka's data folder ...")
        _format(java, place, cache_dir)
    _demand_unused(place / DATA)
    # Settings and paths are relative to the folder that it runs in: the folder's own path may hold any letter.
    (place / "server.properties").write_text(
        broker_properties.as_file(broker_properties.properties(listeners, log_dir=DATA)), encoding="ascii"
    )
    tell(f"starting Kafka {jars.VERSION} ...")
    command = _command(java, cache_dir, "kafka.Kafka", "server.properties")
    return processes.start(NAME, command, state_dir=state_dir, cwd=place, environment=_environment())


def cluster_id(state_dir: Path) -> str:
    """The id that the formatted data folder carries."""
    lines = (home(state_dir) / DATA / "meta.properties").read_text(encoding="ascii").splitlines()
    return next(line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id="))


def _demand_unused(data: Path) -> None:
    """Refuse a data folder that a running Kafka has locked, e.g. after somebody deleted the state file.

    Kafka's own refusal comes too late: until then the second one has written into the first one's metadata, after which the first can no
    longer reach its controller, burns a whole core and does not stop by itself (seen with 4.3.1).
    """
    with suppress(FileNotFoundError), (data / ".lock").open("r+b") as lock:
        try:
            # Java's file locks are of this kind. Closing the file frees it again.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(
                f"a Kafka that the state file knows nothing of runs on {data}",
                remedy=f"Find it with `lsof {shlex.quote(lock.name)}`, and end it.",
            ) from None


def _format(java: Java, place: Path, cache_dir: Path) -> None:
    """Let Kafka's own tool format a folder beside, and put it in its place in one step: a half formatted one is never started on."""
    shutil.rmtree(place / UNFINISHED, ignore_errors=True)
    properties = broker_properties.properties(Listeners(port=1, controller_port=2), log_dir=UNFINISHED)
    (place / "format.properties").write_text(broker_properties.as_file(properties), encoding="ascii")
    cluster = broker_properties.cluster_id(uuid.uuid4())
    command = _command(java, cache_dir, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", "format.properties")
    try:
        done = subprocess.run(command, cwd=place, env=_environment(), capture_output=True, check=False, timeout=FORMAT_TIME.total_seconds())
    except subprocess.TimeoutExpired:
        raise _unformatted(place, f"no end after {FORMAT_TIME.total_seconds():g} s") from None
    except OSError as error:
        raise _unformatted(place, f"{java.path}: {error.strerror}") from None
    if done.returncode:
        raise _unformatted(place, processes.condensed(done.stderr + done.stdout))
    (place / UNFINISHED).rename(place / DATA)


def _unformatted(place: Path, why: str) -> DiedEarly:
    return DiedEarly(f"Kafka's data folder {place / DATA} cannot be formatted: {why}", remedy="Is the disk full, or Java broken?")


def _environment() -> Mapping[str, str]:
    """Ours, in a locale with all letters: in the locale C, which CI systems like, Java finds no file below a folder called `é`."""
    return settings.environment(LC_ALL="C.UTF-8")


def _command(java: Java, cache_dir: Path, main: str, *arguments: str) -> Sequence[str]:
    """Run with the broker's folder as current one; its log goes to the checkout's `logs` folder."""
    logging = (f"-Dlog4j2.configurationFile={LOG_SETTINGS}", f"-Dfabric.log=../logs/{NAME}-server.log")
    return (str(java.path), *MEMORY, *java.quiet, *logging, "-cp", jars.KAFKA.class_path(cache_dir), main, *arguments)
