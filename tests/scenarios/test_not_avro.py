"""Bytes that are no Avro: on the dead-letter topic byte for byte, with everything that is known, and the worker goes on."""

from __future__ import annotations

from uuid import uuid4

from integration_fabric.delivery.dead_letters import view
from integration_fabric.runtime.lag import LoopState
from integration_fabric.testing.world import World
from integration_fabric.wiring.drivers import Footprint

TOPIC = "cpq.quote-approved.v1"
DEAD_LETTERS = "dlq.process.quote-to-activation"


async def test_bytes_that_are_no_message_are_kept_and_the_worker_goes_on(world: World) -> None:
    key, value = f"Q-{uuid4().hex}".encode(), b"\xff\x00\xfe not avro \x00" + uuid4().bytes
    headers = [("x-origin", b"\x00\x01\xff"), ("ce_id", b"from-elsewhere")]

    await world.put_raw(TOPIC, key=key, value=value, headers=headers)
    quote = await world.cpq.approve_quote()
    await world.settle()

    (record,) = [record for record in await world.records(DEAD_LETTERS) if record.key == key]
    assert (record.key, record.value) == (key, value)
    assert record.headers is not None
    assert record.headers[:2] == headers
    dead = view(record)
    assert (dead.failure, dead.code, dead.position.topic) == ("undecodable", "undecodable", TOPIC)
    assert dead.message_id == "from-elsewhere"
    assert dead.attempts == 1
    assert all(loop.state is LoopState.RUNNING for loop in world.loops)
    assert await quote.footprint() == Footprint(orders=1, subscriptions=1, entitlements=1, onboardings=1)


async def test_an_unknown_schema_id_is_a_dead_letter_too(world: World) -> None:
    key = f"Q-{uuid4().hex}".encode()

    await world.put_raw(TOPIC, key=key, value=b"\x00\x7f\xff\xff\xff\x02ab")
    await world.settle()

    (record,) = [record for record in await world.records(DEAD_LETTERS) if record.key == key]
    assert view(record).code == "undecodable"
    assert all(item.balanced for item in await world.balances())
