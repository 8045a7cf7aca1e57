"""`fabric faults` on running simulators, on a system that is none, and where nothing runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from integration_fabric.local import ports, processes

FABRIC = (sys.executable, "-m", "integration_fabric.apps.cli.main")
ROOT = Path(__file__).parents[2]
WITHIN = timedelta(seconds=30)
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    state, port = tmp_path_factory.mktemp("simulators"), ports.choose()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "connectors.simulators", "--port", str(port), "--state", str(state / "databases")]
    command += ["--vendors", "stripe,gainsight", "--webhook-url", "stripe=http://127.0.0.1:9/webhooks/stripe"]
    process = processes.start("simulators", command, state_dir=state, cwd=ROOT)
    log = processes.log_path(state, "simulators")
    try:
        processes.await_ready(process, lambda: _answers(f"{url}/_control/health"), within=WITHIN, log=log)
        yield url
    finally:
        processes.stop(process, within=WITHIN)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        return False


class _RealSystem(BaseHTTPRequestHandler):
    """Answers as a system does that knows no such path."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def real_system() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _RealSystem) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def run(simulators: str, real_system: str, tmp_path: Path) -> Iterator[Run]:
    """Run a command where two systems are simulated and one is real; nothing is switched on at the end."""
    systems = {"stripe": ("billing", f"{simulators}/stripe"), "gainsight": ("customer-success", f"{simulators}/gainsight")}
    systems["tryton"] = ("erp", real_system)
    sections = [f'[systems.{name}]\nrole = "{role}"\nvendor = "{name}"\nurl = "{url}"\n' for name, (role, url) in systems.items()]
    (tmp_path / "fabric.toml").write_text("\n".join(sections))
    yield lambda *arguments, **environment: fabric(*arguments, cwd=tmp_path, FABRIC_CONFIG="fabric.toml", **environment)
    for vendor in ("stripe", "gainsight"):
        httpx.delete(f"{simulators}/_control/{vendor}", trust_env=False).raise_for_status()


def fabric(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")}
    environment |= {**settings, "COLUMNS": "200", "NO_COLOR": "1"}
    command = [*FABRIC, "faults", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert (done.returncode, done.stdout) == (code, ""), (done.stdout, done.stderr)
    (line,) = done.stderr.strip().splitlines()
    return line


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_what_is_set_is_listed_and_cleared(run: Run, simulators: str) -> None:
    changes = ["error_rate=2%", "webhook_loss_rate=0.125", "renamed_fields=name:full_name", "offline=false"]
    assert document(run("set", "stripe", *changes, "--json")) == {
        "system": "stripe",
        "changes": [
            {"switch": "error_rate", "before": 0.0, "after": 0.02},
            {"switch": "webhook_loss_rate", "before": 0.0, "after": 0.125},
            {"switch": "renamed_fields", "before": {}, "after": {"name": "full_name"}},
            {"switch": "offline", "before": False, "after": False},
        ],
    }
    there = httpx.get(f"{simulators}/_control/stripe", trust_env=False).json()
    assert (there["error_rate"], there["webhook_loss_rate"], there["renamed_fields"]) == (0.02, 0.125, {"name": "full_name"})

    listed = document(run("list", "--json"))
    assert [(each["system"], each["played"]) for each in listed] == [
        ("stripe", "simulated"),
        ("gainsight", "simulated"),
        ("tryton", "real"),
    ]
    on = {switch["switch"]: switch["value"] for switch in listed[0]["switches"]}
    assert on == {"error_rate": 0.02, "webhook_loss_rate": 0.125, "renamed_fields": {"name": "full_name"}}
    shown = run("list").stdout
    for words in ("12.5%", "name:full_name", "tryton is a real system: it has no switches"):
        assert words in shown

    assert document(run("clear", "--json")) == [{"system": "stripe", "cleared": on}, {"system": "gainsight", "cleared": {}}]
    there = httpx.get(f"{simulators}/_control/stripe", trust_env=False).json()
    assert (there["error_rate"], there["renamed_fields"], there["webhook_url"]) == (0, {}, "http://127.0.0.1:9/webhooks/stripe")
    assert run("list").stdout.startswith("No fault is switched on")


def test_setting_shows_before_and_after(run: Run) -> None:
    run("set", "gainsight", "throttle_rate=10%")

    done = run("set", "gainsight", "throttle_rate=0.25", "retry_after_s=3")

    assert done.stdout.splitlines() == ["gainsight  throttle_rate  10% → 25%", "gainsight  retry_after_s  1 → 3"]


def test_all_switches_are_listed_with_their_meaning(run: Run, simulators: str) -> None:
    (listed,) = document(run("list", "gainsight", "--all", "--json"))

    assert {each["switch"] for each in listed["switches"]} == set(httpx.get(f"{simulators}/_control/gainsight", trust_env=False).json())
    assert all(each["meaning"] for each in listed["switches"])
    taken = {each["switch"]: each["taken"] for each in listed["switches"]}
    assert (taken["ignore_unique_ids"], taken["webhook_loss_rate"]) == (True, False)
    assert "not taken" in run("list", "gainsight", "--all").stdout


@pytest.mark.parametrize("command", [("list", "tryton"), ("set", "tryton", "offline=true"), ("clear", "tryton")])
def test_a_real_system_has_no_switches(run: Run, command: tuple[str, ...]) -> None:
    assert "tryton is a real system: it has no switches" in one_line(run(*command), 2)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("set", "gainsight", "webhook_loss_rate=1"), "webhook_loss_rate: gainsight has no webhooks; taken by salesforce, stripe"),
        (("set", "stripe", "error_rate=2"), "error_rate: Input should be less than or equal to 1"),
        (("set", "stripe", "colour=red"), "colour: there is no such switch; there are latency_ms"),
        (("list", "sap"), "there is no system sap; there are stripe, gainsight, tryton"),
    ],
)
def test_what_cannot_be_set_is_one_line(run: Run, command: tuple[str, ...], words: str) -> None:
    assert words in one_line(run(*command), 2)


def test_a_wrong_one_leaves_the_others_as_they_were(run: Run, simulators: str) -> None:
    run("set", "stripe", "throttle_rate=1", "error_rate=2")

    assert httpx.get(f"{simulators}/_control/stripe", trust_env=False).json()["throttle_rate"] == 0


@pytest.mark.parametrize(
    ("given", "words"), [(["offline"], "offline is not SWITCH=VALUE"), (["hang_ms=1", "hang_ms=2"], "hang_ms is set twice")]
)
def test_wrong_usage(run: Run, given: list[str], words: str) -> None:
    done = run("set", "stripe", *given)

    assert done.returncode == 2
    assert words in done.stderr


def test_nothing_is_up(tmp_path: Path) -> None:
    assert "`fabric up --systems simulators`" in one_line(fabric("list", cwd=tmp_path), 2)


def test_nothing_answers(tmp_path: Path) -> None:
    url, prefix = "http://127.0.0.1:9/stripe", "FABRIC_SYSTEMS__STRIPE__"
    settings = {f"{prefix}ROLE": "billing", f"{prefix}VENDOR": "stripe", f"{prefix}URL": url}
    for command in (("list",), ("set", "stripe", "offline=true"), ("clear", "stripe")):
        line = one_line(fabric(*command, cwd=tmp_path, **settings), 3)
        assert f"stripe at {url} does not answer" in line
        assert "`fabric up --systems simulators`" in line
