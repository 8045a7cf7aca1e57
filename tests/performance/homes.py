"""What runs each contender: this interpreter, one of its own, or a Java."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.performance import java_home, quix_home
from tests.performance.contenders import Contender, Home

PEERS = "tests.performance.peers"


def command(contender: Contender, *, cache_dir: Path, folder: Path, tell: Callable[[str], None]) -> Sequence[str]:
    """What is to be run, made ready.

    Args:
        contender: Which.
        cache_dir: The user's, for what is downloaded.
        folder: Of this run, for what is compiled.
        tell: Told what takes long.

    Raises:
        Failed: It cannot be made ready.
    """
    match contender.home:
        case Home.HERE:
            return (sys.executable, "-m", f"{PEERS}.{contender.module}")
        case Home.APART:
            return (str(quix_home.prepare(cache_dir, tell)), "-m", f"{PEERS}.{contender.module}")
        case Home.JAVA:
            return java_home.prepare(contender.module, cache_dir=cache_dir, folder=folder, tell=tell)
