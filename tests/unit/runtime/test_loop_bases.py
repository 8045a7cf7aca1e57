"""What a subscriber says is committed: below it nothing comes again, so what is remembered of it may be forgotten."""

from __future__ import annotations

from collections.abc import Mapping

from loop_bench import NAME, Bench, Member, copier, tax_code

from integration_fabric.messages.errors import DataProblem
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.ports import Codec, Fence
from integration_fabric.runtime.subscriber import Delivery


def by_partition(bases: Mapping[Fence, int]) -> dict[int, int]:
    return {fence.partition: base for fence, base in bases.items()}


def committed(bench: Bench) -> dict[int, int]:
    return {p.partition: bench.broker.position(NAME, p).offset for p in bench.broker.partitions("erp.tax-code-changed.v1")}


async def taken_over(bench: Bench, member: Member) -> None:
    await bench.until(member.loop.partitions)


async def test_it_is_what_kafka_has(codec: Codec) -> None:
    async with Bench(codec, partitions=3) as bench:
        bench.publish_many(("a", "b", "c", "d"), 5)
        async with bench.running(copier()) as member:
            assert member.loop.bases() == {}
            await bench.until_committed()
            await bench.until(lambda: not member.loop.busy)
            assert by_partition(member.loop.bases()) == committed(bench)
        async with bench.running(copier()) as successor:
            await taken_over(bench, successor)
            assert by_partition(successor.loop.bases()) == committed(bench)
            assert {fence.epoch for fence in successor.loop.bases()} == {2}


async def test_what_is_done_and_not_committed_is_not_below_it(codec: Codec) -> None:
    """A transaction takes five seconds, from its sending to its answer."""
    async with Bench(codec) as bench, bench.running(copier(), latency_s=5) as member:
        await taken_over(bench, member)
        bench.publish(tax_code("a", 0))
        await bench.clock.sleep(2)
        assert by_partition(member.loop.bases()) == {0: 0}
        await bench.until(lambda: by_partition(member.loop.bases()) == {0: 1})
        assert bench.is_committed()


async def test_a_slow_message_keeps_it_while_later_ones_are_committed(codec: Codec) -> None:
    async def handle(delivery: Delivery) -> None:
        if delivery.envelope.body.key == "slow":
            await delivery.pause(60)

    async with Bench(codec) as bench:
        bench.publish_many(("a", "slow", "b", "c"), 1)
        async with bench.running(copier(handle)) as member:
            await bench.until(lambda: len(bench.copies()) == 3)
            await bench.clock.sleep(1)
            assert by_partition(member.loop.bases()) == {0: 1}


async def test_one_that_stands_still_says_nothing(codec: Codec) -> None:
    async def refuse(delivery: Delivery) -> None:
        raise DataProblem(field="tax_code", value="x", hint="add it")

    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        async with bench.running(copier(refuse)) as member:
            await bench.until(lambda: member.loop.state is LoopState.STOPPED)
            await bench.until_committed()
            assert member.loop.bases() == {}
