"""One worker of several: says of each message which partition it was in and when its handler began. SIGTERM drains it."""

from __future__ import annotations

import asyncio
import json
import signal
import time

from integration_fabric.runtime.context import Context
from integration_fabric.runtime.outcomes import Applied, Outcome
from integration_fabric.runtime.policy import Policy
from integration_fabric.runtime.subscriber import Subscriber
from integration_fabric.telemetry import logs
from tests.performance.contest import Task, read_task
from tests.performance.invoices import InvoiceIssued, issued_on
from tests.performance.peers.fabric_worker import loop_of, open_store


async def main(task: Task) -> None:
    async def take(_: InvoiceIssued, context: Context[None]) -> Outcome:
        position = context.envelope.position
        assert position is not None
        print(json.dumps([position.partition, time.monotonic()]), flush=True)
        return Applied()

    subscriber = Subscriber(task.group, take, (issued_on(task.topic),), Policy(in_flight=task.in_flight))
    async with open_store(task) as database:
        loop = loop_of(task, subscriber.bind(None), database)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, loop.drain)
        await loop.run()


if __name__ == "__main__":
    logs.set_up(level="WARNING")
    asyncio.run(main(read_task()))
