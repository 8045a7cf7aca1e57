"""`runtime.ports.Publisher`: publishing from outside a subscriber."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from broker_kit import Kit

from integration_fabric.backends.avro.codec import AvroCodec
from integration_fabric.messages.base import Message
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import ContractBroken, Unavailable
from integration_fabric.messages.ids import LegalEntity, MessageId
from integration_fabric.messages.master_data import ProductChanged, TaxCodeChanged
from integration_fabric.runtime.records import Record


def tax_code(key: str, version: int) -> TaxCodeChanged:
    return TaxCodeChanged(tax_code=key, name="VAT", rate=Decimal("0.25"), legal_entity=LegalEntity("no"), aggregate_version=version)


def envelope(body: Message, message_id: str) -> Envelope:
    return Envelope(body, MessageId(message_id), "/systems/tryton", datetime(2026, 1, 5, tzinfo=UTC), "c-1", business_keys={"quote": "Q-1"})


def about(records: list[Record], key: bytes) -> list[Record]:
    """A topic outlives the test: only this test's records."""
    return [record for record in records if record.key == key]


@pytest.fixture(autouse=True)
async def tax_codes(kit: Kit) -> None:
    await kit.ensure_topic(TaxCodeChanged.topic)


async def test_what_is_published_stands_there_in_order_with_its_headers(kit: Kit, codec: AvroCodec) -> None:
    await kit.publisher(codec).publish([envelope(tax_code("in-order", version), f"m-{version}") for version in range(300)])
    found = about(await kit.read(TaxCodeChanged.topic), b"in-order")
    assert [codec.decode(record.value or b"", TaxCodeChanged) for record in found] == [
        tax_code("in-order", version) for version in range(300)
    ]
    headers = dict(found[7].headers or ())
    assert headers["ce_id"] == b"m-7"
    assert headers["ce_type"] == b"erp.v1.TaxCodeChanged"
    assert headers["ce_businesskeys"] == b"quote=Q-1"


async def test_publishing_again_is_the_same_messages_again(kit: Kit, codec: AvroCodec) -> None:
    publisher = kit.publisher(codec)
    for _ in range(2):
        await publisher.publish([envelope(tax_code("twice", 1), "m-1")])
    first, second = about(await kit.read(TaxCodeChanged.topic), b"twice")
    assert (first.value, first.headers) == (second.value, second.headers)


async def test_a_body_that_breaks_its_schema_sends_nothing_of_the_batch(kit: Kit, codec: AvroCodec) -> None:
    broken = tax_code("broken", 2).model_copy(update={"rate": "a quarter"})
    with pytest.raises(ContractBroken, match="rate"):
        await kit.publisher(codec).publish([envelope(tax_code("broken", 1), "m-1"), envelope(broken, "m-2")])
    assert about(await kit.read(TaxCodeChanged.topic), b"broken") == []


async def test_a_topic_that_is_not_there_is_said_so(kit: Kit, codec: AvroCodec) -> None:
    product = ProductChanged(product_id="P-1", name="Seat", legal_entity=LegalEntity("no"), aggregate_version=1)
    with pytest.raises(Unavailable, match=r"erp\.product-changed\.v1.*fabric topics apply"):
        await kit.publisher(codec).publish([envelope(product, "m-1")])


async def test_publishing_nothing_is_fine(kit: Kit, codec: AvroCodec) -> None:
    await kit.publisher(codec).publish([])
