"""Topics as they should be, and as they are. `fabric topics`, `fabric up` and `fabric doctor` call it; it never deletes.

Blocking and bounded in time: call it in a thread where an event loop runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource, NewTopic

from integration_fabric.backends.kafka.client import BOOTSTRAP_SETTING, make_client, reason
from integration_fabric.backends.kafka.transactions import MAX_RECORD_BYTES
from integration_fabric.delivery.dead_letters import topic_of
from integration_fabric.messages.errors import Unavailable, Unreachable, UsageProblem

DEFAULT_PARTITIONS = 4
MAX_DEFAULT_REPLICAS = 3
REACH_WITHIN = timedelta(seconds=5)
ANSWER_WITHIN = timedelta(seconds=30)
"""For making topics: a broker that has just started takes seconds for a hundred."""

_REMEMBERED = 10
_CLEANUP_POLICY = "cleanup.policy"
_Answer = TypeVar("_Answer")


class TopicSpec(Protocol):
    """A topic that must be there."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def partitions(self) -> int:
        """How many partitions it is made with."""
        ...

    @property
    def compacted(self) -> bool:
        """Whether it keeps only the latest record of each key."""
        ...


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """A topic that must be there, with what most have."""

    name: str
    partitions: int = DEFAULT_PARTITIONS
    compacted: bool = False


class TopicState(StrEnum):
    """What `apply` found or did."""

    MADE = "made"
    THERE = "there"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class AppliedTopic:
    """What became of one wanted topic."""

    name: str
    state: TopicState
    differences: tuple[str, ...] = ()
    """Of a topic that was there and differs, e.g. `cleanup.policy is delete, not compact`. A person decides what to do."""


@dataclass(frozen=True, slots=True)
class DescribedTopic:
    """A topic as it is."""

    name: str
    partitions: int
    replication_factor: int
    compacted: bool


