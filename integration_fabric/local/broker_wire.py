"""Two questions of Kafka's protocol, asked over a plain socket: whether a broker serves, and which cluster it is.

The only way to know without a client library that a broker serves, and that it is ours: a port that accepts says neither.
Formats: https://kafka.apache.org/protocol (ApiVersions 0 and Metadata 2, both with request header 1).
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

METADATA, API_VERSIONS = 3, 18
CORRELATION = 1
CLIENT = b"fabric"
TIMEOUT_S = 1.0

# An answer about no topic is some hundred bytes; a larger length is no Kafka's.
MOST_BYTES = 1 << 20


def serving_cluster(host: str, port: int) -> str | None:
    """The id of the cluster whose broker answers at an address and stands in its own list of brokers that serve.

    Returns:
        None if nothing answers there within a second or so, what answers is no Kafka, or it is not ready for clients.
    """
    # struct.error and ValueError: an answer in another language than Kafka's.
    with suppress(OSError, struct.error, ValueError), socket.create_connection((host, port), TIMEOUT_S) as connection:
        _speaks_kafka(_ask(connection, _request(API_VERSIONS, 0, b"")))
        no_topics = struct.pack(">i", 0)
        return _cluster(_ask(connection, _request(METADATA, 2, no_topics)))
    return None


def _request(api: int, version: int, body: bytes) -> bytes:
    message = struct.pack(">hhih", api, version, CORRELATION, len(CLIENT)) + CLIENT + body
    return struct.pack(">i", len(message)) + message


def _ask(connection: socket.socket, request: bytes) -> bytes:
    """Send a request and take its answer, which begins with its length and the request's correlation id."""
    connection.sendall(request)
    with connection.makefile("rb") as answers:
        (length,) = struct.unpack(">i", answers.read(4))
        answer = answers.read(length) if 0 < length <= MOST_BYTES else b""
    if struct.unpack_from(">i", answer) != (CORRELATION,):
        raise ValueError
    return answer[4:]


def _speaks_kafka(answer: bytes) -> None:
    (error,) = struct.unpack_from(">h", answer)
    if error:
        raise ValueError


def _cluster(answer: bytes) -> str | None:
    """`[brokers: node id, host, port, rack?] cluster id? controller id ...`; the brokers are those that serve."""
    (brokers,) = struct.unpack_from(">i", answer)
    place = 4
    for _ in range(brokers):
        _, place = _text(answer, place + 4)
        _, place = _text(answer, place + 4)
    cluster, _ = _text(answer, place)
    return cluster.decode("ascii") if brokers else None


def _text(answer: bytes, place: int) -> tuple[bytes, int]:
    """A nullable string, and where it ends; null is empty here."""
    (length,) = struct.unpack_from(">h", answer, place)
    end = place + 2 + max(length, 0)
    return answer[place + 2 : end], end
