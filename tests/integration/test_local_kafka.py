"""The local Kafka, for real: it keeps its data and its address over stops, crashes and a second `up`, and refuses what would harm it."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from integration_fabric.local import broker_docker, broker_properties, jars, java, kafka, ports, processes, state
from integration_fabric.local.broker_properties import Listeners
from integration_fabric.local.errors import Busy, PortTaken
from integration_fabric.local.settings import KAFKA_PORT_SETTING, LocalSettings, environment

pytestmark = pytest.mark.kafka

SOON_S = 20.0
SILENT = logging.getLogger("silent")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False

UP = """
import json, sys
from pathlib import Path
from integration_fabric.local import kafka
from integration_fabric.local.settings import LocalSettings
address = kafka.up(LocalSettings(state_dir=Path(sys.argv[1])), lambda line: print(line, file=sys.stderr))
print(json.dumps([address.bootstrap, address.was_running]))
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSettings]:
    """A state folder of its own, with a name as people have them; what runs on it at the end is stopped."""
    chosen = LocalSettings(state_dir=tmp_path_factory.mktemp("local") / "Größe, 日本" / ".fabric", kafka_port=None)
    yield chosen
    kafka.down(chosen, print)
    assert kafka.running(chosen) is None


def client(bootstrap: str) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": bootstrap}


