"""Publishing to the memory broker from outside a subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from integration_fabric.backends.memory.broker import MemoryBroker
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import Unavailable
from integration_fabric.runtime.envelopes import encode_envelope
from integration_fabric.runtime.ports import Codec, Publisher
from integration_fabric.runtime.records import Outgoing


class MemoryPublisher(Publisher):
    """Implements `runtime.ports.Publisher`."""

    def __init__(self, *, broker: MemoryBroker, codec: Codec) -> None:
        self._broker, self._codec = broker, codec
        self._failures: list[int] = []

    def fail_next(self, *, after: int = 0) -> None:
        """The next `publish` acknowledges this many and then raises Unavailable."""
        self._failures.append(after)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish all of them."""
        await self.put([encode_envelope(envelope, self._codec) for envelope in envelopes])

    async def put(self, records: Sequence[Outgoing]) -> None:
        """Publish records as they are."""
        missing = {record.topic for record in records}.difference(self._broker.topics())
        if missing:
            raise Unavailable(
                f"{', '.join(sorted(missing))}: not acknowledged (there is no such topic); make it with `fabric topics apply`"
            )
        await asyncio.sleep(0)
        failing = bool(self._failures)
        for record in records[: self._failures.pop(0)] if failing else records:
            self._broker.append(record)
        if failing:
            raise Unavailable("told to fail: not all were acknowledged")
