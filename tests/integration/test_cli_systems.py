"""`fabric systems`: what a person sees of the governors, and how he stops and resumes calls."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import command_line
import pytest

CONFIG = """
[store]
url = "sqlite:///{folder}/store.db"

[systems.tryton]
role = "erp"
vendor = "tryton"
url = "http://127.0.0.1:9"
calls_per_s = 20

[systems.stripe]
role = "billing"
vendor = "stripe"
url = "http://127.0.0.1:9"
maintenance = ["{window}"]
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str, window: str = "Mon-Sun 00:00-24:00") -> subprocess.CompletedProcess[str]:
        (tmp_path / "fabric.toml").write_text(CONFIG.format(folder=tmp_path, window=window))
        return command_line.run("systems", *arguments, cwd=tmp_path, FABRIC_CONFIG=str(tmp_path / "fabric.toml"))

    return run


def listed(run: Run) -> dict[str, dict[str, object]]:
    done = run("list", "--json")
    assert done.returncode == 0, done.stderr
    return {item["system"]: item for item in json.loads(done.stdout)}


def test_a_system_is_paused_and_resumed(run: Run) -> None:
    assert (listed(run)["tryton"]["flow"], listed(run)["tryton"]["calls_per_s"]) == ("flowing", 20)
    assert run("pause", "tryton", "--reason", "year end", "--by", "kari", "--for", "2h").returncode == 0
    found = listed(run)["tryton"]
    assert (found["flow"], found["why"], found["by"]) == ("paused", "year end", "kari")
    assert 7000 < float(str(found["remaining_s"])) <= 7200
    shown = run("list").stdout
    assert "year end (kari)" in shown
    assert "maintenance" in shown
    assert "is called again" in run("resume", "tryton").stderr
    assert listed(run)["tryton"]["flow"] == "flowing"
    assert "was called all the time" in run("resume", "tryton").stderr


def test_a_pause_without_an_end_says_so(run: Run) -> None:
    assert run("pause", "tryton", "--reason", "upgrade").returncode == 0
    assert "until resumed" in run("list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pause", "trytn", "--reason", "x"), "there is no system trytn; there are stripe, tryton"),
        (("resume", "trytn"), "there is no system trytn"),
        (("pause", "tryton", "--reason", "x", "--for", "soon"), "write it as 90s, 30m, 2h or 1d"),
        (("pause", "tryton", "--reason", "x", "--for", "-1h"), "write it as 90s, 30m, 2h or 1d"),
        (("pause", "tryton"), "--reason"),
    ],
)
def test_what_is_wrong_is_said(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_window_that_is_none_is_named_with_its_setting(run: Run) -> None:
    done = run("list", window="sunday night")
    assert done.returncode == 2
    assert "FABRIC_SYSTEMS__STRIPE__MAINTENANCE__0" in done.stderr
    assert "write it as 'Sun 02:00-04:00'" in done.stderr
