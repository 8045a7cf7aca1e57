"""What is foreseeable goes wrong in one line: which setting, what was tried, what to do; no traceback, no library noise."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
from command_line import run

NOBODY = "127.0.0.1:9"


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, (done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return lines[0]


@pytest.mark.parametrize("command", [("status",), ("balance",), ("topics", "apply"), ("worker", "run", "processes"), ("dlq", "list")])
def test_no_broker_is_set(command: tuple[str, ...], tmp_path: Path) -> None:
    line = one_line(run(*command, cwd=tmp_path), 2)
    assert "FABRIC_KAFKA__BOOTSTRAP is not set" in line
    assert "fabric up" in line


@pytest.mark.parametrize("command", [("balance",), ("topics", "apply"), ("schemas", "push"), ("journey", "Q-1"), ("dlq", "list")])
def test_the_broker_does_not_answer(command: tuple[str, ...], tmp_path: Path) -> None:
    line = one_line(run(*command, cwd=tmp_path, FABRIC_KAFKA__BOOTSTRAP=NOBODY), 3)
    assert NOBODY in line
    assert "FABRIC_KAFKA__BOOTSTRAP" in line


def test_the_registry_does_not_answer(tmp_path: Path) -> None:
    settings = {"FABRIC_KAFKA__BOOTSTRAP": NOBODY, "FABRIC_REGISTRY__URL": f"http://{NOBODY}"}
    line = one_line(run("schemas", "push", cwd=tmp_path, **settings), 3)
    assert f"http://{NOBODY}" in line


def test_the_database_does_not_answer(tmp_path: Path) -> None:
    line = one_line(run("process", "list", cwd=tmp_path, FABRIC_STORE__URL=f"sqlite:///{tmp_path}/no/such/folder/store.db"), 3)
    assert "FABRIC_STORE__URL" in line


def test_a_url_that_is_no_databases(tmp_path: Path) -> None:
    line = one_line(run("process", "list", cwd=tmp_path, FABRIC_STORE__URL="nonsense"), 2)
    assert "FABRIC_STORE__URL=nonsense" in line
    assert "sqlite:///" in line


def test_a_setting_of_the_wrong_type(tmp_path: Path) -> None:
    line = one_line(run("status", cwd=tmp_path, FABRIC_WORKER__PORT="many"), 2)
    assert "FABRIC_WORKER__PORT" in line
    assert "'many'" in line


def test_a_settings_file_that_is_not_there(tmp_path: Path) -> None:
    line = one_line(run("status", cwd=tmp_path, FABRIC_CONFIG="nowhere.toml"), 2)
    assert "FABRIC_CONFIG=nowhere.toml" in line


def test_a_settings_file_that_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[kafka\n")
    line = one_line(run("status", cwd=tmp_path, FABRIC_CONFIG="bad.toml"), 2)
    assert "bad.toml" in line


def test_the_port_of_a_worker_is_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = one_line(run("worker", "run", "processes", cwd=tmp_path, FABRIC_KAFKA__BOOTSTRAP=NOBODY, FABRIC_WORKER__PORT=port), 2)
    assert f"FABRIC_WORKER__PORT={port}" in line
    assert "set another port" in line


def test_a_part_that_is_none(tmp_path: Path) -> None:
    line = one_line(run("worker", "run", "proceses", cwd=tmp_path, FABRIC_KAFKA__BOOTSTRAP=NOBODY), 2)
    assert "proceses" in line
    assert "processes" in line


def test_a_mistyped_command_says_what_there_is(tmp_path: Path) -> None:
    done = run("jurney", cwd=tmp_path)
    assert done.returncode == 2
    assert "No such command 'jurney'" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_is_one_document_and_nothing_else(tmp_path: Path) -> None:
    done = run("process", "list", "--json", cwd=tmp_path, FABRIC_STORE__URL=f"sqlite:///{tmp_path}/store.db")
    assert done.returncode == 0
    assert json.loads(done.stdout) == []
    assert done.stderr == ""


def test_every_command_has_a_help_text(tmp_path: Path) -> None:
    for command in ([], ["up"], ["worker", "run"], ["gateway", "run"], ["journey"], ["dlq", "show"], ["process", "list"], ["demo"]):
        done = run(*command, "--help", cwd=tmp_path)
        assert done.returncode == 0, command
        assert "Usage:" in done.stdout
