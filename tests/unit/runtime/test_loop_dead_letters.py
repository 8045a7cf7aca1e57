"""What a message that cannot be applied does to its key, its subscriber and its successors (guarantees G4 and G5)."""

from __future__ import annotations

import pytest
from loop_bench import NAME, Bench, copier, tax_code

from integration_fabric.messages.errors import DataProblem, Transient, Unavailable
from integration_fabric.messages.master_data import TaxCodeChanged
from integration_fabric.runtime.lag import LoopState
from integration_fabric.runtime.policy import AtDeadLetter, Policy
from integration_fabric.runtime.ports import Codec, Stop
from integration_fabric.runtime.records import Record, TopicPartition
from integration_fabric.runtime.subscriber import Delivery

SKIP = Policy(at_dead_letter=AtDeadLetter.SKIP)
TAX_CODES = TopicPartition("erp.tax-code-changed.v1", 0)


async def refuse_bad(delivery: Delivery) -> None:
    body = delivery.envelope.body
    assert isinstance(body, TaxCodeChanged)
    if body.key == "bad" or (body.key, body.aggregate_version) == ("a", 2):
        raise DataProblem(field="tax_code", value="x", hint="add it", code="unknown-tax-code")


def headers(record: Record) -> dict[str, str]:
    return {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers or ()}


async def test_a_dead_letter_of_a_key_stops_the_subscriber(codec: Codec) -> None:
    """Version 2 of `a` fails: versions 3 and 4 do not overtake it."""
    async with Bench(codec) as bench:
        bench.publish_many(("a",), 5)
        async with bench.running(copier(refuse_bad)) as member:
            await bench.until(bench.dead_letters)
            assert member.loop.state is LoopState.STOPPED
            assert member.loop.stop == Stop(TAX_CODES, 2, b"a", "unknown-tax-code", "tax_code='x': add it")
            assert bench.lag() == 2
    assert bench.versions("a") == [0, 1]
    assert bench.outcomes() == {0: ["applied"], 1: ["applied"], 2: ["dead_lettered"]}


async def test_whoever_takes_over_stands_still_at_the_same_place(codec: Codec) -> None:
    async with Bench(codec) as bench:
        bench.publish_many(("a",), 5)
        async with bench.running(copier(refuse_bad)):
            await bench.until(bench.dead_letters)
        async with bench.running(copier()) as successor:
            await bench.until(lambda: successor.loop.state is LoopState.STOPPED)
            assert successor.loop.stop is not None
            assert successor.loop.stop.offset == 2
            await bench.clock.sleep(60)
    assert bench.versions("a") == [0, 1]
    assert len(bench.dead_letters()) == 1


async def test_r23_a_stop_that_kafka_does_not_confirm_is_void(codec: Codec) -> None:
    """R23: the worker dies after it wrote the stop and before it committed the dead letter: its successor handles the message again."""
    async with Bench(codec) as bench:
        bench.publish_many(("a",), 5)
        first = bench.start(copier(refuse_bad), latency_s=5)
        await bench.until(lambda: first.loop.stop)
        await first.kill()
        assert bench.dead_letters() == []
        async with bench.running(copier()):
            await bench.until_committed()
    assert bench.versions("a") == [0, 1, 2, 3, 4]


async def test_with_policy_skip_the_subscriber_goes_on(codec: Codec) -> None:
    async with Bench(codec) as bench:
        bench.publish_many(("a",), 5)
        async with bench.running(copier(refuse_bad, policy=SKIP)) as member:
            await bench.until_committed()
            assert member.loop.stop is None
    assert bench.versions("a") == [0, 1, 3, 4]
    assert len(bench.dead_letters()) == 1


async def test_a_dead_letter_without_a_key_blocks_nothing(codec: Codec) -> None:
    async with Bench(codec) as bench:
        bench.append(None, codec.encode(tax_code("bad", 0)))
        bench.publish_many(("good",), 3)
        async with bench.running(copier(refuse_bad)) as member:
            await bench.until_committed()
            assert member.loop.stop is None
    assert bench.versions("good") == [0, 1, 2]
    assert len(bench.dead_letters()) == 1


async def test_r21_bytes_that_are_no_message_are_kept_byte_for_byte_and_the_loop_goes_on(codec: Codec) -> None:
    """R21: records are decoded one by one, and what cannot be is a dead letter as it came."""
    poison = b"\x00\x00\x00\x00\x01\xff\xfe not avro \x00"
    async with Bench(codec) as bench:
        bench.append(b"\xff\x00key", poison, [("foreign", b"\x80\x81"), ("ce_id", b"poison-1")])
        bench.append(b"k", b"", [])
        bench.append(b"k", None, [])
        bench.append(b"k", b"\x00\x00\x01\x00\x00unknown schema id", [])
        bench.publish_many(("good",), 2)
        async with bench.running(copier()) as member:
            await bench.until_committed()
            assert member.loop.stop is None
    first, *others = bench.dead_letters()
    assert (first.key, first.value) == (b"\xff\x00key", poison)
    assert (first.headers or [])[:2] == [("foreign", b"\x80\x81"), ("ce_id", b"poison-1")]
    assert headers(first)["fabric_dlq_class"] == "undecodable"
    assert [other.value for other in others] == [b"", None, b"\x00\x00\x01\x00\x00unknown schema id"]
    assert bench.versions("good") == [0, 1]


