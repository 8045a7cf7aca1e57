"""Attack of a zombie: a worker that stood still in the middle of an action of two calls must not make the second one when it wakes."""

from __future__ import annotations

from datetime import timedelta

from http_server import serving

from integration_fabric.backends.memory.clock import FakeClock
from integration_fabric.connector_kit.http_client import http_client
from integration_fabric.delivery.deadline import sending_until
from integration_fabric.messages.errors import UnknownOutcome


async def test_nothing_is_sent_after_the_deadline_of_the_intent() -> None:
    """The answer of the first call is seen before the timeout is; a successor has asked the vendor meanwhile, and gone on."""
    clock = FakeClock()
    async with serving() as vendor, http_client(system="v", base_url=vendor.url, headers={}, answer_within=timedelta(seconds=5)) as client:

        async def action() -> str:
            await client.call("POST", "/first")
            await clock.advance(30)
            await client.call("POST", "/second")
            return "done"

        outcome = ""
        with sending_until(clock, clock.monotonic_s() + 11):
            try:
                outcome = await action()
            except UnknownOutcome as error:
                outcome = error.code
        assert outcome == "unknown-outcome"
        assert [path for _, path, _ in vendor.requests] == ["/first"]
        await client.call("POST", "/outside")
        assert len(vendor.requests) == 2
