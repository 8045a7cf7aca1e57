"""Jars of Java programs, Kafka's first of all: fetched once by Maven into the user's cache, used only if each has its pinned SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from integration_fabric.local import locks, settings
from integration_fabric.local.errors import DownloadFailed, JarDiffers

VERSION = "4.3.1"
SIZE = "44 MB"
STAMP_NAME = "verified.json"

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

# A slow line of 1 Mbit/s takes six minutes for it.
DOWNLOAD_TIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class JarSet:
    """All jars of one program.

    Attributes:
        name: Of its folder in the cache.
        title: For people.
        wanted: What it needs, as `group:artifact:version`; Maven finds what that needs in turn.
        checksums: The file with the SHA-256 of every jar.
    """

    name: str
    title: str
    wanted: Sequence[str]
    checksums: Path

    def pinned(self) -> Mapping[str, str]:
        """The SHA-256 of every jar, by its name."""
        rows = (line.split() for line in self.checksums.read_text(encoding="ascii").splitlines())
        return {name: digest for digest, name in rows}

    def folder(self, cache_dir: Path) -> Path:
        """Where the jars are kept. Part of the name comes from the list of pins, as checkouts with different lists share the cache."""
        return cache_dir / f"{self.name}-{hashlib.sha256(self.checksums.read_bytes()).hexdigest()[:8]}"

    def class_path(self, cache_dir: Path) -> str:
        """What Java takes after `-cp`: the pinned jars by name, so that nothing else in the folder is loaded."""
        return os.pathsep.join(str(self.folder(cache_dir) / name) for name in self.pinned())

    def cached(self, cache_dir: Path) -> bool:
        """Whether the jars are there.

        Raises:
            JarDiffers: They are, and one is missing or not the pinned one. Nothing may be used then.
        """
        place = self.folder(cache_dir)
        if not place.is_dir():
            return False
        stamp = self.stamp(place)
        if stamp is None or stamp != read_stamp(place):
            self.verify(place)
        return True

    def verify(self, place: Path) -> None:
        """Compute and compare every digest in a folder, and stamp it, so that the next start compares only sizes and times.

        Raises:
            JarDiffers: Names each jar that is missing or differs.
        """
        wrong = [complaint for name, digest in self.pinned().items() if (complaint := _complaint(place / name, digest))]
        if wrong:
            raise JarDiffers(
                f"the jars of {self.title} in {place} are not the pinned ones: {', '.join(wrong)}",
                remedy=f"Nothing of it is used. Delete {place} and try again; if it stays so, find out who changes the downloads.",
            )
        # A cache that is mounted read-only serves as well, at the price of a digest of 44 MB at each start.
        with suppress(OSError):
            (place / STAMP_NAME).write_text(json.dumps(self.stamp(place)), encoding="ascii")

    def download(self, cache_dir: Path, *, java_home: Path) -> None:
        """Let Maven bring the jars, check them, and put the whole folder in its place in one step.

        Two first runs at once: the second waits and finds them there.

        Args:
            cache_dir: The cache.
            java_home: A Java for Maven where it finds none by itself.

        Raises:
            DownloadFailed: Maven says why.
            JarDiffers: What came is not what is pinned; it is thrown away.
        """
        with locks.held(cache_dir / f"{self.name}.lock", within=DOWNLOAD_TIME):
            if self.cached(cache_dir):
                return
            with tempfile.TemporaryDirectory(prefix=f"{self.name}.download-", dir=cache_dir) as name:
                fresh = Path(name) / "jars"
                self._fetch(fresh, java_home)
                self.verify(fresh)
                fresh.rename(self.folder(cache_dir))

    def stamp(self, place: Path) -> dict[str, list[int]] | None:
        """Size and modification time of every jar; None if one is missing."""
        try:
            found = {name: (place / name).stat() for name in self.pinned()}
        except FileNotFoundError:
            return None
        return {name: [status.st_size, status.st_mtime_ns] for name, status in found.items()}

    def _fetch(self, into: Path, java_home: Path) -> None:
        """Run Maven on a project that depends on them. Where it downloads from is the user's settings' business."""
        project = into.with_name("pom.xml")
        project.write_text(_project(self.wanted), encoding="ascii")
        command = [
            "mvn",
            "-q",
            "-B",
            "-Dstyle.color=never",
            "-f",
            str(project),
            COPY,
            "-DincludeScope=runtime",
            f"-DoutputDirectory={into}",
        ]
        environment = settings.environment() if shutil.which("java") else settings.environment(JAVA_HOME=str(java_home))
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=DOWNLOAD_TIME.total_seconds(),
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(str(error)) from None
        if done.returncode:
            raise self._failed(_reason(done.stdout + done.stderr))

    def _failed(self, why: str) -> DownloadFailed:
        return DownloadFailed(
            f"Maven could not download {self.title}: {why}",
            remedy="Is this machine offline, or does Maven need a proxy or mirror in its settings.xml?",
        )


KAFKA = JarSet(
    f"kafka-{VERSION}",
    f"Kafka {VERSION}",
    # Kafka names no logging library for a server that is started from its jars; without this one it says nothing at all.
    (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"),
    Path(__file__).with_name(f"kafka-{VERSION}.sha256"),
)
"""The broker."""


def read_stamp(place: Path) -> object:
    """What `JarSet.verify` left, or None."""
    try:
        return json.loads((place / STAMP_NAME).read_bytes())
    except (OSError, ValueError):
        return None


def _complaint(jar: Path, digest: str) -> str | None:
    try:
        with jar.open("rb") as file:
            return None if hashlib.file_digest(file, "sha256").hexdigest() == digest else f"{jar.name} differs"
    except FileNotFoundError:
        return f"{jar.name} is missing"


def _reason(output: str) -> str:
    """Maven's first line of error, without its colours and its hints."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    errors = [line.removeprefix("[ERROR]").strip() for line in plain.splitlines() if line.startswith("[ERROR]")]
    return next(iter(errors), plain.strip()[-300:] or "it gave no reason")


def _project(wanted: Sequence[str]) -> str:
    parts = (coordinates.split(":") for coordinates in wanted)
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        for group, artifact, version in parts
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion>"
        "<groupId>local</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
