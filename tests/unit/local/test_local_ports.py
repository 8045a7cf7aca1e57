"""A port is free or not as a server would find it, stays the same once chosen, and gives way when somebody else has taken it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration_fabric.local import ports, state
from integration_fabric.local.errors import PortTaken


@contextmanager
def somebody_on(port: int, host: str = ports.HOST) -> Iterator[int]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_somebody_listens_on_is_not_free(host: str) -> None:
    with somebody_on(0, host) as port:
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_what_is_left_of_an_earlier_servers_connections_does_not_count() -> None:
    with socket.create_server((ports.HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((ports.HOST, port)) as caller:
            served, _ = listener.accept()
            served.close()  # who closes first waits (TIME_WAIT) on its port
            assert caller.recv(1) == b""
    assert ports.is_free(port)


def test_a_port_stays_the_same_once_chosen(tmp_path: Path) -> None:
    first = ports.claim(tmp_path, "kafka")

    assert ports.claim(tmp_path, "kafka") == first
    assert state.read(tmp_path).ports == {"kafka": first}


def test_services_of_a_checkout_get_different_ports(tmp_path: Path) -> None:
    names = [f"service-{number}" for number in range(20)]

    assert len({ports.claim(tmp_path, name) for name in names}) == len(names)


def test_a_remembered_port_that_somebody_else_took_is_replaced_for_good(tmp_path: Path) -> None:
    first = ports.claim(tmp_path, "kafka")
    with somebody_on(first):
        second = ports.claim(tmp_path, "kafka")

    assert second != first
    assert ports.claim(tmp_path, "kafka") == second


def test_a_fixed_port_that_is_taken_says_which_setting_and_what_to_do() -> None:
    with somebody_on(0) as port, pytest.raises(PortTaken) as failure:
        ports.demand(port, setting="FABRIC_LOCAL_KAFKA_PORT", service="Kafka")

    line = str(failure.value)
    assert f"port {port} for Kafka is in use" in line
    assert "setting FABRIC_LOCAL_KAFKA_PORT" in line
    assert "or unset it" in line
    assert "\n" not in line
    assert ports.demand(port, setting="FABRIC_LOCAL_KAFKA_PORT", service="Kafka") == port
