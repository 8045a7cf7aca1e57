"""How Tryton's snapshot is made and copied, as far as that can be seen without making one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from integration_fabric.local import tryton_snapshot
from integration_fabric.local.errors import NotStarted
from integration_fabric.local.tryton_snapshot import prepare_snapshot, snapshot_of
from integration_fabric.local.vendor_program import copy_database


def test_a_changed_seed_is_another_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot_of(tmp_path)
    assert snapshot_of(tmp_path) == before

    seed = tmp_path / "seed.py"
    seed.write_text("# another\n")
    monkeypatch.setattr(tryton_snapshot, "SEED", seed)

    assert snapshot_of(tmp_path).folder != before.folder


def test_a_step_that_fails_is_told_in_one_line_and_leaves_nothing_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{tmp_path}/missing-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(tryton_snapshot, "REQUIREMENTS", requirements)
    snapshot = snapshot_of(tmp_path / "cache")

    with pytest.raises(NotStarted) as failure:
        prepare_snapshot(snapshot, print)

    assert "missing-1.0" in str(failure.value)
    assert str(snapshot.folder / "prepare.log") in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not snapshot.facts.exists()


def test_a_copy_has_what_stands_in_the_write_ahead_log_only(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "live.sqlite", isolation_level=None)) as live:
        live.execute("PRAGMA journal_mode = WAL")
        live.execute("CREATE TABLE sale (reference TEXT)")
        live.execute("INSERT INTO sale VALUES ('O-1')")
        assert (tmp_path / "live.sqlite-wal").stat().st_size > 0

        copy_database(tmp_path / "live.sqlite", tmp_path / "copy.sqlite")

    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as copy:
        assert copy.execute("SELECT reference FROM sale").fetchall() == [("O-1",)]
    assert not list(tmp_path.glob("copy.sqlite-*"))
