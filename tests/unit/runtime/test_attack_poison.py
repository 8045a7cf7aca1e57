"""Attacks with records that are legal on a topic and that nobody expected: one of them must not end the subscriber for all others."""

from __future__ import annotations

import pytest
from loop_bench import Bench, copier, tax_code

from integration_fabric.messages.errors import ContractBroken
from integration_fabric.runtime.ports import Codec
from integration_fabric.runtime.records import Record
from integration_fabric.runtime.subscriber import Delivery

TIMES = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999+00:00", "0001-01-01T00:00:00+00:00")


@pytest.mark.parametrize("time", TIMES)
async def test_a_time_at_the_end_of_the_calendar(codec: Codec, time: str) -> None:
    async with Bench(codec) as bench:
        bench.append(b"k", codec.encode(tax_code("k", 1)), [("ce_id", b"m"), ("ce_time", time.encode())])
        bench.publish(tax_code("k", 2))
        async with bench.running(copier()):
            await bench.until_committed()
    assert bench.versions("k") == [1, 2]


@pytest.mark.parametrize("timestamp_ms", [-(10**17), -1, 10**15, 2**63 - 1])
@pytest.mark.parametrize("readable", [True, False])
async def test_a_timestamp_beyond_the_calendar(codec: Codec, timestamp_ms: int, *, readable: bool) -> None:
    async with Bench(codec) as bench:
        bench.append(b"k", codec.encode(tax_code("k", 1)) if readable else b"no avro")
        log = bench.broker._log(bench.broker.partitions("erp.tax-code-changed.v1")[0])
        first = log.entries[0]
        assert isinstance(first, Record)
        log.entries[0] = first._replace(timestamp_ms=timestamp_ms)
        bench.publish(tax_code("k", 2))
        async with bench.running(copier()):
            await bench.until_committed()
    assert bench.versions("k") == ([1, 2] if readable else [2])


async def test_an_outcome_whose_text_no_record_carries(codec: Codec) -> None:
    async def handle(delivery: Delivery) -> None:
        if delivery.envelope.body.key == "bad":
            raise ContractBroken("\ud800 \x00 " + "x" * 5000)

    async with Bench(codec) as bench:
        bench.append(
            None,
            codec.encode(tax_code("bad", 1)),
            [("ce_id", b"\xff"), ("ce_businesskeys", b"a=%ED%A0%80;\xff=1"), ("ce_correlationid", b"\xff")],
        )
        bench.publish(tax_code("k", 2))
        async with bench.running(copier(handle)):
            await bench.until_committed()
    assert bench.versions("k") == [2]
