"""Which connector speaks to which vendor, and how its client is opened. A new connector is one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from integration_fabric.connector_kit.connector import Connector
from integration_fabric.connector_kit.polling import Source
from integration_fabric.connector_kit.webhooks import Verifier
from integration_fabric.messages.base import Event
from integration_fabric.messages.ids import System
from integration_fabric.wiring.settings import SystemSettings


@dataclass(frozen=True, slots=True)
class Vendor:
    """What the fabric can do with one vendor. Its client's type is the connector's own; nobody else looks into it."""

    connector: Connector[Any]
    open: Callable[[System, SystemSettings], AbstractAsyncContextManager[Any]]
    """A client of one running system."""
    reader: Callable[[Any], Any] | None = None
    """The role's reader on a client."""
    source: Callable[[Any, SystemSettings], Source] | None = None
    """What a poller looks at, where the vendor does not tell."""
    verifier: Callable[[SystemSettings], Verifier] | None = None
    """How it signs its webhooks."""
    publishes: tuple[type[Event], ...] = ()
    """What comes in from it."""


VENDORS: Mapping[tuple[str, str], Vendor] = {}
"""By role and vendor."""
