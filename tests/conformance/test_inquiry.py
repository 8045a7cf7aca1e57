"""`backends.kafka.inquiry`: where partitions end, and where they stood at a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from broker_kit import KafkaKit, unique

from integration_fabric.backends.kafka.inquiry import KafkaInquiry
from integration_fabric.runtime.records import TopicPartition

pytestmark = pytest.mark.kafka


async def test_offsets_are_told_by_end_and_by_moment(kafka_bootstrap: str) -> None:
    kit, name, now = KafkaKit(kafka_bootstrap), unique("asked"), datetime.now(UTC)
    await kit.create_topic(name, 2)
    await kit.put(name, [(b"k", b"1"), (b"k", b"2")])
    full, empty = TopicPartition(name, 0), TopicPartition(name, 1)
    inquiry = KafkaInquiry(kit.config)
    assert inquiry.ends([full, empty]) == inquiry.ends([full, empty], committed=False) == {full: 2, empty: 0}
    for at in (None, now - timedelta(hours=1)):
        assert inquiry.offsets_at([full, empty], at) == {full: 0, empty: 0}
    assert inquiry.offsets_at([full, empty], now + timedelta(minutes=1)) == {full: 2, empty: 0}
    assert inquiry.offsets_at([], now) == {}
    await kit.close()
