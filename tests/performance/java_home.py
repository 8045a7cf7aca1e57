"""The peer in Java: its jars, pinned and fetched as Kafka's are, and its one class, compiled for this run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from integration_fabric.local import java
from integration_fabric.local.errors import LocalError
from integration_fabric.local.jars import JarSet
from tests.performance.contenders import ROOT, Failed
from tests.performance.workload import schema_of

PEERS = Path(__file__).parent / "peers"
VERSION = "0.5.3.3"
JARS = JarSet(
    f"parallel-consumer-{VERSION}",
    f"Parallel Consumer {VERSION}",
    (f"io.confluent.parallelconsumer:parallel-consumer-core:{VERSION}", "org.slf4j:slf4j-nop:2.0.13", "org.apache.avro:avro:1.12.0"),
    ROOT / "deploy" / "requirements" / f"bench-parallel-consumer-{VERSION}.sha256",
)
COMPILE_WITHIN_S = 120


def prepare(name: str, *, cache_dir: Path, folder: Path, tell: Callable[[str], None]) -> Sequence[str]:
    """Have the jars, and compile the class.

    Returns:
        The command that runs it.

    Raises:
        Failed: It cannot take part: no compiler, no Maven, no download.
    """
    compiler, runner = shutil.which("javac"), shutil.which("java")
    if compiler is None or runner is None:
        raise Failed("Parallel Consumer takes no part: no `javac` on the PATH (a JDK, 17 or newer)")
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        if not JARS.cached(cache_dir):
            _download(cache_dir, tell)
    except (LocalError, OSError) as error:
        raise Failed(f"Parallel Consumer takes no part: {error}") from error
    classes, schema = folder / "classes", folder / "invoice-issued.avsc"
    schema.write_text(json.dumps(schema_of("InvoiceIssued")))
    _compile([compiler, "-cp", JARS.class_path(cache_dir), "-d", str(classes), str(PEERS / f"{name}.java")])
    return (runner, "-Xmx1g", "-cp", f"{classes}:{JARS.class_path(cache_dir)}", name, str(schema))


def _download(cache_dir: Path, tell: Callable[[str], None]) -> None:
    if shutil.which("mvn") is None:
        raise Failed("Parallel Consumer takes no part: its jars are fetched by Maven, and there is no `mvn` on the PATH")
    tell(f"downloading {JARS.title} (once) ...")
    found = java.find()
    JARS.download(cache_dir, java_home=found.home if isinstance(found, java.Java) else cache_dir)


def _compile(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_WITHIN_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = (error.stderr or "").strip().splitlines() if isinstance(error, subprocess.CalledProcessError) else []
        raise Failed(f"Parallel Consumer takes no part: it cannot be compiled: {next(iter(said), str(error))}") from error
