"""How django-helpdesk's snapshot is made, as far as that can be seen without making one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from integration_fabric.local import helpdesk_snapshot
from integration_fabric.local.errors import NotStarted
from integration_fabric.local.helpdesk_snapshot import prepare_snapshot, snapshot_of


def test_a_changed_site_is_another_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot_of(tmp_path)
    assert snapshot_of(tmp_path) == before

    site = tmp_path / "helpdesk_site"
    shutil.copytree(helpdesk_snapshot.SITE, site)
    (site / "views.py").write_text("# another\n")
    monkeypatch.setattr(helpdesk_snapshot, "SITE", site)

    assert snapshot_of(tmp_path).folder != before.folder


def test_a_step_that_fails_is_told_in_one_line_and_leaves_nothing_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{tmp_path}/missing-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(helpdesk_snapshot, "REQUIREMENTS", requirements)
    snapshot = snapshot_of(tmp_path / "cache")

    with pytest.raises(NotStarted) as failure:
        prepare_snapshot(snapshot, print)

    assert "missing-1.0" in str(failure.value)
    assert str(snapshot.folder / "prepare.log") in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not snapshot.facts.exists()


def test_what_runs_is_not_found_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    snapshot = snapshot_of(tmp_path)

    assert "-P" in snapshot.command("serve")
    assert snapshot.variables(HELPDESK_HOME="home")["PYTHONPATH"] == str(snapshot.site)