class KafkaAdmin:
    """Asks and changes the broker.

    Args:
        config: From `client_configuration`.
        replication_factor: Of topics that are made; three where there are as many brokers, else as many as there are.
    """

    def __init__(self, config: Mapping[str, Any], *, replication_factor: int | None = None) -> None:
        self._bootstrap = config["bootstrap.servers"]
        self._replication_factor = replication_factor
        self._errors: deque[KafkaError] = deque(maxlen=_REMEMBERED)
        self._client = make_client(AdminClient, {**config, "error_cb": self._errors.append})  # not a method: a cycle would keep its threads

    def reach(self, *, within: timedelta = REACH_WITHIN) -> int:
        """See whether a broker answers.

        Returns:
            How many brokers there are.

        Raises:
            Unreachable: None answers; names the setting, the address and what went wrong.
        """
        try:
            return len(self._client.list_topics(timeout=within.total_seconds()).brokers)
        except KafkaException as error:
            self._client.poll(0)  # serves the callback that says why
            causes = [said for said in self._errors if said.code() != KafkaError._ALL_BROKERS_DOWN]  # noqa: SLF001 - the library's own name
            why = reason(causes[0] if causes else error)
            raise Unreachable(
                f"{BOOTSTRAP_SETTING}: no Kafka broker answered at {self._bootstrap} within {within.total_seconds():g} s ({why}); "
                "start one with `fabric up`, or correct the address or the security settings"
            ) from error

    def describe(self, names: Sequence[str] | None = None) -> Sequence[DescribedTopic]:
        """Topics as they are, by name.

        Args:
            names: Which; those that are not there are left out. All but Kafka's own if None.

        Raises:
            Unreachable: No broker answers.
            Unavailable: The broker does not tell.
        """
        self.reach()
        topics = self._ask(lambda: self._client.list_topics(timeout=ANSWER_WITHIN.total_seconds())).topics
        found = sorted(name for name in topics if not name.startswith("__") and (names is None or name in names))
        policies = self._policies(found)
        return [
            DescribedTopic(
                name,
                partitions=len(topics[name].partitions),
                replication_factor=min((len(partition.replicas) for partition in topics[name].partitions.values()), default=0),
                compacted="compact" in policies[name].split(","),
            )
            for name in found
        ]

    def apply(self, wanted: Sequence[TopicSpec]) -> Sequence[AppliedTopic]:
        """Make the topics that are missing; what differs is told and left as it is.

        Returns:
            What became of each, in the order of `wanted`.

        Raises:
            Unreachable: No broker answers.
            UsageProblem: The broker refuses a topic, e.g. more replicas than brokers.
            Unavailable: The broker did not answer in time; applying again is safe.
        """
        brokers = self.reach()
        there = {topic.name: topic for topic in self.describe([topic.name for topic in wanted])}
        made = self._make([topic for topic in wanted if topic.name not in there], min(MAX_DEFAULT_REPLICAS, brokers))
        return [
            AppliedTopic(topic.name, TopicState.MADE) if topic.name in made else _compared(topic, there.get(topic.name)) for topic in wanted
        ]

    def _make(self, missing: Sequence[TopicSpec], replicas: int) -> set[str]:
        if not missing:
            return set()
        new = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=self._replication_factor or replicas,
                config=_settings_of(topic),
            )
            for topic in missing
        ]
        bound_s = ANSWER_WITHIN.total_seconds()
        answers: Mapping[str, Future[None]] = self._client.create_topics(new, operation_timeout=bound_s, request_timeout=bound_s)
        return {name for name, answer in answers.items() if self._is_made(name, answer)}

    def _is_made(self, name: str, answer: Future[None]) -> bool:
        """False where another process was faster."""
        try:
            self._ask(lambda: answer.result(ANSWER_WITHIN.total_seconds()))
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise UsageProblem(f"topic {name}: {reason(error)}") from error
        return True

    def _policies(self, names: Sequence[str]) -> dict[str, str]:
        if not names:
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        answers: Mapping[ConfigResource, Future[Mapping[str, ConfigEntry]]] = self._client.describe_configs(
            resources, request_timeout=ANSWER_WITHIN.total_seconds()
        )
        return {resource.name: self._policy(answer) for resource, answer in answers.items()}

    def _policy(self, answer: Future[Mapping[str, ConfigEntry]]) -> str:
        return str(self._ask(lambda: answer.result(ANSWER_WITHIN.total_seconds()))[_CLEANUP_POLICY].value)

    def _ask(self, call: Callable[[], _Answer]) -> _Answer:
        """Call, and tell a broker that is away from one that refuses."""
        try:
            return call()
        except TimeoutError as error:
            raise Unavailable(f"Kafka at {self._bootstrap} did not answer within {ANSWER_WITHIN.total_seconds():g} s") from error
        except KafkaException as error:
            if error.args[0].retriable() or error.args[0].code() in _AWAY:
                raise Unavailable(f"Kafka at {self._bootstrap}: {reason(error)}") from error
            raise


def _settings_of(topic: TopicSpec) -> dict[str, str]:
    settings = {_CLEANUP_POLICY: "compact"} if topic.compacted else {}
    if topic.name.startswith(topic_of("")):
        # a dead letter is as large as its record, and what is known of it besides: one that did not fit would keep all commits back
        settings["max.message.bytes"] = str(MAX_RECORD_BYTES)
    return settings


_AWAY = {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN}  # noqa: SLF001 - the library's own names


def _compared(wanted: TopicSpec, there: DescribedTopic | None) -> AppliedTopic:
    if there is None:  # another process made it while we looked
        return AppliedTopic(wanted.name, TopicState.THERE)
    differences = []
    if there.partitions != wanted.partitions:
        differences.append(f"partitions are {there.partitions}, not {wanted.partitions}")
    if there.compacted != wanted.compacted:
        differences.append(f"{_CLEANUP_POLICY} is {_policy(there.compacted)}, not {_policy(wanted.compacted)}")
    return AppliedTopic(wanted.name, TopicState.DIFFERS if differences else TopicState.THERE, tuple(differences))


def _policy(compacted: bool) -> str:
    return "compact" if compacted else "delete"
