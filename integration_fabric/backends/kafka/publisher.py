"""Publishes from outside a subscriber: webhooks, pollers, tools. An idempotent producer, whose delivery reports are awaited once for each batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message as KafkaMessage, Producer

from integration_fabric.backends.kafka.client import make_client, reason
from integration_fabric.messages.base import Message
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
_FULL_S = 0.005
"""How long to wait when librdkafka's queue is full; the broker takes a few thousand records in that time."""
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
            **config,
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": int(deliver_within.total_seconds() * 1000),
        }
        self._dataschemas: dict[type[Message], str] = {}
        self._sender = _Sender(self._config)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish; returned means acknowledged by all replicas.

        Raises:
            ContractBroken: A body breaks its schema; nothing was sent.
            Unavailable: Not all were acknowledged. Publishing again is safe: ids are the same.
        """
        records: list[Outgoing] = []
        for start in range(0, len(envelopes), TURN):
            records.extend(self._record(envelope) for envelope in envelopes[start : start + TURN])
            if start + TURN < len(envelopes):
                await asyncio.sleep(0)
        if records:
            await self._send(records)

    async def close(self) -> None:
        """Wait for what is under way, a few seconds at most, and end."""
        await asyncio.to_thread(self._sender.close, CLOSE_WITHIN.total_seconds())

    def _record(self, envelope: Envelope) -> Outgoing:
        body = envelope.body
        kind = type(body)
        value = self._codec.encode(body)
        dataschema = self._dataschemas.get(kind)
        if dataschema is None:
            dataschema = self._dataschemas[kind] = self._codec.dataschema(kind)
        return Outgoing(body.topic, body.key.encode(), value, tuple(to_headers(envelope, dataschema=dataschema)))

    async def _send(self, records: Sequence[Outgoing]) -> None:
        if self._sender.is_broken:
            broken, self._sender = self._sender, _Sender(self._config)
            await asyncio.to_thread(broken.close, 0.0)
        batch = _Batch(len(records), asyncio.get_running_loop())
        try:
            async with asyncio.timeout(self._deliver_within_s + _REPORT_GRACE_S):
                for start in range(0, len(records), TURN):
                    await self._produce(records[start : start + TURN], batch)
                    await asyncio.sleep(0)
                await batch.done
        except TimeoutError as error:
            raise Unavailable(f"{records[0].topic}: not acknowledged within {self._deliver_within_s:g} s") from error

    async def _produce(self, records: Sequence[Outgoing], batch: _Batch) -> None:
        for record in records:
            while not self._sender.produce(record, batch):
                await asyncio.sleep(_FULL_S)


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
            self._failure = f"{message.topic()}: not acknowledged ({reason(error)})"
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


class _Sender:
    """A producer and the thread that polls it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._producer = make_client(Producer, {**config, "error_cb": self._failed})
        self._closing = threading.Event()
        self.is_broken = False
        """A fatal error: this producer will never send again."""
        self._thread = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._thread.start()

    def produce(self, record: Outgoing, batch: _Batch) -> bool:
        """Queue one record; False where the queue is full."""
        try:
            self._producer.produce(
                record.topic, value=record.value, key=record.key, headers=record.headers, on_delivery=batch.reported
            )
        except BufferError:
            return False
        except KafkaException as error:
            self._failed(error.args[0])
            raise Unavailable(f"{record.topic}: not sent ({reason(error)})") from error
        return True

    def close(self, within_s: float) -> None:
        """Flush, bounded, and end the thread; what was not sent by then is given up, and reported so."""
        self._producer.flush(within_s)
        self._producer.purge()
        self._producer.flush(0)
        self._closing.set()
        self._thread.join(within_s + _POLL_S)

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_S)

    def _failed(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 - the library's own name for it
            self.is_broken = True
