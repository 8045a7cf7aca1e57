"""Attacks on standing still: the dead letter at which a subscriber stops must reach its topic, whatever stands before it."""

from __future__ import annotations

import asyncio

from loop_bench import Bench, copier, tax_code

from integration_fabric.messages.errors import DataProblem
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.subscriber import Delivery


async def test_the_dead_letter_is_committed_past_what_stands_before_it(codec: Codec) -> None:
    """Version 1 of `slow` waits behind version 0 when `bad` fails, and stands below it; nothing is started any more."""

    async def handle(delivery: Delivery) -> None:
        if delivery.envelope.body.key == "bad":
            raise DataProblem(field="tax_code", value="x", hint="add it")
        if delivery.envelope.body.key == "slow":
            await delivery.pause(5)

    async with Bench(codec) as bench:
        for key, version in (("slow", 0), ("slow", 1), ("bad", 0), ("slow", 2), ("bad", 1)):
            bench.publish(tax_code(key, version))
        async with bench.running(copier(handle)) as member:
            await bench.until(lambda: member.loop.state is LoopState.STOPPED)
            await bench.until(bench.dead_letters)
            await bench.clock.sleep(60)
            assert bench.outcomes() == {0: ["applied"], 2: ["dead_lettered"]}


async def test_two_that_fail_at_once_in_two_partitions_both_reach_their_topic(codec: Codec) -> None:
    async def handle(delivery: Delivery) -> None:
        if delivery.envelope.body.key == "bad":
            await asyncio.sleep(0)
            raise DataProblem(field="tax_code", value="x", hint="add it")
        await delivery.pause(5)

    async with Bench(codec, partitions=2) as bench:
        for partition in (0, 1):
            for key, version in (("slow", 0), ("slow", 1), ("bad", 0), ("slow", 2)):
                bench.publish(tax_code(key, version), partition=partition, message_id=f"{partition}-{key}-{version}")
        async with bench.running(copier(handle)) as member:
            await bench.until(lambda: member.loop.state is LoopState.STOPPED)
            await bench.until(lambda: len(bench.dead_letters()) == 2)
            await bench.clock.sleep(60)
            assert sorted(bench.versions("slow")) == [0, 0]
