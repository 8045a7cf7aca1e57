"""How what a system sends comes in, by webhook or by poll: references resolved, events made and published; what makes no sense is kept.

The gateway and the pollers call it. Nothing is answered, and no cursor moves, before the broker has acknowledged the events, or the dead
letter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from integration_fabric.canonical.ports import CrossReferences
from integration_fabric.connector_kit.intake import Canonical, Incoming, Intake, Reference, envelope_of
from integration_fabric.connector_kit.ports import Receipt, Receipts, ReceiptState
from integration_fabric.delivery.dead_letters import quarantine, quarantine_id
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.errors import ContractBroken, DataProblem, FabricError, MissingParent, VendorDrift
from integration_fabric.messages.ids import System, deterministic_id
from integration_fabric.runtime.ports import Clock, Publisher
from integration_fabric.telemetry import metrics
from integration_fabric.telemetry.logs import LOG

_SENSELESS = (VendorDrift, DataProblem, ContractBroken)
"""Failures that no repetition mends."""


@dataclass(frozen=True, slots=True)
class Reception:
    """One system's way in."""

    system: System
    intake: Intake | None
    """None for a system that is only read as events."""
    cross_references: CrossReferences
    receipts: Receipts
    publisher: Publisher
    clock: Clock

    async def take(self, payload: bytes, *, patient: bool = True) -> Receipt:
        """Take one payload in. Bytes that were taken before are answered as they were then; no event is published again.

        Args:
            payload: Raw.
            patient: Whether to raise where something that it names is not linked yet; else it is quarantined for that.

        Returns:
            What became of it; broker and store have it.

        Raises:
            MissingParent: It names something that nobody has linked yet; the same payload may be taken again.
            Unavailable: Broker or store do not answer; the same payload may be taken again.
        """
        receipt_id = receipt_id_of(self.system, payload)
        known = await self.receipts.find(receipt_id)
        if known is not None and known.state is ReceiptState.PUBLISHED:
            return known
        try:
            receipt = await self._publish(payload, receipt_id)
        except MissingParent as error:
            if patient:
                raise
            receipt = await self._quarantine(payload, receipt_id, error, known)
        except _SENSELESS as error:
            receipt = await self._quarantine(payload, receipt_id, error, known)
        if known is not None:
            receipt = replace(receipt, received_at=known.received_at)
        await self.receipts.keep(receipt)
        return receipt

    async def take_events(self, events: Sequence[Incoming]) -> None:
        """Publish what a poller has read as events; one that breaks its schema is quarantined and holds up no other. Raises Unavailable."""
        try:
            await self._publish_all(self._enveloped(events))
        except ContractBroken:
            for event in events:
                await self._take_event(event)

    async def _take_event(self, event: Incoming) -> None:
        try:
            await self._publish_all(self._enveloped([event]))
        except ContractBroken as error:
            receipt_id = deterministic_id("receipt", self.system, event.native_event_id)
            await self._bury(event.body.model_dump_json().encode(), receipt_id, error)

    async def _publish(self, payload: bytes, receipt_id: str) -> Receipt:
        assert self.intake is not None
        canonical = await self._resolve(self.intake.references(payload))
        envelopes = self._enveloped(self.intake.events(payload, canonical))
        ids = tuple(envelope.id for envelope in envelopes)
        # a system tells of one event by webhook and by poll, and an invoice that is paid at once in three ways
        known = await self.receipts.published(ids) if ids else ()
        await self._publish_all([envelope for envelope in envelopes if envelope.id not in known])
        return Receipt(receipt_id, self.system, self.clock.now(), ReceiptState.PUBLISHED, ids)

    def _enveloped(self, events: Sequence[Incoming]) -> Sequence[Envelope]:
        return [envelope_of(event, system=self.system, clock=self.clock) for event in events]

    async def _publish_all(self, envelopes: Sequence[Envelope]) -> None:
        if envelopes:
            await self.publisher.publish(envelopes)
        for envelope in envelopes:
            metrics.PUBLISHED.labels(envelope.body.topic).inc()

    async def _resolve(self, references: Sequence[Reference]) -> Canonical:
        """Those that nobody has linked are left out."""
        found: dict[Reference, str] = {}
        for reference in references:
            canonical = await self.cross_references.canonical(reference.entity, reference.native_id, self.system)
            if canonical is not None:
                found[reference] = canonical
        return found

    async def _quarantine(self, payload: bytes, receipt_id: str, error: FabricError, known: Receipt | None) -> Receipt:
        """Where it came before and made as little sense, its dead letter is there already."""
        if known is None or known.code != error.code:
            await self._bury(payload, receipt_id, error)
        dead = quarantine_id(receipt_id)
        return Receipt(receipt_id, self.system, self.clock.now(), ReceiptState.QUARANTINED, (dead,), error.code, str(error))

    async def _bury(self, payload: bytes, receipt_id: str, error: FabricError) -> None:
        await self.publisher.put([quarantine(self.system, payload, error, receipt_id=receipt_id, at=self.clock.now())])
        metrics.QUARANTINED.labels(self.system, error.code).inc()
        LOG.problem("quarantined", system=self.system, dead_letter=quarantine_id(receipt_id), code=error.code, why=str(error))


def receipt_id_of(system: str, payload: bytes) -> str:
    """The same however often the same bytes come from a system."""
    return deterministic_id("receipt", system, hashlib.sha256(payload).hexdigest())
