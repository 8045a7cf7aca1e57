"""What the gateway needs of the fabric: for each system that sends webhooks, how it signs and what its payloads mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from integration_fabric.connector_kit.intake import Canonical, Intake, Reference, envelope_of
from integration_fabric.connector_kit.webhooks import Verifier
from integration_fabric.messages.envelope import Envelope
from integration_fabric.messages.ids import System
from integration_fabric.wiring import landscape
from integration_fabric.wiring.fabric import Fabric


@dataclass(frozen=True, slots=True)
class WayIn:
    """One system's webhooks."""

    system: System
    intake: Intake
    verifier: Verifier


def ways_in(fabric: Fabric) -> Mapping[str, WayIn]:
    """The systems that send webhooks, by name."""
    found = {}
    for name, settings in fabric.settings.systems.items():
        vendor = landscape.vendor_of(name, settings)
        if vendor.connector.intake is not None and vendor.verifier is not None:
            found[name] = WayIn(System(name), vendor.connector.intake, vendor.verifier(settings))
    return found


async def resolve(fabric: Fabric, system: System, references: list[Reference]) -> Canonical:
    """Look the native ids up; those that nobody has linked are left out. Raises Unavailable."""
    found: dict[Reference, str] = {}
    for reference in references:
        canonical = await fabric.stores.cross_references.canonical(reference.entity, reference.native_id, system)
        if canonical is not None:
            found[reference] = canonical
    return found


async def take_in(fabric: Fabric, way: WayIn, payload: bytes) -> list[Envelope]:
    """Payload → references → events → published. Returned means acknowledged by the broker.

    Raises:
        VendorDrift: the payload is not what the pinned version allows.
        MissingParent: it names something that nobody has linked yet.
        Unavailable: broker or store do not answer; the same payload may be sent again.
    """
    canonical = await resolve(fabric, way.system, list(way.intake.references(payload)))
    envelopes = [envelope_of(event, system=way.system, clock=fabric.clock) for event in way.intake.events(payload, canonical)]
    await fabric.publisher.publish(envelopes)
    return envelopes
