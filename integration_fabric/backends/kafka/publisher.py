"""Publishes from outside a subscriber: webhooks, pollers, tools. An idempotent producer; its reports are awaited once for each batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message as KafkaMessage, Producer

from integration_fabric.backends.kafka.client import make_client, reason
from integration_fabric.messages.envelope import Envelope, to_headers
from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import Outgoing

DELIVER_WITHIN = timedelta(seconds=30)
CLOSE_WITHIN = timedelta(seconds=5)
TURN = 256
"""Envelopes encoded or produced before others get the event loop: about 5 ms."""

_POLL_S = 0.1
"""How long the poll thread waits for a report; it wakes when one comes, and looks this often whether it is to end."""
_PURGE_S = 1.0
"""How long the reports of what was given up may take; nothing is sent for them."""
_REPORT_GRACE_S = 5.0
"""librdkafka reports every record within its delivery timeout; this much later it is taken to be stuck."""


class KafkaPublisher:
    """`runtime.ports.Publisher` on Kafka.

    Args:
        codec: Prepared for what is published.
        config: From `client_configuration`.
        deliver_within: After that, a record that was not acknowledged is given up.
    """

    def __init__(self, *, codec: Codec, config: Mapping[str, Any], deliver_within: timedelta = DELIVER_WITHIN) -> None:
        self._codec = codec
        self._deliver_within_s = deliver_within.total_seconds()
        self._config = {
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 100_000,
            "queue.buffering.max.kbytes": 65_536,
            "topic.metadata.propagation.max.ms": 5_000,  # how long a topic that was just made may be unknown
            **config,
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": int(deliver_within.total_seconds() * 1000),
        }
        self._sender = _Sender(self._config)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish; returned means acknowledged by all replicas.

        Raises:
            ContractBroken: A body breaks its schema; nothing was sent.
            Unavailable: Not all were acknowledged. Publishing again is safe: ids are the same.
        """
        values: list[bytes] = []
        for start in range(0, len(envelopes), TURN):
            values.extend(self._codec.encode(envelope.body) for envelope in envelopes[start : start + TURN])
            await asyncio.sleep(0)
        if values:
            await self._send(_encoded(self._codec, envelopes, values), len(values), envelopes[0].body.topic)

    async def put(self, records: Sequence[Outgoing]) -> None:
        """Publish records as they are. Raises Unavailable as `publish`."""
        if records:
            plain = (_Record(record.topic, record.key, record.value, list(record.headers)) for record in records)
            await self._send(plain, len(records), records[0].topic)

    async def close(self) -> None:
        """Wait for what is under way, a few seconds at most, and end."""
        await asyncio.to_thread(self._sender.close, CLOSE_WITHIN.total_seconds())

    async def _send(self, records: Iterator[_Record], count: int, first_topic: str) -> None:
        if self._sender.is_broken:
            broken, self._sender = self._sender, _Sender(self._config)
            await asyncio.to_thread(broken.close, 0.0)
        batch = _Batch(count, asyncio.get_running_loop())
        try:
            async with asyncio.timeout(self._deliver_within_s + _REPORT_GRACE_S):
                for _ in range(0, count, TURN):
                    await self._produce(islice(records, TURN), batch)
                    await asyncio.sleep(0)
                await batch.done
        except TimeoutError as error:
            raise Unavailable(f"{first_topic}: not acknowledged within {self._deliver_within_s:g} s") from error

    async def _produce(self, records: Iterable[_Record], batch: _Batch) -> None:
        for record in records:
            while not self._sender.produce(record, batch):
                await asyncio.to_thread(self._sender.wait_for_room)


def _encoded(codec: Codec, envelopes: Sequence[Envelope], values: Sequence[bytes]) -> Iterator[_Record]:
    """Headers are made here and not before: ten for each record, kept for a large batch, keep the garbage collector busy."""
    for envelope, value in zip(envelopes, values, strict=True):
        body = envelope.body
        yield _Record(body.topic, body.key.encode(), value, to_headers(envelope, dataschema=codec.dataschema(type(body))))


_NO_TOPIC = {KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART}  # noqa: SLF001 - the library's own name for it


class _Record(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class _Batch:
    """Reports of one `publish`. The poll thread counts them; the event loop hears of the last one only."""

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self._missing = size
        self._loop = loop
        self._failure: str | None = None
        self.done: asyncio.Future[None] = loop.create_future()

    def reported(self, error: KafkaError | None, message: KafkaMessage) -> None:
        """One record was acknowledged, or given up. Called on the poll thread alone."""
        if error is not None and self._failure is None:
            remedy = "; make it with `fabric topics apply`" if error.code() in _NO_TOPIC else ""
            self._failure = f"{message.topic()}: not acknowledged ({reason(error)}){remedy}"
        self._missing -= 1
        if self._missing == 0 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if self.done.done():
            return
        if self._failure is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(Unavailable(self._failure))
            self.done.exception()  # seen, even where whoever published was cancelled and waits no longer


class _Sender:
    """A producer and the thread that polls it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._producer = make_client(Producer, dict(config))
        self._produce: Any = self._producer.produce
        self._closing = threading.Event()
        self._close_within_s = 0.0
        self._reported = threading.Event()
        self.is_broken = False
        """A fatal error befell it: it will never send again."""
        self._thread = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._thread.start()

    def produce(self, record: _Record, batch: _Batch) -> bool:
        """Queue one record; False where the queue is full."""
        topic, key, value, headers = record
        try:
            self._produce(topic, value, key, on_delivery=batch.reported, headers=headers)
        except BufferError:
            return False
        except KafkaException as error:
            self.is_broken = error.args[0].code() == KafkaError._FATAL  # noqa: SLF001 - the library's own name for it
            raise Unavailable(f"{topic}: not sent ({reason(error)})") from error
        return True

    def wait_for_room(self) -> None:
        """Block until records were reported, or for a moment. Reports make room in the queue."""
        self._reported.clear()
        self._reported.wait(_POLL_S)

    def close(self, within_s: float) -> None:
        """Flush, bounded, and end the thread; what was not sent by then is given up, and reported so."""
        self._close_within_s = within_s
        self._closing.set()
        self._thread.join(within_s + _POLL_S + _PURGE_S)

    def _poll(self) -> None:
        """Every report is counted on this thread, to the last one."""
        while not self._closing.is_set():
            if self._producer.poll(_POLL_S):
                self._reported.set()
        if self._producer.flush(self._close_within_s):
            self._producer.purge()
            self._producer.flush(_PURGE_S)
