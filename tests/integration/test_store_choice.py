"""`fabric up --store postgresql`: the landscape keeps the store that it was made with, and no command shows its password."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_fabric.local import kafka, postgres, postgres_programs
from integration_fabric.local.errors import LocalError
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.errors import UsageProblem
from integration_fabric.wiring import local_store
from integration_fabric.wiring.local_store import Store

FABRIC = (sys.executable, "-m", "integration_fabric.apps.cli.main")


def written(folder: Path, *, bootstrap: str, url: str) -> LocalSettings:
    """A checkout whose settings file says so."""
    (folder / "fabric.toml").write_text(f'[kafka]\nbootstrap = "{bootstrap}"\n\n[store]\nurl = "{url}"\n')
    return LocalSettings(state_dir=folder)


def test_a_new_landscape_has_the_store_that_is_asked_for(tmp_path: Path) -> None:
    settings = LocalSettings(state_dir=tmp_path)
    assert local_store.choose(settings, None, fresh=False) is Store.SQLITE
    assert local_store.choose(settings, Store.POSTGRESQL, fresh=False) is Store.POSTGRESQL


def test_a_landscape_keeps_its_store_unless_it_begins_anew(tmp_path: Path) -> None:
    settings = written(tmp_path, bootstrap="localhost:9092", url="postgresql+psycopg://fabric:secret@localhost:1/fabric")
    assert local_store.choose(settings, None, fresh=False) is Store.POSTGRESQL
    with pytest.raises(UsageProblem, match=r"made with its store on postgresql.*not on sqlite.*--fresh") as refused:
        local_store.choose(settings, Store.SQLITE, fresh=False)
    assert "secret" not in str(refused.value)
    assert local_store.choose(settings, Store.SQLITE, fresh=True) is Store.SQLITE
    assert local_store.choose(settings, None, fresh=True) is Store.POSTGRESQL


def test_simulators_alone_bind_nobody(tmp_path: Path) -> None:
    settings = written(tmp_path, bootstrap="", url="sqlite:///x")
    assert local_store.choose(settings, Store.POSTGRESQL, fresh=False) is Store.POSTGRESQL


class Checkout:
    """Commands in a folder, and everything that they ever printed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.printed = folder, ""

    def fabric(self, *arguments: str, code: int = 0) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")},
            "FABRIC_LOCAL_STATE_DIR": str(self.folder),
            "FABRIC_CONFIG": str(self.folder / "fabric.toml"),
            "COLUMNS": "400",
        }
        done = subprocess.run([*FABRIC, *arguments], env=environment, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == code, (done.stdout, done.stderr)
        self.printed += done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def url(self) -> str:
        found: str = tomllib.loads((self.folder / "fabric.toml").read_text())["store"]["url"]
        return found


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    settings = LocalSettings(state_dir=tmp_path)
    try:
        kafka.choose(settings)
        postgres_programs.find()
    except LocalError as error:
        pytest.skip(str(error))
    checkout = Checkout(tmp_path)
    yield checkout
    checkout.fabric("down")
    postgres.forget(settings)


@pytest.mark.kafka
def test_a_landscape_on_postgresql_from_up_to_down(checkout: Checkout) -> None:
    assert json.loads(checkout.fabric("up", "--store", "postgresql", "--json"))["store"] == "postgresql"
    url = checkout.url()
    assert (checkout.folder / "fabric.toml").stat().st_mode & 0o077 == 0
    status = json.loads(checkout.fabric("status", "--json"))
    assert status["store"]["reachable"]
    checks = {item["check"]: item for item in json.loads(checkout.fabric("doctor", "--json"))}
    assert checks["store"]["ok"]
    assert status["store"]["address"] == checks["store"]["found"] == re.sub(r":[^:@]*@", ":***@", url)
    assert "made with its store on postgresql" in checkout.fabric("up", "--store", "sqlite", code=2)
    assert json.loads(checkout.fabric("down", "--json"))["stopped"] == ["postgresql", "kafka"]
    away = checkout.fabric("process", "list", code=3)
    assert "FABRIC_STORE__URL=postgresql+psycopg://fabric:***@" in away
    password = url.split(":")[2].split("@")[0]
    assert password not in checkout.printed
