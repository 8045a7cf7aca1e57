"""What the gateway needs of the fabric: for each system that sends webhooks, how it signs and what its payloads mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from integration_fabric.connector_kit.reception import Reception
from integration_fabric.connector_kit.webhooks import Verifier
from integration_fabric.messages.ids import System
from integration_fabric.wiring import landscape
from integration_fabric.wiring.fabric import Fabric


@dataclass(frozen=True, slots=True)
class WayIn:
    """One system's webhooks."""

    verifier: Verifier
    reception: Reception


def ways_in(fabric: Fabric) -> Mapping[str, WayIn]:
    """The systems that send webhooks, by name."""
    found = {}
    for name, settings in fabric.settings.systems.items():
        vendor = landscape.vendor_of(name, settings)
        if vendor.connector.intake is not None and vendor.verifier is not None:
            found[name] = WayIn(vendor.verifier(settings), fabric.reception(System(name), vendor))
    return found
