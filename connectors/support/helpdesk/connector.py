"""What this folder offers."""

from __future__ import annotations

from connectors.support.helpdesk.actions import grant_entitlements
from connectors.support.helpdesk.client import Helpdesk
from integration_fabric.connector_kit.connector import Connector
from integration_fabric.roles.support import SUPPORT

HELPDESK: Connector[Helpdesk] = Connector("helpdesk", SUPPORT, (grant_entitlements,))