def publish(bootstrap: str, value: str) -> str:
    """One record on a new topic; returns the topic."""
    topic = f"t-{uuid.uuid4().hex}"
    admin = AdminClient(client(bootstrap), logger=SILENT)
    admin.create_topics([NewTopic(topic, 1)])[topic].result(SOON_S)
    errors: list[object] = []
    producer = Producer(client(bootstrap), logger=SILENT)
    producer.produce(topic, value, partition=0, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(SOON_S) == 0
    assert errors == [None]
    return topic


def first_record(bootstrap: str, topic: str) -> str:
    consumer = Consumer({**client(bootstrap), "group.id": topic, "enable.auto.commit": "false"}, logger=SILENT)
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(SOON_S)
        assert message is not None
        assert message.error() is None
        value = message.value()
        assert value is not None
        return value.decode()
    finally:
        consumer.close()


def process_of(settings: LocalSettings) -> processes.Process:
    process = state.read(settings.state_dir).services["kafka"].process
    assert process is not None
    return process


def test_a_record_survives_down_and_up_at_the_same_address(settings: LocalSettings) -> None:
    told: list[str] = []
    before = kafka.up(settings, told.append)
    topic = publish(before.bootstrap, "kept")

    assert kafka.down(settings, told.append)
    assert kafka.running(settings) is None
    assert not kafka.down(settings, told.append)
    after = kafka.up(settings, told.append)

    assert after.bootstrap == before.bootstrap
    assert not after.was_running
    assert first_record(after.bootstrap, topic) == "kept"
    assert told.count("formatting Kafka's data folder ...") == 1
    assert told[-1].startswith(f"Kafka is ready at {after.bootstrap} in ")


def test_a_killed_broker_is_noticed_and_started_again_on_its_data(settings: LocalSettings) -> None:
    before = kafka.up(settings, print)
    topic = publish(before.bootstrap, "acknowledged")
    broker = process_of(settings)

    os.kill(broker.pid, signal.SIGKILL)
    after = kafka.up(settings, print)

    assert after == kafka.KafkaAddress(before.bootstrap, after.ready_in, was_running=False)
    assert process_of(settings) != broker
    assert first_record(after.bootstrap, topic) == "acknowledged"


def test_up_from_two_shells_at_once_starts_one_and_a_third_finds_it(settings: LocalSettings) -> None:
    kafka.down(settings, print)

    def up_in_a_shell(_: int) -> tuple[str, bool]:
        command = [sys.executable, "-c", UP, str(settings.state_dir)]
        answer = subprocess.run(command, check=True, capture_output=True, timeout=60, env=environment(**{KAFKA_PORT_SETTING: ""}))
        bootstrap, was_running = json.loads(answer.stdout)
        return bootstrap, was_running

    with ThreadPoolExecutor(2) as shells:
        answers = list(shells.map(up_in_a_shell, range(2)))
    broker = process_of(settings)
    third = kafka.up(settings, print)

    assert sorted(was_running for _, was_running in answers) == [False, True]
    assert {bootstrap for bootstrap, _ in answers} == {third.bootstrap}
    assert third.was_running
    assert kafka.running(settings) == kafka.KafkaAddress(third.bootstrap, timedelta(0), was_running=True)
    assert process_of(settings) == broker
    assert processes.is_alive(broker)


def test_a_remembered_port_that_somebody_took_is_replaced_and_the_data_stays(settings: LocalSettings) -> None:
    before = kafka.up(settings, print)
    topic = publish(before.bootstrap, "moved")
    kafka.down(settings, print)

    host, _, port = before.bootstrap.partition(":")
    with socket.create_server((host, int(port))):
        after = kafka.up(settings, print)

        assert after.bootstrap != before.bootstrap
        assert first_record(after.bootstrap, topic) == "moved"


def test_a_second_broker_on_the_same_data_is_refused_before_it_harms_the_first(settings: LocalSettings) -> None:
    address = kafka.up(settings, print)
    service = state.read(settings.state_dir).services["kafka"]
    state.forget(settings.state_dir, "kafka")
    try:
        with pytest.raises(Busy, match="a Kafka that the state file knows nothing of"):
            kafka.up(settings, print)
    finally:
        state.record(settings.state_dir, service)

    assert kafka.running(settings) is not None
    publish(address.bootstrap, "unharmed")


def test_a_fixed_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server((ports.HOST, 0)) as somebody:
        port = somebody.getsockname()[1]
        fixed = LocalSettings(state_dir=tmp_path, kafka_port=port)
        with pytest.raises(PortTaken) as failure:
            kafka.up(fixed, print)

    line = str(failure.value)
    assert f"port {port} for Kafka is in use" in line
    assert f"setting {KAFKA_PORT_SETTING}" in line
    assert "\n" not in line
    assert kafka.running(fixed) is None


def test_the_broker_has_taken_the_settings_for_a_quick_failover(settings: LocalSettings) -> None:
    address = kafka.up(settings, print)
    broker = ConfigResource(ConfigResource.Type.BROKER, broker_properties.NODE_ID)
    admin = AdminClient(client(address.bootstrap), logger=SILENT)
    described = admin.describe_configs([broker])[broker].result(SOON_S)
    wanted = {**broker_properties.ONE_NODE, **broker_properties.TOPICS, **broker_properties.RESTART, **broker_properties.FAILOVER}

    assert {name: described[name].value for name in wanted} == wanted


def test_kafkas_docker_image_makes_our_settings_of_our_variables(settings: LocalSettings, tmp_path: Path) -> None:
    """The program that the image runs on its environment is among the jars; an engine is not needed for it."""
    kafka.up(settings, print)
    found = java.find()
    assert isinstance(found, java.Java)
    listeners = Listeners(port=20001, controller_port=20002, bind="0.0.0.0")
    for name in ("default", "mounted", "final"):
        (tmp_path / name).mkdir()
    (tmp_path / "default" / "server.properties").touch()
    for name in ("log4j2.yaml", "tools-log4j2.yaml"):
        (tmp_path / "default" / name).write_text(
            "Configuration: {Properties: {}, Appenders: {}, Loggers: {Root: {level: INFO}, Logger: []}}"
        )
    folders = [word for name in ("default", "mounted", "final") for word in (f"--{name}-configs-dir", str(tmp_path / name))]
    subprocess.run(
        [
            str(found.path),
            *found.quiet,
            "-cp",
            jars.KAFKA.class_path(settings.cache_dir),
            "kafka.docker.KafkaDockerWrapper",
            "setup",
            *folders,
        ],
        env={**broker_docker.environment(settings.state_dir, listeners), "KAFKA_LOG_DIRS": str(tmp_path / "data")},
        check=True,
        capture_output=True,
        timeout=60,
    )

    written = dict(line.split("=", 1) for line in (tmp_path / "final" / "server.properties").read_text().split())
    assert written == broker_properties.properties(listeners, log_dir=str(tmp_path / "data"))
    identity = f"cluster.id={broker_docker.cluster_id(settings.state_dir)}"
    assert identity in (tmp_path / "data" / "meta.properties").read_text().splitlines()
