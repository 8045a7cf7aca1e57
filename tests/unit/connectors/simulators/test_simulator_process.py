from __future__ import annotations

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from connectors.simulators.__main__ import main
from connectors.simulators.control import SimulatorControl
from connectors.simulators.faults import Switches

ROOT = Path(__file__).parents[4]
CUSTOMER = {"name": "A", "metadata[external_id]": "C-1"}
TOKEN = {"Authorization": "Bearer stripe-token"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def spawn(port: int, state: Path, *more: str) -> Process:
    arguments = ["--port", str(port), "--state", str(state), *more]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connectors.simulators", *arguments, cwd=ROOT, stdout=PIPE, stderr=PIPE
    )


@pytest.fixture
def process(eventually):
    """Run the simulators as a process of their own, ready when the block begins and gone after it."""

    @asynccontextmanager
    async def run(port: int, state: Path, *more: str) -> AsyncIterator[Process]:
        running = await spawn(port, state, *more)
        try:
            async with SimulatorControl(f"http://127.0.0.1:{port}") as control:
                await eventually(control.healthy)
            yield running
        finally:
            if running.returncode is None:
                running.kill()
            await running.communicate()

    return run


async def test_what_was_answered_survives_a_kill(tmp_path, process):
    port = free_port()
    answered: list[str] = []
    enough = asyncio.Event()

    async def write(http: httpx.AsyncClient) -> None:
        try:
            while True:
                made = await http.post("/stripe/v1/customers", data={"name": str(len(answered))}, headers=TOKEN)
                answered.append(made.json()["id"])
                if len(answered) == 50:
                    enough.set()
        except httpx.TransportError:
            return

    async with process(port, tmp_path) as running, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        writing = asyncio.create_task(write(http))
        await asyncio.wait_for(enough.wait(), 20)
        running.kill()
        await writing

    async with process(port, tmp_path), SimulatorControl(f"http://127.0.0.1:{port}") as control:
        there = {record.id for record in await control.records("stripe", "customer")}
        assert set(answered) <= there
        assert len(there) <= len(answered) + 1
        assert len(await control.calls("stripe")) == len(there)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_quietly(tmp_path, process, number):
    async with process(free_port(), tmp_path) as running:
        running.send_signal(number)
        stdout, stderr = await asyncio.wait_for(running.communicate(), 10)

    assert (running.returncode, stdout, stderr) == (0, b"", b"")


async def test_a_taken_port_is_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = await spawn(port, tmp_path)
        stdout, stderr = await running.communicate()

    assert running.returncode == 2
    assert stdout == b""
    assert stderr.decode() == (
        f"simulators: cannot listen on 127.0.0.1:{port}: Address already in use; end what uses the port, or choose another with --port\n"
    )


async def test_a_state_folder_in_use_is_one_clear_line(tmp_path, process):
    async with process(free_port(), tmp_path):
        second = await spawn(free_port(), tmp_path)
        _, stderr = await second.communicate()

    assert second.returncode == 2
    assert stderr.decode().startswith(f"simulators: another process works on the state folder {tmp_path}; ")


async def test_options_reach_the_vendors(tmp_path, process):
    port = free_port()
    faults = ("--fault", "zendesk.throttle_rate=100%", "--fault", "stripe.renamed_fields=name:full_name")
    options = ("--vendors", "stripe,zendesk", "--token", "stripe=secret", "--latency-ms", "5", *faults)

    async with process(port, tmp_path, *options), SimulatorControl(f"http://127.0.0.1:{port}") as control:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert (await http.get("/stripe/v1/customers", headers=TOKEN)).status_code == 401
            assert (await http.get("/stripe/v1/customers", headers={"Authorization": "Bearer secret"})).status_code == 200
            assert (await http.get("/zendesk/api/v2/tickets")).status_code == 429
            assert set((await http.get("/_control")).json()) == {"stripe", "zendesk"}
        switches = await control.faults("stripe")
        assert (switches["latency_ms"], switches["renamed_fields"]) == (5, {"name": "full_name"})


async def test_what_hangs_ends_when_the_server_stops(tmp_path, process, eventually):
    port = free_port()
    faults = ("--fault", "stripe.effect_then_timeout_rate=1", "--fault", "stripe.hang_ms=600000", "--fault", "zendesk.latency_ms=600000")
    async with process(port, tmp_path, *faults) as running, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        hanging = asyncio.create_task(http.post("/stripe/v1/customers", data=CUSTOMER, headers=TOKEN, timeout=60))
        slow = asyncio.create_task(http.get("/zendesk/api/v2/tickets", headers={"Authorization": "Bearer zendesk-token"}, timeout=60))

        async def performed() -> bool:
            async with SimulatorControl(f"http://127.0.0.1:{port}") as control:
                return await control.counts("stripe") == {"customer": 1}

        await eventually(performed)
        running.send_signal(signal.SIGTERM)
        _, stderr = await asyncio.wait_for(running.communicate(), 10)

        assert (running.returncode, stderr) == (0, b"")  # a request that had to be cancelled would be complained about
        assert (await slow).status_code == 200
        with pytest.raises(httpx.TransportError):
            await hanging


async def test_clients_that_leave_are_no_trouble(tmp_path, process):
    port = free_port()
    fault = "stripe.effect_then_timeout_rate=1"
    async with process(port, tmp_path, "--fault", fault) as running:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            with pytest.raises(httpx.ReadTimeout):
                await http.post("/stripe/v1/customers", data=CUSTOMER, headers=TOKEN, timeout=0.2)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /stripe/v1/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with SimulatorControl(f"http://127.0.0.1:{port}") as control:
            assert await control.counts("stripe") == {"customer": 1}
        running.send_signal(signal.SIGTERM)
        _, stderr = await asyncio.wait_for(running.communicate(), 10)

    assert (running.returncode, stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vendors", "sap"], "--vendors: no vendor 'sap'; there are salesforce, stripe, gainsight, zendesk, tryton"),
        (["--fault", "stripe.error"], "'stripe.error' is not VENDOR.SWITCH=VALUE"),
        (["--fault", "stripe.speed=1"], "no switch 'speed'"),
        (["--fault", "stripe.error_rate=2"], "stripe: error_rate: Input should be less than or equal to 1"),
        (["--fault", "stripe.error_status=404"], "stripe: error_status: Input should be 500, 502, 503 or 504"),
        (["--fault", "tryton.webhook_loss_rate=1"], "webhook_loss_rate: tryton has no webhooks; taken by salesforce, stripe"),
        (["--webhook-url", "zendesk=http://127.0.0.1:9/"], "webhook_url: zendesk has no webhooks; taken by salesforce, stripe"),
        (["--webhook-url", "nowhere"], "expected http://... or VENDOR=http://..."),
        (["--token", "stripe"], "expected VENDOR=TOKEN"),
    ],
)
def test_wrong_usage_is_one_clear_line(tmp_path, capsys, arguments, words):
    assert main(["--port", "0", "--state", str(tmp_path), *arguments]) == 2

    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_state_folder_that_cannot_be_made_is_one_clear_line(tmp_path, capsys):
    (tmp_path / "file").touch()

    assert main(["--port", "0", "--state", str(tmp_path / "file")]) == 2

    assert f"cannot use the state folder {tmp_path / 'file'}" in capsys.readouterr().err


def test_help_explains_itself(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])

    said = capsys.readouterr().out
    assert left.value.code == 0
    for word in (
        "/salesforce",
        "/stripe",
        "/gainsight",
        "/zendesk",
        "/erp",
        "/_control/reset",
        *Switches.model_fields,
        "(default: 2000)",
        "salesforce-token",
    ):
        assert word in said
