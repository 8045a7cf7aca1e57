"""What a subscriber loop runs on: real Kafka and SQL, or their stand-ins in memory. `wiring` makes it."""

from __future__ import annotations

from dataclasses import dataclass

from integration_fabric.runtime.ports import Clock, Codec, Consumer, Leases, Redeliveries, Retained, Transactions


@dataclass(frozen=True, slots=True)
class Backing:
    """What a loop runs on."""

    consumer: Consumer
    transactions: Transactions
    leases: Leases
    codec: Codec
    clock: Clock
    redeliveries: Redeliveries | None = None
    """None where nothing is ever given once more."""
    retained: Retained | None = None
    """As above."""
