"""The parts of the local Kafka that need no broker: its question over the wire, its settings, its container, and where it comes from."""

from __future__ import annotations

import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from integration_fabric.local import broker_docker, broker_properties, broker_wire, kafka
from integration_fabric.local.broker_properties import Listeners
from integration_fabric.local.errors import DiedEarly, NoKafka
from integration_fabric.local.settings import LocalSettings

ENGINE = """#!/bin/sh
# A Docker engine of one container, for the words that we say to it. `run` is refused while the file `refuse` is there.
here=$(dirname "$0"); echo "$*" >> "$here/said"
case $1 in
  info) [ -e "$here/down" ] && exit 1; echo 28.0;;
  image) exit 1;;
  run) [ -e "$here/refuse" ] && { echo 'port is already allocated' >&2; exit 125; }; touch "$here/running";;
  inspect) [ -e "$here/running" ] && echo true;;
  stop) rm -f "$here/running";;
  logs) echo 'Exiting Kafka';;
esac
"""


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def metadata(*brokers: str) -> bytes:
    listed = b"".join(struct.pack(">i", 1) + text(host) + struct.pack(">i", 9092) + struct.pack(">h", -1) for host in brokers)
    return struct.pack(">i", len(brokers)) + listed + text("the-cluster") + struct.pack(">ii", 1, 0)


def framed(body: bytes, correlation: int = 1) -> bytes:
    return struct.pack(">ii", len(body) + 4, correlation) + body


@contextmanager
def server(*answers: bytes) -> Iterator[int]:
    """Takes one connection, gives each request the next answer, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    connection.recv(1024)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


OK = framed(struct.pack(">hi", 0, 0))


@pytest.mark.parametrize(
    ("answers", "cluster"),
    [
        ((OK, framed(metadata("127.0.0.1"))), "the-cluster"),
        ((OK, framed(metadata())), None),
        ((framed(struct.pack(">hi", 35, 0)),), None),
        ((OK, framed(metadata("127.0.0.1"), correlation=2)), None),
        ((OK, framed(metadata("127.0.0.1"))[:20]), None),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), None),
        ((), None),
    ],
    ids=["serves", "lists nobody yet", "refuses", "another's answer", "breaks off", "speaks HTTP", "hangs up"],
)
def test_only_a_broker_that_lists_itself_serves(answers: tuple[bytes, ...], cluster: str | None) -> None:
    with server(*answers) as port:
        assert broker_wire.serving_cluster("127.0.0.1", port) == cluster


def test_nobody_is_no_cluster() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert broker_wire.serving_cluster("127.0.0.1", port) is None


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_wire, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert broker_wire.serving_cluster("127.0.0.1", listener.getsockname()[1]) is None


def test_cluster_ids_are_as_kafka_writes_them() -> None:
    ids = {broker_properties.cluster_id(uuid.UUID(int=number << 120)) for number in range(256)}

    assert all(len(identity) == 22 and not identity.startswith("-") for identity in ids)


def test_clients_are_told_the_port_that_is_listened_on() -> None:
    settings = broker_properties.properties(Listeners(port=20001, controller_port=20002), log_dir="data")

    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002"
    assert settings["advertised.listeners"] == "PLAINTEXT://127.0.0.1:20001"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:20002"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(ENGINE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program.parent


def test_a_container_is_published_on_the_loopback_interface_and_keeps_its_volume(engine: Path, tmp_path: Path) -> None:
    told: list[str] = []
    container = broker_docker.start(tmp_path, listeners=Listeners(20001, 20002, "0.0.0.0"), tell=told.append)

    assert container.is_running()
    assert told == ["downloading the image apache/kafka:4.3.1 ...", "starting Kafka 4.3.1 in Docker ..."]
    run = next(line for line in (engine / "said").read_text().splitlines() if line.startswith("run "))
    assert "--publish 127.0.0.1:20001:20001" in run
    assert f"--volume {container.name}:/var/lib/kafka/data" in run
    assert "--env KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:20001 " in run
    assert "--env KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:20001,CONTROLLER://127.0.0.1:20002 " in run
    assert run.endswith(" apache/kafka:4.3.1")

    assert container.remove()
    assert not container.is_running()
    assert "volume rm" not in (engine / "said").read_text()


def test_a_container_that_ends_says_why(engine: Path, tmp_path: Path) -> None:
    container = broker_docker.of(tmp_path)

    with pytest.raises(DiedEarly, match="Exiting Kafka"):
        container.await_ready(lambda: True, within=timedelta(seconds=5))


def test_why_docker_does_not_run_it_is_one_line(engine: Path, tmp_path: Path) -> None:
    (engine / "refuse").touch()

    with pytest.raises(DiedEarly, match="port is already allocated"):
        broker_docker.start(tmp_path, listeners=Listeners(20001, 20002, "0.0.0.0"), tell=lambda _: None)


def test_an_engine_that_does_not_answer_is_no_way(engine: Path) -> None:
    assert broker_docker.why_not() is None
    (engine / "down").touch()
    assert broker_docker.why_not() == "`docker info` finds no engine that answers"


def test_a_given_address_comes_first(tmp_path: Path) -> None:
    settings = LocalSettings(state_dir=tmp_path, cache_dir=tmp_path)

    assert kafka.choose(settings, bootstrap="kafka.example:9092") is kafka.Source.GIVEN


def test_docker_comes_after_maven(engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = LocalSettings(state_dir=tmp_path, cache_dir=tmp_path)
    monkeypatch.setenv("PATH", str(engine))
    engine.joinpath("docker").write_text("#!/bin/sh\necho 28.0\n")
    assert kafka.choose(settings) is kafka.Source.DOCKER


def test_no_way_at_all_names_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NoKafka) as failure:
        kafka.choose(LocalSettings(state_dir=tmp_path, cache_dir=tmp_path))

    line = str(failure.value)
    assert "an address from the settings: none is set" in line
    assert "jars" in line
    assert "Maven" in line
    assert "Docker: no `docker` on the PATH" in line
    assert "\n" not in line


def test_settings_come_from_the_environment_and_do_not_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FABRIC_LOCAL_KAFKA_PORT", "")
    monkeypatch.delenv("FABRIC_LOCAL_STATE_DIR", raising=False)
    settings = LocalSettings()
    monkeypatch.chdir("/")

    assert settings.state_dir == tmp_path / ".fabric"
    assert settings.cache_dir == tmp_path / "cache" / "integration-fabric"
    assert settings.kafka_port is None

    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("FABRIC_LOCAL_KAFKA_PORT", "29092")
    assert LocalSettings().cache_dir == Path.home() / ".cache" / "integration-fabric"
    assert LocalSettings().kafka_port == 29092

    monkeypatch.setenv("FABRIC_LOCAL_KAFKA_PORT", "70000")
    with pytest.raises(ValidationError, match="kafka_port"):
        LocalSettings()
