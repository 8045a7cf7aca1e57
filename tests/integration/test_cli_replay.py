"""`fabric backfill` and `fabric replay`: what is asked for is followed, stopped and refused in words that say what to do."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import command_line
import pytest

from integration_fabric.backends.sql.database import Database
from integration_fabric.backends.sql.redeliveries import SqlRedeliveries
from integration_fabric.runtime.records import TopicPartition
from integration_fabric.runtime.redelivery import Redelivery, Stretch

CONFIG = """
[kafka]
bootstrap = "127.0.0.1:9"

[store]
url = "sqlite:///{folder}/store.db"

[systems.tryton]
role = "erp"
vendor = "tryton"
url = "http://127.0.0.1:9"
"""
BOOKING = "tryton.create-order"
TOPIC = "erp.create-order.v1"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "fabric.toml").write_text(CONFIG.format(folder=tmp_path))
        return command_line.run(*arguments, cwd=tmp_path, FABRIC_CONFIG=str(tmp_path / "fabric.toml"))

    return run


@pytest.fixture
def filed(tmp_path: Path) -> int:
    """One that was asked for; no worker runs."""
    database = Database(f"sqlite:///{tmp_path}/store.db")
    database.open()
    try:
        asked = Redelivery(0, BOOKING, force=True, key=b"SO-9", by="kari", why="the ERP lost a day")
        stretch = Stretch(TopicPartition(TOPIC, 3), "topic-1", first=10, end=30, position=10)
        return asyncio.run(SqlRedeliveries(database).file(asked, [stretch]))
    finally:
        database.close()


def test_nothing_was_ever_redelivered(run: Run) -> None:
    assert "Nothing was ever redelivered" in run("replay", "list").stdout
    assert json.loads(run("replay", "list", "--json").stdout) == []


def test_one_is_listed_shown_paused_resumed_and_cancelled(run: Run, filed: int) -> None:
    number = str(filed)
    listed = run("replay", "list").stdout
    for text in (BOOKING, "running", "0%", "the ERP lost a day", "kari"):
        assert text in listed
    shown = run("replay", "show", number).stdout
    for text in ("20 offsets in 1 partition", "SO-9", "what was applied is applied again"):
        assert text in shown
    states = []
    for verb in ("pause", "resume", "cancel"):
        assert run("replay", verb, number).returncode == 0
        states.append(json.loads(run("replay", "show", number, "--json").stdout)["state"])
    assert states == ["paused", "running", "cancelled"]
    refused = run("replay", "resume", number)
    assert refused.returncode == 2
    assert "is cancelled, so it cannot be changed" in refused.stderr


def test_a_document_has_the_names_that_tools_read(run: Run, filed: int) -> None:
    (found,) = json.loads(run("replay", "list", "--json").stdout)
    assert (found["id"], found["state"], found["total"], found["remaining"]) == (filed, "running", 20, 20)
    assert {"filter", "applied", "superseded", "failed_again", "rate_per_s"} <= found.keys()
    assert found["filter"]["stretches"] == [{"topic": TOPIC, "partition": 3, "from": 10, "to": 30, "position": 10}]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("backfill", "-s", "tryton.create-ordr", "--reason", "x"), 2, "do you mean tryton.create-order"),
        (("backfill", "-s", "process.quote-to-activation", "--reason", "x"), 2, "is a process: its state is the messages"),
        (("backfill", "-s", BOOKING, "--reason", "x", "--from", "yesterday"), 2, "'yesterday' is no time; write it as"),
        (("backfill", "-s", BOOKING, "--reason", "x", "--to", "9999999d"), 2, "is no duration"),
        (("backfill", "-s", BOOKING), 2, "--reason"),
        (("backfill", "-s", BOOKING, "--shadow", "--force"), 2, "--force with --shadow"),
        (("backfill", "-s", "process.quote-to-activation", "--shadow"), 2, "is a process: its state is the messages"),
        (("backfill", "-s", BOOKING, "--shadow"), 3, "the broker does not answer"),
        (("backfill", "-s", BOOKING, "--dry-run"), 3, "the broker does not answer"),
        (("backfill", "-s", BOOKING, "--reason", "x"), 3, "the broker does not answer"),
        (("replay", "show", "9"), 2, "there is no redelivery 9; `fabric replay list`"),
        (("replay", "cancel", "0"), 2, "NUMBER"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = run(*arguments)
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == code
    assert "Traceback" not in done.stderr
