"""The command line, run as a person runs it: with no settings but those that a test gives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

FABRIC = (sys.executable, "-m", "integration_fabric.apps.cli.main")


def run(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    environment: Mapping[str, str] = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")},
        **settings,
        "COLUMNS": "400",
        "NO_COLOR": "1",
    }
    return subprocess.run([*FABRIC, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)
