"""The wheel carries the code, the connectors and the schemas: the scenarios run against it, with the checkout out of sight."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, in a folder of its own."""
    made, unpacked = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(made)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(CHECKOUT)]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked


def run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=110, check=False)


def test_it_carries_what_it_needs(installed: Path) -> None:
    top = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"integration_fabric", "connectors", "schemas"}
    assert len(list((installed / "schemas").rglob("*.avsc"))) == len(list((CHECKOUT / "schemas").rglob("*.avsc")))
    assert (installed / "integration_fabric/local/tryton-requirements.txt").exists()
    assert (installed / "integration_fabric/local/helpdesk-requirements.txt").exists()
    assert (installed / "integration_fabric/local/helpdesk_site/seed.py").exists()
    assert (installed / "integration_fabric/local/localstripe-requirements.txt").exists()
    assert list((installed / "integration_fabric/backends/sql/migrations/versions").glob("0001*.py"))


SOME = ("test_happy_path.py", "test_missing_tax_code.py", "test_payment_failure.py")
"""Of the scenarios: all of them take two minutes, and they all run from the checkout."""


def test_scenarios_run_against_it(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "-c", "import integration_fabric, schemas; print(integration_fabric.__file__, schemas.__path__)")
    assert str(installed) in where.stdout
    assert str(CHECKOUT) not in where.stdout

    done = run(
        installed,
        tmp_path,
        *(
            "-m",
            "pytest",
            *(str(CHECKOUT / "tests/scenarios" / name) for name in SOME),
            "-c",
            str(CHECKOUT / "pyproject.toml"),
            "--rootdir",
            str(CHECKOUT),
        ),
        *("-p", "no:cacheprovider", "--timeout", "100"),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
