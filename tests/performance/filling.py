"""Makes the topics of the benchmark and fills those that are consumed, through the fabric's own publisher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from integration_fabric.backends.kafka.admin import KafkaAdmin, WantedTopic
from integration_fabric.backends.kafka.client import client_configuration
from integration_fabric.backends.kafka.publisher import KafkaPublisher
from integration_fabric.backends.registry.embedded import EmbeddedRegistry
from tests.performance.invoices import KINDS, BookInvoice, Invoice, InvoiceIssued, envelopes, issued_on, make_codec
from tests.performance.trials import BEHIND, FEW_BEHIND, GROWN, Discipline
from tests.performance.workload import BOOKED_TOPIC, FEW_TOPIC, KEYS, PARTITIONS

BATCH = 10_000
GROWN_EVENTS = 120_000
COMMANDS = 50_000


@dataclass(frozen=True, slots=True)
class Filling:
    """What one topic is filled with."""

    kind: type[Invoice]
    events: int
    partitions: int = PARTITIONS
    keys: int = KEYS


def fillings(disciplines: Sequence[Discipline], events: int) -> list[Filling]:
    """What these need.

    Args:
        disciplines: That will be measured.
        events: In the topic that contenders consume; a multiple of 10,000.
    """
    topics = {trial.topic for discipline in disciplines for trial in discipline.variants.values()}
    found = [Filling(InvoiceIssued, max(events, BEHIND) if FEW_TOPIC in topics else events)]
    if FEW_TOPIC in topics:
        found.append(Filling(issued_on(FEW_TOPIC), FEW_BEHIND))
    if BOOKED_TOPIC in topics:
        found.append(Filling(BookInvoice, COMMANDS))
    return found + [Filling(issued_on(grown.topic), GROWN_EVENTS, grown.partitions, grown.keys) for grown in GROWN if grown.topic in topics]


async def fill(bootstrap: str, wanted: Sequence[Filling]) -> None:
    """Make the topics, register the schemas, publish the events."""
    config = client_configuration(bootstrap)
    partitions = {kind.topic: PARTITIONS for kind in KINDS} | {filling.kind.topic: filling.partitions for filling in wanted}
    KafkaAdmin(config).apply([WantedTopic(topic, count) for topic, count in partitions.items()])
    codec = make_codec(EmbeddedRegistry(config), more=[filling.kind for filling in wanted], register=True)
    publisher = KafkaPublisher(codec=codec, config=config)
    for filling in wanted:
        source = envelopes(filling.kind, filling.keys)
        for _ in range(filling.events // BATCH):
            await publisher.publish(list(islice(source, BATCH)))
    await publisher.close()
