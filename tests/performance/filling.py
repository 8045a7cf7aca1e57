"""Makes the topics of the benchmark and fills the one that is consumed, through the fabric's own publisher."""

from __future__ import annotations

from itertools import islice

from integration_fabric.backends.kafka.admin import KafkaAdmin, WantedTopic
from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from integration_fabric.messages.fabric import Activity
from tests.performance.invoices import InvoiceIssued, envelopes, make_codec
from tests.performance.workload import COPIED_TOPIC, ISSUED_TOPIC, PARTITIONS, PUBLISHED_TOPIC

BATCH = 10_000


async def fill(bootstrap: str, events: int) -> None:
    """Make the topics, register the schemas, publish the events.

    Args:
        bootstrap: Address of the broker.
        events: How many; a multiple of 10,000.
    """
    config = client_configuration(bootstrap)
    KafkaAdmin(config).apply([WantedTopic(topic, PARTITIONS) for topic in (ISSUED_TOPIC, COPIED_TOPIC, PUBLISHED_TOPIC, Activity.topic)])
    publisher = KafkaPublisher(codec=make_codec(EmbeddedRegistry(config), register=True), config=config)
    source = envelopes(InvoiceIssued)
    for _ in range(events // BATCH):
        await publisher.publish(list(islice(source, BATCH)))
    await publisher.close()
