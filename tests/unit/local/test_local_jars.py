"""Jars are used only if each is the pinned one. Here with a short list of pins and a stand-in for Maven."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from integration_fabric.local import jars
from integration_fabric.local.errors import DownloadFailed, JarDiffers
from integration_fabric.local.jars import JarSet

CONTENT = {"kafka.jar": b"the broker", "log.jar": b"the log"}

MAVEN = """#!/bin/sh
for word; do case $word in -DoutputDirectory=*) into=${word#*=};; esac; done
echo run >> "$(dirname "$0")/runs"
mkdir -p "$into" && printf 'the broker' > "$into/kafka.jar" && printf '%s' 'the log' > "$into/log.jar"
"""
WRONG_MAVEN = MAVEN.replace("'the log'", "'another log'")
FAILING_MAVEN = """#!/bin/sh
printf '[\\033[1;31mERROR\\033[m] no route to the repository\\n[ERROR] see the help\\n'; exit 1
"""


@pytest.fixture
def wanted(tmp_path: Path) -> JarSet:
    rows = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in CONTENT.items()]
    (tmp_path / "pins").write_text("".join(rows))
    return JarSet("broker-1", "Broker 1", ("org.example:broker:1",), tmp_path / "pins")


@pytest.fixture
def cache(tmp_path: Path, wanted: JarSet) -> Path:
    """A cache that holds the jars."""
    place = wanted.folder(tmp_path / "cache")
    place.mkdir(parents=True)
    for name, content in CONTENT.items():
        (place / name).write_bytes(content)
    return tmp_path / "cache"


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    def install(script: str) -> Path:
        program = tmp_path / "bin" / "mvn"
        program.parent.mkdir()
        program.write_text(script)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return program.with_name("runs")

    return install


def test_the_committed_pins_are_whole() -> None:
    rows = [line.split() for line in jars.KAFKA.checksums.read_text().splitlines()]

    assert len(rows) == 46
    assert all(len(digest) == 64 and name.endswith(".jar") for digest, name in rows)
    assert {f"kafka_2.13-{jars.VERSION}.jar", "log4j-slf4j-impl-2.25.4.jar"} <= {name for _, name in rows}


def test_no_folder_is_no_jars(tmp_path: Path, wanted: JarSet) -> None:
    assert not wanted.cached(tmp_path)


def test_pinned_jars_serve_and_nothing_else_is_loaded(cache: Path, wanted: JarSet) -> None:
    place = wanted.folder(cache)
    (place / "stranger.jar").write_bytes(b"x")

    assert wanted.cached(cache)
    assert wanted.class_path(cache) == f"{place}/kafka.jar{os.pathsep}{place}/log.jar"


def test_each_jar_that_is_missing_or_differs_is_named(cache: Path, wanted: JarSet) -> None:
    (wanted.folder(cache) / "kafka.jar").unlink()
    (wanted.folder(cache) / "log.jar").write_bytes(b"the l0g")

    with pytest.raises(JarDiffers) as failure:
        wanted.cached(cache)

    assert "kafka.jar is missing, log.jar differs" in str(failure.value)
    assert f"Delete {wanted.folder(cache)}" in str(failure.value)


@pytest.mark.parametrize("change", [lambda jar: jar.write_bytes(b"the l0g"), lambda jar: jar.unlink()], ids=["differs", "missing"])
def test_a_jar_that_changes_after_it_was_verified_is_noticed(cache: Path, wanted: JarSet, change: Callable[[Path], None]) -> None:
    assert wanted.cached(cache)
    jar = wanted.folder(cache) / "log.jar"
    change(jar)
    if jar.exists():
        os.utime(jar, ns=(0, 0))

    with pytest.raises(JarDiffers, match=r"log\.jar"):
        wanted.cached(cache)


def test_a_later_start_compares_sizes_and_times_alone(cache: Path, wanted: JarSet, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wanted.cached(cache)
    monkeypatch.setattr(JarSet, "verify", lambda _, place: pytest.fail(f"{place} was read again"))

    assert wanted.cached(cache)


def test_a_copied_cache_is_verified_once_more_and_serves(cache: Path, wanted: JarSet) -> None:
    assert wanted.cached(cache)
    os.utime(wanted.folder(cache) / "log.jar", ns=(0, 0))

    assert wanted.cached(cache)
    assert wanted.stamp(wanted.folder(cache)) == jars.read_stamp(wanted.folder(cache))


def test_two_first_runs_at_once_download_once(tmp_path: Path, wanted: JarSet, maven: Callable[[str], Path]) -> None:
    runs = maven(MAVEN)
    with ThreadPoolExecutor(2) as pool:
        for run in [pool.submit(wanted.download, tmp_path, java_home=tmp_path) for _ in range(2)]:
            run.result()

    assert runs.read_text() == "run\n"
    assert wanted.cached(tmp_path)
    assert not list(tmp_path.glob("*.download-*"))


def test_a_download_that_differs_never_reaches_the_cache(tmp_path: Path, wanted: JarSet, maven: Callable[[str], Path]) -> None:
    maven(WRONG_MAVEN)

    with pytest.raises(JarDiffers, match=r"log\.jar differs"):
        wanted.download(tmp_path, java_home=tmp_path)

    assert not wanted.folder(tmp_path).exists()


def test_why_maven_failed_is_one_line(tmp_path: Path, wanted: JarSet, maven: Callable[[str], Path]) -> None:
    maven(FAILING_MAVEN)

    with pytest.raises(DownloadFailed, match=r"could not download Broker 1: no route to the repository\. ") as failure:
        wanted.download(tmp_path, java_home=tmp_path)

    assert "see the help" not in str(failure.value)
    assert not wanted.folder(tmp_path).exists()
