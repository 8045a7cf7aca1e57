"""`fabric subscribers`: orders are given, listed and taken back; what makes no sense is refused in one line."""

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
"""
BOOKING = "tryton.create-order"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "fabric.toml").write_text(CONFIG.format(folder=tmp_path))
        return command_line.run("subscribers", *arguments, cwd=tmp_path, FABRIC_CONFIG=str(tmp_path / "fabric.toml"))

    return run


def test_orders_are_given_listed_and_taken_back(run: Run) -> None:
    assert "Nothing is paused" in run("list").stdout
    assert run("pause", BOOKING, "--reason", "year end", "--by", "kari").returncode == 0
    assert run("pause", BOOKING, "--key", "SO-9", "--reason", "look at it", "--by", "ola").returncode == 0
    assert run("skip", BOOKING, "--partition", "erp.create-order.v1/3", "--to", "120", "--reason", "test data").returncode == 0
    shown = run("list").stdout
    for text in ("year end", "kari", "key SO-9", "erp.create-order.v1/3 below 120", "test data"):
        assert text in shown
    found = json.loads(run("list", "--json").stdout)
    assert [(item["order"], item["key"], item["partition"], item["until"]) for item in found] == [
        ("pause", None, None, None),
        ("pause", "SO-9", None, None),
        ("skip", None, 3, 120),
    ]
    assert run("resume", BOOKING).returncode == 0
    assert run("resume", BOOKING, "--key", "SO-9").returncode == 0
    assert [item["order"] for item in json.loads(run("list", "--json").stdout)] == ["skip"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pause", "tryton.create-ordr", "--reason", "x"), "there is no subscriber tryton.create-ordr; do you mean tryton.create-order"),
        (("pause", BOOKING, "--partition", "nonsense", "--reason", "x"), "write it as cpq.quote-approved.v1/3"),
        (("pause", BOOKING, "--partition", "other.v1/3", "--reason", "x"), "does not read other.v1; it reads erp.create-order.v1"),
        (("pause", BOOKING, "--partition", "a/1", "--key", "k", "--reason", "x"), "not both"),
        (("pause", BOOKING), "--reason"),
        (("resume", BOOKING), "no such pause"),
        (("skip", BOOKING, "--partition", "erp.create-order.v1/3", "--to", "0", "--reason", "x"), "--to"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
