"""What this folder offers."""

from __future__ import annotations

from connectors.support.zendesk.actions import grant_entitlements
from connectors.support.zendesk.client import Zendesk
from integration_fabric.connector_kit.connector import Connector
from integration_fabric.roles.support import SUPPORT

ZENDESK: Connector[Zendesk] = Connector("zendesk", SUPPORT, (grant_entitlements,))
