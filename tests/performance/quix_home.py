"""The virtual environment of Quix Streams, which pins an older confluent-kafka: made once, in the user's cache folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from integration_fabric.local import locks
from integration_fabric.local.errors import LocalError
from tests.performance.contenders import ROOT, Failed

REQUIREMENTS = ROOT / "deploy" / "requirements" / "bench-quix.txt"
PATIENCE = timedelta(minutes=5)


def prepare(cache_dir: Path, tell: Callable[[str], None]) -> Path:
    """Make it if it is not there.

    Returns:
        Its interpreter.

    Raises:
        Failed: It cannot be installed.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode() + sys.base_prefix.encode()).hexdigest()[:16]
    folder = cache_dir / f"bench-quix-{digest}"
    python, whole = folder / "bin" / "python", folder / "whole"
    if whole.exists():
        return python
    cache_dir.mkdir(parents=True, exist_ok=True)
    try:
        with locks.held(folder.with_suffix(".lock"), within=PATIENCE, waiting=lambda: tell("Quix Streams is being installed; waiting ...")):
            if not whole.exists():
                tell("installing Quix Streams in a virtual environment of its own (once) ...")
                _install(folder, python)
                whole.touch()
    except (LocalError, OSError, subprocess.SubprocessError) as error:
        raise Failed(f"Quix Streams cannot be installed, so it takes no part: {_reason(error)}") from error
    return python


def _install(folder: Path, python: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _call(sys.executable, "-m", "venv", str(folder))
    _call(str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(REQUIREMENTS))


def _call(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE.total_seconds(), check=True)


def _reason(error: Exception) -> str:
    said = (error.stderr or "").strip().splitlines() if isinstance(error, subprocess.CalledProcessError) else []
    return next((line for line in reversed(said) if line.startswith("ERROR")), str(error))
