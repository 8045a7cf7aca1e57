"""Salesforce's webhooks → events. Pure; the gateway calls it with the raw bytes, once their signature is verified."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.cpq.salesforce.records import QuoteEvent
from connectors.cpq.salesforce.translate import approved
from integration_fabric.connector_kit.intake import Canonical, Incoming, Intake, Reference
from integration_fabric.connector_kit.shapes import parse_json, shaped
from integration_fabric.connector_kit.webhooks import TimestampedSignature

SIGNATURE_HEADER = "X-Salesforce-Signature"


class SalesforceIntake(Intake):
    """The one kind of webhook: a quote was approved."""

    def references(self, payload: bytes) -> Sequence[Reference]:
        """None: quotes name customers, products and tax codes by their canonical ids."""
        shaped(QuoteEvent, parse_json(payload))
        return ()

    def events(self, payload: bytes, canonical: Canonical) -> Sequence[Incoming]:  # noqa: ARG002  the port's signature
        """The approval. The same quote in the same version is the same event, however often and under whatever id it is sent."""
        quote = shaped(QuoteEvent, parse_json(payload)).quote
        body = approved(quote)
        return (
            Incoming(
                body,
                native_event_id=f"{quote.name}/{quote.version}",
                correlation_id=body.quote_id,
                legal_entity=body.legal_entity,
            ),
        )


def verifier(secret: str) -> TimestampedSignature:
    """How the webhooks are signed, by the shared secret."""
    return TimestampedSignature(header=SIGNATURE_HEADER, secret=secret)
