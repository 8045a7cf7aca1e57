"""The README documents every command, setting, metric and error code, and has no placeholder left."""

from __future__ import annotations

from pathlib import Path

import pytest
from documented import all_metrics, commands, error_codes, settings

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_is_documented(name: str) -> None:
    assert f"`{name}" in README


@pytest.mark.parametrize("name", [name for name, _ in settings()])
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", [name for name, _ in all_metrics()])
def test_every_metric_is_documented(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("code", [code for code, _, _ in error_codes()])
def test_every_error_code_is_documented(code: str) -> None:
    assert f"`{code}`" in README


def test_no_placeholder_is_left() -> None:
    assert "@@" not in README
