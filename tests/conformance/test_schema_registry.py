"""Every schema registry keeps the contract of `governance.ports.SchemaRegistry`: in memory, on a topic, and behind Confluent's protocol."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import apicurio
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.backends.kafka.admin import KafkaAdmin
from integration_fabric.backends.kafka.client import client_configuration, make_client
from integration_fabric.backends.registry import embedded
from integration_fabric.backends.registry.confluent import ConfluentRegistry
from integration_fabric.backends.registry.embedded import SCHEMAS_TOPIC, EmbeddedRegistry
from integration_fabric.backends.registry.memory import MemoryRegistry
from integration_fabric.governance.ports import SchemaRegistry, subject_of
from integration_fabric.governance.schema_files import read, read_all
from integration_fabric.local import kafka
from integration_fabric.local.errors import LocalError
from integration_fabric.local.settings import LocalSettings
from integration_fabric.messages.catalogue import MESSAGES
from integration_fabric.messages.errors import BadCredential, ContractBroken, Unavailable, Undecodable, Unreachable, UsageProblem
from integration_fabric.messages.orders import OrderBooked

Open = Callable[[], SchemaRegistry]
"""Another client of the same registry, as another process would have."""


@pytest.fixture(scope="module")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = LocalSettings(state_dir=tmp_path_factory.mktemp("kafka"))
    try:
        address = kafka.up(settings, lambda _: None)
    except LocalError as error:
        pytest.skip(f"no Kafka can be started here: {error}")
    yield address.bootstrap
    kafka.down(settings, lambda _: None)


@pytest.fixture(scope="module")
def apicurio_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with apicurio.running(tmp_path_factory.mktemp("apicurio")) as url:
        yield url


@pytest.fixture(params=["memory", pytest.param("embedded", marks=pytest.mark.kafka), "confluent"])
def open_registry(request: pytest.FixtureRequest) -> Open:
    if request.param == "embedded":
        config = client_configuration(request.getfixturevalue("kafka_bootstrap"))
        return lambda: EmbeddedRegistry(config)
    if request.param == "confluent":
        url: str = request.getfixturevalue("apicurio_url")
        return lambda: ConfluentRegistry(url)
    one = MemoryRegistry()
    return lambda: one


@pytest.fixture
def subject() -> str:
    return f"test.{uuid4().hex}.v1-value"


def schema(subject: str, *fields: dict[str, Any]) -> str:
    """A schema that no other test has."""
    name = f"R{subject.split('.')[1]}"
    return json.dumps({"type": "record", "name": name, "namespace": "test.v1", "doc": "A test.", "owner": "tests", "fields": list(fields)})


TEXT = {"name": "text", "type": "string", "doc": "Some text.", "dataClass": "internal"}
MORE = {"name": "more", "type": ["null", "string"], "doc": "More.", "default": None}
NUMBER = {"name": "number", "type": "long", "doc": "A number without a default."}


def test_what_was_registered_is_found_by_everybody(open_registry: Open, subject: str) -> None:
    text = schema(subject, TEXT)
    schema_id = open_registry().register(subject, text)
    assert schema_id > 0
    for registry in (open_registry(), open_registry()):
        assert json.loads(registry.schema(schema_id)) == json.loads(text)
        assert registry.id_of(subject, text) == schema_id
        assert list(registry.versions(subject)) == [schema_id]
        assert subject in registry.subjects()


def test_the_same_schema_has_the_same_id(open_registry: Open, subject: str) -> None:
    text = schema(subject, TEXT)
    registry, other = open_registry(), open_registry()
    schema_id = registry.register(subject, text)
    assert registry.register(subject, text) == other.register(subject, text) == schema_id
    assert other.register(f"other-{subject}", text) == schema_id
    assert list(other.versions(subject)) == [schema_id]


def test_versions_are_in_the_order_of_their_appearance(open_registry: Open, subject: str) -> None:
    first = open_registry().register(subject, schema(subject, TEXT))
    second = open_registry().register(subject, schema(subject, TEXT, MORE))
    assert first != second
    assert list(open_registry().versions(subject)) == [first, second]


def test_what_is_not_there_is_told(open_registry: Open, subject: str) -> None:
    registry = open_registry()
    assert registry.id_of(subject, schema(subject, TEXT)) is None
    assert list(registry.versions(subject)) == []
    assert subject not in registry.subjects()
    with pytest.raises(Undecodable, match="schema id 1999999999 is not at the registry"):
        registry.schema(1_999_999_999)


def test_another_version_or_another_subject_is_another_question(open_registry: Open, subject: str) -> None:
    registry = open_registry()
    registry.register(subject, schema(subject, TEXT))
    assert registry.id_of(subject, schema(subject, TEXT, MORE)) is None
    assert registry.id_of(f"other-{subject}", schema(subject, TEXT)) is None


def test_a_schema_that_comes_later_is_found_by_its_id(open_registry: Open, subject: str) -> None:
    reader = open_registry()
    reader.register(subject, schema(subject, TEXT))
    later = open_registry().register(subject, schema(subject, TEXT, MORE))
    assert json.loads(reader.schema(later))["fields"][1]["name"] == "more"


def test_threads_may_share_one(open_registry: Open, subject: str) -> None:
    registry = open_registry()
    text = schema(subject, TEXT)
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: registry.register(subject, text), range(16)))
        assert len(ids) == 1
        assert set(threads.map(lambda _: registry.id_of(subject, text), range(16))) == ids
    assert list(registry.versions(subject)) == list(ids)


def test_a_codec_writes_and_reads_by_it(open_registry: Open) -> None:
    registry = open_registry()
    registry.register(subject_of(OrderBooked), read(OrderBooked).text)
    writer, reader = AvroCodec(open_registry()), AvroCodec(open_registry())
    writer.prepare([OrderBooked])
    message = OrderBooked.model_validate(
        {"order_id": "1", "quote_id": "2", "legal_entity": "a", "currency": "NOK", "native_id": "7", "number": "8"}
        | {"total_amount": "1.5", "aggregate_version": 1}
    )
    value = writer.encode(message)
    schema_id = reader.unknown_schema(value)
    assert schema_id is not None
    reader.learn(schema_id)
    assert reader.decode(value, OrderBooked) == message


# On a Kafka topic


@pytest.fixture
def config(kafka_bootstrap: str) -> dict[str, Any]:
    return client_configuration(kafka_bootstrap)


@pytest.mark.kafka
def test_the_topic_is_compacted_and_has_one_partition(config: dict[str, Any], subject: str) -> None:
    EmbeddedRegistry(config).register(subject, schema(subject, TEXT))
    (topic,) = KafkaAdmin(config).describe([SCHEMAS_TOPIC.name])
    assert (topic.partitions, topic.compacted) == (1, True)


@pytest.mark.kafka
def test_all_schemas_of_the_fabric_are_pushed_in_seconds(config: dict[str, Any]) -> None:
    registry = EmbeddedRegistry(config)
    for file in read_all():
        registry.register(f"{file.topic}-value", file.text)
    AvroCodec(EmbeddedRegistry(config)).prepare(MESSAGES)


@pytest.mark.kafka
def test_what_is_no_schema_is_passed_over(config: dict[str, Any], subject: str) -> None:
    registry = EmbeddedRegistry(config)
    registry.register(subject, schema(subject, TEXT))
    producer = Producer(config)
    bad = {"subject": subject, "id": 7, "schema": schema(subject, TEXT, MORE)}
    for value in (b"no JSON", b"[]", b"{}", json.dumps(bad).encode(), None):
        producer.produce(SCHEMAS_TOPIC.name, key=b"bad", value=value)
    assert producer.flush(10) == 0
    later = EmbeddedRegistry(config).register(subject, schema(subject, TEXT, NUMBER))
    assert list(EmbeddedRegistry(config).versions(subject)) == [embedded.id_of(schema(subject, TEXT)), later]


@pytest.mark.kafka
def test_it_reads_to_the_end_past_transaction_markers(config: dict[str, Any], subject: str) -> None:
    """The last offset of a topic may be a marker, which no consumer is given."""
    registry = EmbeddedRegistry(config)
    registry.register(subject, schema(subject, TEXT))
    producer = Producer({**config, "transactional.id": subject})
    producer.init_transactions(20)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(SCHEMAS_TOPIC.name, key=subject.encode(), value=None)
        end(20)
    began_s = time.monotonic()
    assert subject in EmbeddedRegistry(config).subjects()
    assert subject in registry.subjects()
    assert time.monotonic() - began_s < embedded.ANSWER_WITHIN.total_seconds()


@pytest.mark.kafka
def test_an_unknown_id_is_looked_for_once_a_second(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def make(factory: Any, config: Any) -> Any:
        made.append(factory)
        return make_client(factory, config)

    monkeypatch.setattr(embedded, "make_client", make)
    registry = EmbeddedRegistry(config)
    for _ in range(1000):
        with pytest.raises(Undecodable):
            registry.schema(123)
    assert len(made) <= 3


@pytest.mark.kafka
def test_two_schemas_with_one_id_are_refused(config: dict[str, Any], subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "id_of", lambda _: 5)
    registry = EmbeddedRegistry(config)
    registry.register(subject, schema(subject, TEXT))
    with pytest.raises(ContractBroken, match="schema id 5 belongs to another schema"):
        registry.register(subject, schema(subject, TEXT, MORE))


def test_ids_follow_from_the_schema_alone() -> None:
    text = json.dumps({"type": "record", "name": "R", "fields": []}, indent=2)
    assert embedded.id_of(text) == embedded.id_of('{"name":"R","type":"record","fields":[]}') == 1_469_761_962
    assert all(0 < embedded.id_of(file.text) < 2**31 for file in read_all())
    assert len({embedded.id_of(file.text) for file in read_all()}) == len(read_all())


@pytest.mark.kafka
def test_it_leaves_no_threads_and_says_nothing(config: dict[str, Any], subject: str, capfd: pytest.CaptureFixture[str]) -> None:
    def threads() -> int:
        tasks = Path("/proc/self/task")  # those of librdkafka too, where the system tells
        return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()

    before = threads()
    for number in range(3):
        registry = EmbeddedRegistry(config)
        registry.register(subject, schema(subject, TEXT, {**MORE, "name": f"more{number}"}))
        registry.subjects()
    deadline_s = time.monotonic() + 10
    while threads() > before and time.monotonic() < deadline_s:
        threading.Event().wait(0.05)
    assert threads() <= before
    assert capfd.readouterr().err == ""


def test_a_broker_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "ANSWER_WITHIN", timedelta(seconds=1))
    registry = EmbeddedRegistry(client_configuration(f"127.0.0.1:{_closed_port()}"))
    with pytest.raises((Unavailable, Unreachable), match=r"fabric\.schemas\.v1"):
        registry.id_of("x-value", schema("x.y", TEXT))


# Behind Confluent's protocol


def test_the_registry_refuses_an_incompatible_version_in_its_own_words(apicurio_url: str, subject: str) -> None:
    registry = ConfluentRegistry(apicurio_url)
    registry.register(subject, schema(subject, TEXT))
    registry.register(subject, schema(subject, TEXT, MORE))
    with pytest.raises(ContractBroken, match=f"{subject}: the registry refuses the schema: .*ncompatible"):
        registry.register(subject, schema(subject, NUMBER))


def test_what_is_no_schema_is_refused(apicurio_url: str, subject: str) -> None:
    with pytest.raises(ContractBroken, match="the registry refuses"):
        ConfluentRegistry(apicurio_url).register(subject, '{"type": "nothing"}')


def test_a_registry_that_is_away_is_unavailable() -> None:
    registry = ConfluentRegistry(f"http://user:secret@127.0.0.1:{_closed_port()}", answer_within=timedelta(seconds=1))
    for call in (
        lambda: registry.schema(1),
        lambda: registry.id_of("s", schema("a.b", TEXT)),
        registry.subjects,
        lambda: registry.versions("s"),
    ):
        with pytest.raises(Unavailable, match=r"registry http://127\.0\.0\.1:\d+ does not answer") as caught:
            call()
        assert "secret" not in str(caught.value)


def test_a_registry_that_hangs_is_unavailable_in_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began_s = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer"):
            ConfluentRegistry(f"http://127.0.0.1:{silent.getsockname()[1]}", answer_within=timedelta(seconds=0.2)).schema(1)
        assert time.monotonic() - began_s < 5


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(401, 40101, BadCredential), (403, 40301, BadCredential), (500, 50001, Unavailable), (503, 0, Unavailable), (404, 40403, Undecodable)],
)
def test_answers_become_our_errors(status: int, code: int, error: type[Exception]) -> None:
    with _answering(status, {"error_code": code, "message": "no"}) as url, pytest.raises(error):
        ConfluentRegistry(url).schema(1)


def test_an_answer_that_is_no_json_is_unavailable() -> None:
    with _answering(200, "<html>a proxy</html>") as url, pytest.raises(Unavailable):
        ConfluentRegistry(url).schema(1)


@pytest.mark.parametrize("url", ["127.0.0.1:8081", "ftp://x", "file:///x"])
def test_a_wrong_url_is_said_to_be_one(url: str) -> None:
    with pytest.raises(UsageProblem, match="FABRIC_REGISTRY__URL"):
        ConfluentRegistry(url)


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _answering:  # noqa: N801 - reads as a function
    """A registry that always answers the same."""

    def __init__(self, status: int, body: object) -> None:
        text = (body if isinstance(body, str) else json.dumps(body)).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.kafka
@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_PARTITION, KafkaError._TRANSPORT, KafkaError.LEADER_NOT_AVAILABLE])
def test_a_broker_that_has_just_come_back_is_asked_again(kafka_bootstrap: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that starts at that moment would end otherwise."""
    registry = EmbeddedRegistry(client_configuration(kafka_bootstrap))
    ends, failures = registry._ends, [KafkaException(KafkaError(code))]

    def fail_once(consumer: Any) -> dict[int, int]:
        if failures:
            raise failures.pop()
        return ends(consumer)

    monkeypatch.setattr(registry, "_ends", fail_once)
    assert isinstance(registry.subjects(), list)
    assert not failures
