"""What every Kafka client of the fabric has in common: where the broker is, how to speak to it, and where librdkafka's log lines go."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from integration_fabric.messages.errors import UsageProblem

BOOTSTRAP_SETTING = "FABRIC_KAFKA__BOOTSTRAP"
SECURITY_SETTING = "FABRIC_KAFKA__SECURITY"
LOGGER = logging.getLogger("integration_fabric.kafka")
"""librdkafka writes to standard error where it is given no logger."""
AGAIN_S = 0.1
"""Between two attempts."""
REPEATED_AFTER_S = 60.0
"""librdkafka writes a line for every attempt to connect; one in this time says as much."""

_OWNED = frozenset(
    {
        "bootstrap.servers",
        "logger",
        "group.id",
        "group.protocol",
        "partition.assignment.strategy",
        "transactional.id",
        "enable.auto.commit",
        "enable.idempotence",
    }
)
"""What a setting must not change: guarantees depend on it, or another setting is for it."""

_MAX_LINES = 1000

Client = TypeVar("Client")


def client_configuration(bootstrap: str, *, security: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Configuration that consumers, producers and admin clients start from.

    Args:
        bootstrap: `host:port`, several separated by commas.
        security: Settings as librdkafka names them, e.g. `security.protocol`, `sasl.username`, `ssl.ca.location`.

    Raises:
        UsageProblem: A security setting is one that the fabric decides itself.
    """
    owned = _OWNED & (security or {}).keys()
    if owned:
        raise UsageProblem(f"{SECURITY_SETTING}: {', '.join(sorted(owned))} cannot be set here; remove it")
    return {
        "client.id": "integration-fabric",
        "log.connection.close": False,  # brokers close idle connections, which is no news
        **(security or {}),
        "bootstrap.servers": bootstrap,
        "logger": LOGGER,
    }


def make_client(factory: Callable[[dict[str, Any]], Client], configuration: Mapping[str, Any]) -> Client:
    """Make a client; it connects by itself, later.

    Args:
        factory: `Producer`, `Consumer` or `AdminClient`.
        configuration: From `client_configuration`, with what this client needs besides.

    Raises:
        UsageProblem: librdkafka refuses a setting.
    """
    try:
        return factory(dict(configuration))
    except KafkaException as error:
        raise UsageProblem(f"{SECURITY_SETTING}: {reason(error)}") from error


class _Repeats(logging.Filter):
    """Drops a line that was written lately, numbers aside."""

    def __init__(self) -> None:
        super().__init__()
        self._written_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        said = re.sub(r"\d+", "", record.getMessage())
        now_s = time.monotonic()
        if now_s - self._written_s.get(said, -REPEATED_AFTER_S) < REPEATED_AFTER_S:
            return False
        if len(self._written_s) >= _MAX_LINES:
            self._written_s.clear()
        self._written_s[said] = now_s
        return True


LOGGER.addFilter(_Repeats())
LOGGER.addHandler(logging.NullHandler())  # where logging is not set up, Python would write errors to standard error


def attempts(within_s: float) -> Iterator[bool]:
    """Go round a loop again and again for a while, for a broker that has not caught up with itself yet; in a thread.

    Yields:
        Whether this is the last time.
    """
    deadline_s, never = time.monotonic() + within_s, threading.Event()
    while True:
        is_last = time.monotonic() > deadline_s
        yield is_last
        if is_last:
            return
        never.wait(AGAIN_S)


def reason(error: KafkaException | KafkaError) -> str:
    """What librdkafka says, without its numbers."""
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    return str(inner.str()) if isinstance(inner, KafkaError) else str(inner)