@pytest.mark.parametrize("value", [b"\x02", b"\x00\x00\x00\x00", b"12345"])
async def test_r21_a_payload_whose_schema_id_stands_in_a_header_keeps_that_header(codec: Codec, value: bytes) -> None:
    """R21: short payloads with ids in headers are not what is read here; the dead letter carries the header, or nobody could read it."""
    schema = ("__value_schema_id", b"\x01" + bytes(range(16)))
    async with Bench(codec) as bench:
        bench.append(b"k", value, [schema])
        async with bench.running(copier()):
            await bench.until_committed()
    (dead,) = bench.dead_letters()
    assert dead.value == value
    assert schema in (dead.headers or [])


async def test_a_dead_letter_says_what_was_tried_and_when(codec: Codec) -> None:
    async def fail(delivery: Delivery) -> None:
        raise Transient("the row is locked")

    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        async with bench.running(copier(fail, policy=Policy(max_attempts=3))):
            await bench.until(bench.dead_letters)
    said = headers(bench.dead_letters()[0])
    assert said["fabric_dlq_subscriber"] == NAME
    assert said["fabric_dlq_topic"] == "erp.tax-code-changed.v1"
    assert (said["fabric_dlq_class"], said["fabric_dlq_code"], said["fabric_dlq_message"]) == (
        "transient",
        "transient",
        "the row is locked",
    )
    assert said["fabric_dlq_attempts"] == "3"
    assert said["fabric_dlq_first_failed_at"] < said["fabric_dlq_last_failed_at"]
    (transition,) = bench.transitions()
    assert (transition.outcome, transition.code, transition.attempts) == ("dead_lettered", "transient", 3)


async def test_a_defect_is_dead_lettered_at_once_with_its_traceback(codec: Codec) -> None:
    async def fail(delivery: Delivery) -> None:
        raise KeyError("no such mapping")

    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        async with bench.running(copier(fail)):
            await bench.until(bench.dead_letters)
    said = headers(bench.dead_letters()[0])
    assert (said["fabric_dlq_class"], said["fabric_dlq_code"]) == ("defect", "KeyError")
    assert 'raise KeyError("no such mapping")' in said["fabric_dlq_stack"]


async def test_a_system_that_is_away_dead_letters_nothing(codec: Codec) -> None:
    """An hour without it: everything waits, in order, and goes on by itself."""

    async def handle(delivery: Delivery) -> None:
        if bench.clock.monotonic_s() < 3600:
            raise Unavailable("connection refused")

    async with Bench(codec) as bench:
        bench.publish_many(("a", "b"), 3)
        async with bench.running(copier(handle)):
            await bench.until(lambda: bench.lag() == 0, within_s=4000)
            assert bench.clock.monotonic_s() < 3610
    assert bench.dead_letters() == []
    assert bench.versions("a") == bench.versions("b") == [0, 1, 2]


async def test_a_store_that_is_away_stops_nothing_for_good(codec: Codec) -> None:
    """The stop cannot be written for a while; the dead letter is not committed before it is."""
    async with Bench(codec) as bench:
        bench.publish_many(("bad",), 1)

        async def handle(delivery: Delivery) -> None:
            bench.store.is_down = True
            await refuse_bad(delivery)

        async with bench.running(copier(handle)) as member:
            await bench.clock.sleep(30)
            assert bench.dead_letters() == []
            bench.store.is_down = False
            await bench.until(bench.dead_letters)
            assert member.loop.stop is not None


async def test_a_failure_in_half_a_letter_is_a_dead_letter_like_any_other(codec: Codec) -> None:
    """Vendors cut texts inside a surrogate pair, and JSON lets half of it through; UTF-8 does not."""

    async def fail(delivery: Delivery) -> None:
        raise DataProblem(field="name\ud83d", value="cut \ud83d", hint="h\x00", code="bad\ud83d")

    async with Bench(codec) as bench:
        bench.publish(tax_code("a", 0))
        bench.append(None, codec.encode(tax_code("b", 0)))
        async with bench.running(copier(fail, policy=SKIP)):
            await bench.until_committed()
    assert len(bench.dead_letters()) == len(bench.transitions()) == 2


async def test_headers_that_nobody_understands_hold_nothing_up(codec: Codec) -> None:
    async with Bench(codec) as bench:
        odd = [
            ("ce_id", b"\xff\x00"),
            ("ce_time", b"yesterday"),
            ("ce_correlationid", b"\xed\xa0\xbd"),
            ("ce_businesskeys", b"=;%;%zz=%ED%A0%BD"),
        ]
        bench.append(b"k", codec.encode(tax_code("a", 0)), odd)
        bench.append(b"k", b"poison", odd)
        async with bench.running(copier()):
            await bench.until_committed()
    assert [outcome for outcomes in bench.outcomes().values() for outcome in outcomes] == ["applied", "dead_lettered"]
