"""Apicurio Registry 3.3.3, a registry that speaks Confluent's protocol, as a process of its own for the tests."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration_fabric.local import java

ARTIFACT = "io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all"
ARCHIVE = Path.home() / ".m2/repository/io/apicurio/apicurio-registry-app/3.3.3/apicurio-registry-app-3.3.3-all.tar.gz"
GET = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get"
OLDEST_JAVA = 21
READY_WITHIN_S = 90.0


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start it, and stop it at the end; its URL for clients. Skips the test, with the reason, where this machine cannot run it."""
    program = _java()
    _unpack(folder)
    port, management = _free_port(), _free_port()
    log = (folder / "apicurio.log").open("wb")
    options = [
        f"-Dquarkus.http.port={port}",
        f"-Dquarkus.management.port={management}",
        "-Dquarkus.http.host=127.0.0.1",
        "-Dquarkus.management.host=127.0.0.1",
        "-Dquarkus.log.level=WARN",
    ]
    command = [program, "-Xmx384m", "-XX:+UseSerialGC", *options, "-jar", "quarkus-run.jar"]
    with log, subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
            _await(url, process, folder)
            yield url
        finally:
            process.terminate()


def _java() -> str:
    found = java.find()
    if isinstance(found, java.Java) and found.major >= OLDEST_JAVA:
        return str(found.path)
    candidates = sorted(str(path) for path in Path("/usr/lib/jvm").glob("*/bin/java"))
    for candidate in candidates:
        version = subprocess.run([candidate, "-version"], capture_output=True, text=True, check=False).stderr
        major = re.search(r'version "(\d+)', version)
        if major and int(major[1]) >= OLDEST_JAVA:
            return candidate
    pytest.skip(f"no Java of {OLDEST_JAVA} or newer, which Apicurio needs: {found}; {', '.join(candidates)}")


def _unpack(folder: Path) -> None:
    if not ARCHIVE.exists():
        maven = shutil.which("mvn")
        if maven is None:
            pytest.skip("no Maven to download Apicurio with")
        done = subprocess.run(
            [maven, "-q", "-B", GET, f"-Dartifact={ARTIFACT}", "-Dtransitive=false"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or not ARCHIVE.exists():
            pytest.skip(f"Maven cannot download {ARTIFACT}: {done.stdout[-300:]}")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/subjects", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
    pytest.fail(f"Apicurio did not start: {(folder / 'apicurio.log').read_text()[-2000:]}")
